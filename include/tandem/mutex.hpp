#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include <tandem/lock.hpp>

namespace tandem {

/// A `Lock` with the face of std::timed_mutex, for std::scoped_lock, std::unique_lock and code
/// written for them.
///
///     tandem::Mutex mutex{redis, "orders:42"};
///     { std::scoped_lock guard{mutex}; }
///     if (std::unique_lock held{mutex, 200ms}) { }
///
/// The same key and queue as `Lock`: either excludes the other. Threads that share the object
/// exclude one another also while its hold has been lost to another process, as with any mutex. Not
/// recursive.
///
/// Not promised: what no mutex of the standard library has to promise, because it cannot be lost. A
/// section that must know whether it still holds takes a `Lock` and asks its `Hold`. A hold that
/// was lost meanwhile is reported at unlock() to Options::on_error.
///
/// Processes: in the child of a fork it is as if freshly made, unless the thread that forked was
/// inside: that one goes on inside, without a hold, until it unlocks.
///
/// Cost:    as `Lock`.
/// Errors:  lock() and the try functions throw as Lock::acquire does; unlock() never throws.
/// Threads: safe from several. unlock() may come from another thread than lock().
class Mutex {
 public:
  Mutex(Client client, std::string_view name, LockOptions options = {});
  Mutex(Mutex const&) = delete;
  Mutex& operator=(Mutex const&) = delete;
  ~Mutex();

  void lock();
  [[nodiscard]] bool try_lock();
  void unlock() noexcept;  ///< requires that it is locked

  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> longest) {
    return try_lock_until(detail::deadline_in(longest));
  }
  [[nodiscard]] bool try_lock_until(Deadline deadline);
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) {
    return try_lock_until(detail::deadline_at(deadline));
  }

 private:
  struct Gate;

  Lock lock_;
  std::unique_ptr<Gate> gate_;
};

}  // namespace tandem
