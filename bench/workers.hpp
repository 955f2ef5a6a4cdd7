#pragma once

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <sys/prctl.h>

namespace bench {

/// Processes that are told, line by line, what to do and when: so that callers in several processes
/// are just that, and all of them begin at once. What each family's workers understand is in its
/// own worker.hpp; workers.py and workers.js are this for other languages.
///
/// The first line of a worker says what it is and of which version, or "sorry: " and why it cannot
/// run.
namespace workers {

inline void say(std::string const& line) {
  (void)std::fputs((line + "\n").c_str(), stdout);
  (void)std::fflush(stdout);
}

/// Nanoseconds of the steady clock (CLOCK_MONOTONIC), the same for all processes of a machine.
[[nodiscard]] inline std::int64_t now() {
  return std::chrono::nanoseconds{std::chrono::steady_clock::now().time_since_epoch()}.count();
}

inline void sleep_until(std::int64_t moment) {
  std::this_thread::sleep_for(std::chrono::nanoseconds{moment - now()});
}

/// Hears one line after the other, until there are no more.
template <class Hear>
void listen(Hear const& hear) {
  for (std::string line; std::getline(std::cin, line);) hear(line);
}

/// Calls `work` with 0, 1, ... at once, each in a thread of its own; in this one where there is but
/// one. Throws what one of them has thrown, when all have ended.
template <class Work>
void at_once(std::size_t callers, Work const& work) {
  if (callers == 1) return work(0);
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> faults(callers);
  for (std::size_t i = 0; i < callers; ++i) {
    threads.emplace_back([&work, &faults, i] {
      try {
        work(i);
      } catch (...) {
        faults[i] = std::current_exception();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (auto const& fault : faults) {
    if (fault) std::rethrow_exception(fault);
  }
}

/// What main returns in a process that is a worker by calling `serve`.
template <class Serve>
int be_one(Serve const& serve) try {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // one that waits would wait for a server that has gone
  serve();
  return 0;
} catch (std::exception const& fault) {
  say(fmt::format("sorry: {}", fault.what()));
  return 1;
}

}  // namespace workers
}  // namespace bench
