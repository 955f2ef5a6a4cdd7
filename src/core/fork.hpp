#pragma once

namespace tandem::detail {

/// How many forks lie between this process and the first one that used tandem. What an object of an
/// older generation holds (sockets, threads, locks) belongs to the parent.
[[nodiscard]] unsigned fork_generation() noexcept;

/// Calls `in_child(owner)` in the child of every fork, before fork() returns there.
///
/// Make it the last member of its owner, so that it is told only of a whole object. Construct and
/// destroy it with no lock held that another thread may hold while it forks. `in_child` runs on the
/// child's only thread; what other threads were changing may be half changed: it touches nothing
/// but what a single store can replace.
///
/// The list of hooks is tandem's one piece of process-wide state: POSIX offers no other way to
/// close, in the child, sockets that belong to threads which do not exist there.
///
/// Source:  POSIX pthread_atfork.
class ForkHook {
 public:
  using InChild = void (*)(void* owner) noexcept;

  ForkHook(void* owner, InChild in_child);
  ~ForkHook();
  ForkHook(ForkHook const&) = delete;
  ForkHook& operator=(ForkHook const&) = delete;

 private:
  friend struct ForkHooks;

  void* owner_;
  InChild in_child_;
  ForkHook* previous_ = nullptr;
  ForkHook* next_ = nullptr;
};

/// While it lives no fork happens: for the moment between opening a descriptor and having noted it,
/// when a child would inherit it unseen. Keep it short, and make no ForkHook meanwhile.
class NoFork {
 public:
  NoFork();
  ~NoFork();
  NoFork(NoFork const&) = delete;
  NoFork& operator=(NoFork const&) = delete;
};

}  // namespace tandem::detail
