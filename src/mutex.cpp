#include "tandem/mutex.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "core/fork.hpp"

namespace tandem {

/// Where the threads of one process queue before one of them goes to the server.
struct Mutex::Gate {
  struct OfThisProcess {
    std::mutex mutex{};
    std::condition_variable opened{};
    bool inside = false;         // a thread is in, or on its way to the server
    std::thread::id by{};        // which
    std::optional<Hold> hold{};  // its
  };

  ~Gate() { delete process.load(); }

  [[nodiscard]] OfThisProcess& mine() const noexcept { return *process.load(); }

  [[nodiscard]] bool enter(std::optional<Deadline> deadline) {
    auto& here = mine();
    std::unique_lock guard{here.mutex};
    auto const free = [&] { return !here.inside; };
    if (!deadline) {
      here.opened.wait(guard, free);
    } else if (!here.opened.wait_until(guard, *deadline, free)) {
      return false;
    }
    here.inside = true;
    here.by = std::this_thread::get_id();
    return true;
  }

  void leave() noexcept {
    auto& here = mine();
    {
      std::lock_guard const guard{here.mutex};
      here.inside = false;
    }
    here.opened.notify_one();
  }

  /// Enters, and takes what `acquire` gives. False, and outside again, when it gives nothing.
  template <class Acquire>
  bool enter_with(std::optional<Deadline> deadline, Acquire&& acquire) {
    if (!enter(deadline)) return false;
    try {
      mine().hold = acquire();
    } catch (...) {
      leave();
      throw;
    }
    if (mine().hold) return true;
    leave();
    return false;
  }

  // The threads that waited, or were inside, are the parent's. What they were changing is left as
  // it is.
  void start_anew_in_child() noexcept {
    // No memory for a child ends it. NOLINTNEXTLINE(bugprone-unhandled-exception-at-new)
    auto* const fresh = new OfThisProcess;
    fresh->inside = mine().inside && mine().by == std::this_thread::get_id();
    process = fresh;
  }

  std::atomic<OfThisProcess*> process = new OfThisProcess;
  detail::ForkHook fork_hook{
      this, [](void* gate) noexcept { static_cast<Gate*>(gate)->start_anew_in_child(); }};
};

Mutex::Mutex(Client client, std::string_view name, LockOptions options)
    : lock_{std::move(client), name, options}, gate_{std::make_unique<Gate>()} {}

Mutex::~Mutex() = default;

void Mutex::lock() {
  (void)gate_->enter_with(std::nullopt, [&] { return std::optional{lock_.acquire()}; });
}

bool Mutex::try_lock() { return try_lock_until(std::chrono::steady_clock::now()); }

bool Mutex::try_lock_until(Deadline deadline) {
  return gate_->enter_with(deadline, [&] { return lock_.try_acquire_until(deadline); });
}

void Mutex::unlock() noexcept {
  gate_->mine().hold.reset();
  gate_->leave();
}

}  // namespace tandem
