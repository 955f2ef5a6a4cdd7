#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include <tandem/shared_lock.hpp>

namespace tandem {

/// A `SharedLock` with the face of std::shared_timed_mutex, for std::shared_lock, std::unique_lock
/// and code written for them.
///
///     tandem::SharedMutex catalog{redis, "catalog"};
///     { std::shared_lock reading{catalog}; }
///     { std::unique_lock writing{catalog}; }
///
/// The same key and queue as `SharedLock`. Each thread that is inside has a hold of its own.
///
/// Not promised: what no mutex of the standard library has to promise, because it cannot be lost: a
/// section that must know whether it still holds takes a `SharedLock` and asks its `Hold`. A hold
/// that was lost meanwhile is reported at unlock() or unlock_shared() to Options::on_error; until
/// then, unlike with `Mutex`, another thread of this process may be inside as well.
///
/// Processes: in the child of a fork it is as if freshly made.
///
/// Cost:    as `SharedLock`.
/// Errors:  what locks, and tries to, throws as SharedLock::acquire does; what unlocks never throws.
/// Threads: safe from several. A thread unlocks what it locked; where another one does it, it ends
///          the hold of some thread that is inside in the same way.
class SharedMutex {
 public:
  SharedMutex(Client client, std::string_view name, SharedLockOptions options = {});
  SharedMutex(SharedMutex const&) = delete;
  SharedMutex& operator=(SharedMutex const&) = delete;
  ~SharedMutex();

  void lock();
  [[nodiscard]] bool try_lock();
  [[nodiscard]] bool try_lock_until(Deadline deadline);
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> longest) {
    return try_lock_until(detail::deadline_in(longest));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) {
    return try_lock_until(detail::deadline_at(deadline));
  }
  void unlock() noexcept;  ///< requires that it is locked

  void lock_shared();
  [[nodiscard]] bool try_lock_shared();
  [[nodiscard]] bool try_lock_shared_until(Deadline deadline);
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_shared_for(std::chrono::duration<Rep, Period> longest) {
    return try_lock_shared_until(detail::deadline_in(longest));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_shared_until(std::chrono::time_point<Clock, Duration> deadline) {
    return try_lock_shared_until(detail::deadline_at(deadline));
  }
  void unlock_shared() noexcept;  ///< requires that it is locked shared

 private:
  struct Inside;

  SharedLock lock_;
  std::unique_ptr<Inside> inside_;
};

}  // namespace tandem
