#pragma once

#include <atomic>
#include <csignal>
#include <ctime>

#include <sys/syscall.h>
#include <unistd.h>

namespace tandem::support {

/// While it lives the thread that made it gets a signal every 100 µs, by a handler without
/// SA_RESTART: each system call that waits returns EINTR.
///
/// Make a `Handled` before the first one, and destroy it after the last.
class SignalStorm {
 public:
  class Handled {
   public:
    Handled() {
      struct sigaction counted {};
      counted.sa_handler = [](int) { count().fetch_add(1, std::memory_order_relaxed); };
      counted.sa_flags = 0;
      ::sigaction(SIGUSR1, &counted, nullptr);
    }
    Handled(Handled const&) = delete;
    Handled& operator=(Handled const&) = delete;
    // A signal that is still on its way must not end the process.
    ~Handled() { ::signal(SIGUSR1, SIG_IGN); }
  };

  SignalStorm() {
    sigevent to_this_thread{};
    to_this_thread.sigev_notify = SIGEV_THREAD_ID;
    to_this_thread.sigev_signo = SIGUSR1;
    // glibc has no name for it before 2.38.
    to_this_thread._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
    ::timer_create(CLOCK_MONOTONIC, &to_this_thread, &timer_);
    itimerspec const period{{0, 100'000}, {0, 100'000}};
    ::timer_settime(timer_, 0, &period, nullptr);
  }
  SignalStorm(SignalStorm const&) = delete;
  SignalStorm& operator=(SignalStorm const&) = delete;
  ~SignalStorm() { ::timer_delete(timer_); }

  /// Signals that were delivered so far, to all threads.
  [[nodiscard]] static long long signals() { return count(); }

 private:
  static std::atomic<long long>& count() {
    static std::atomic<long long> all = 0;
    return all;
  }

  timer_t timer_{};
};

}  // namespace tandem::support
