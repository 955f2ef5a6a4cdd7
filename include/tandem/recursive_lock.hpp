#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/lock.hpp>

namespace tandem {

/// A `Lock` that a thread which holds it may acquire again.
///
///     tandem::RecursiveLock account{redis, "account:42"};
///     void pay() { tandem::Hold hold = account.acquire(); }
///     void settle() {
///       tandem::Hold hold = account.acquire();
///       pay();                              // enters again: no command, the same fence
///     }                                     // given back here, by the last of its holds
///
/// The holds of one thread are one hold of the server's: they share fence, lease and stop token, and
/// each of them commits. Entries are counted in the process, by client, name and options; the last
/// release of all gives the lock back, or to the next thread, in whatever order and on whichever
/// threads they are released. Each release before it answers `released`.
///
/// Once the hold is lost it is not entered again: who acquires waits for a new one, with a fence of
/// its own, while the older ones stay lost and say so when they are released.
///
/// Take `Lock` where no function that locks calls another one that does: it tells a thread that locks
/// twice by mistake, with `Deadlock`. With it, or a `Mutex`, of the same name this one excludes as
/// with another thread, also within one thread.
///
/// Not promised: that a hold that was moved to another thread lets that one in: only the thread that
/// acquired enters again, and it does so wherever its holds are. To tell an inner hold's loss from
/// the outer's: a stop token of an inner one that was released is requested while the others go on.
/// Else as `Lock`.
///
/// | state of the lock           | try_acquire | acquire | release by a hold     |
/// |-----------------------------|-------------|---------|-----------------------|
/// | held by this thread         | held, again | held    | released              |
/// | lost by this thread         | as Lock     | as Lock | expired or taken_over |
/// | held by another, or as Lock | empty       | waits   | -                     |
///
/// Processes: in the child of a fork nothing is held, and the thread that forked waits like any other
/// for its parent.
///
/// Shape:   as `Lock`.
/// Cost:    as `Lock`; nothing to enter again, and nothing to leave but for the last time.
/// Errors:  as `Lock`.
/// Threads: safe from several.
/// See examples/recursive_lock.cpp.
class RecursiveLock {
 public:
  /// Throws std::invalid_argument as `Lock` does.
  RecursiveLock(Client client, std::string_view name, LockOptions options = {});

  /// As of `Lock`, unless this thread holds it already: then it is held once more, at once.
  [[nodiscard]] std::optional<Hold> try_acquire() const;
  [[nodiscard]] std::optional<Hold> try_acquire_until(Deadline deadline) const;
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Hold> try_acquire_for(
      std::chrono::duration<Rep, Period> longest) const {
    return try_acquire_until(detail::deadline_in(longest));
  }
  [[nodiscard]] Hold acquire() const;
  [[nodiscard]] std::optional<Hold> acquire(std::stop_token stop) const;

  /// Who holds the lock now; empty when nobody does.
  ///
  /// Cost:    1 round trip.
  [[nodiscard]] std::optional<Owner> owner() const;

  /// Who waits, the first of the queue first.
  ///
  /// Cost:    1 round trip.
  [[nodiscard]] std::vector<LockWaiter> waiters(std::size_t most = 1000) const;

  [[nodiscard]] std::string const& name() const noexcept;

 private:
  enum class Wait { no, yes };
  [[nodiscard]] std::optional<Hold> take(Wait wait, Deadline deadline,
                                         std::stop_token const& stop) const;

  Client client_;
  std::shared_ptr<detail::LockKeys const> keys_;
  LockOptions options_;
};

}  // namespace tandem
