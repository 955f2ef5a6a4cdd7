#pragma once

#include <thread>
#include <utility>

#include <signal.h>

namespace tandem::detail {

/// A thread that no signal is delivered to: signals belong to the program's own threads. Throws
/// std::system_error.
template <class Body>
[[nodiscard]] std::thread thread_without_signals(Body&& body) {
  struct Masked {
    Masked() {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    Masked(Masked const&) = delete;
    Masked& operator=(Masked const&) = delete;
    ~Masked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    sigset_t before;
  };
  Masked const until_it_has_inherited_that;
  return std::thread{std::forward<Body>(body)};
}

}  // namespace tandem::detail
