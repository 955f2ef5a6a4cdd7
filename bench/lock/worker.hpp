#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "lock/library.hpp"
#include "usage.hpp"

namespace bench::lock {

/// A process that uses a lock when it is told to; worker.py and worker.js are the same for
/// libraries of their languages. It is a program of its own, so that callers in several processes
/// are just that, and one of them can be killed.
///
/// Its first line is what the lock is and of which version, or "sorry: " and why it cannot run.
/// Then it is told, line by line, with moments in nanoseconds of the steady clock (CLOCK_MONOTONIC,
/// the same for all processes of a machine):
///
///     run BEGIN END SECTION REST
///                             every caller takes the lock over and over from BEGIN on, holds it for
///                             SECTION and waits for REST before it asks again, both microseconds;
///                             none asks for it any more after END. Answers with one line of JSON:
///                             for each acquisition the number of its caller and four moments after
///                             BEGIN, when it was asked for, was held, was to be released, and was
///                             released
///         {"acquisitions": [0, 120, 45120, 45120, 81200, ...], "cpu_us": 48000}
///     hold                    one caller takes the lock; answers with the moment when it held it
///     release                 and gives it back; answers "released"
class Worker {
 public:
  Worker(Library& library, int callers)
      : library_{library}, acquisitions_(static_cast<std::size_t>(callers)) {}

  /// Until its input ends.
  void serve() {
    say(library_.text());
    for (std::string line; std::getline(std::cin, line);) {
      std::istringstream words{line};
      std::string verb;
      words >> verb;
      if (verb == "run") {
        Run run{};
        words >> run.begin >> run.end >> run.section >> run.rest;
        say(answer_to(run));
      } else if (verb == "hold") {
        library_.acquire(0);
        say(std::to_string(now()));
      } else if (verb == "release") {
        library_.release(0);
        say("released");
      } else {
        throw std::runtime_error{"told what it does not understand: " + line};
      }
    }
  }

  static void say(std::string const& line) {
    (void)std::fputs((line + "\n").c_str(), stdout);
    (void)std::fflush(stdout);
  }

  [[nodiscard]] static std::int64_t now() {
    return std::chrono::nanoseconds{std::chrono::steady_clock::now().time_since_epoch()}.count();
  }

 private:
  struct Run {
    std::int64_t begin;
    std::int64_t end;
    std::int64_t section;
    std::int64_t rest;
  };
  struct Acquisition {
    std::int64_t asked, held, leaving, released;
  };

  std::string answer_to(Run const& run) {
    for (auto& each : acquisitions_) each.clear();
    auto const before = Usage::so_far();
    if (acquisitions_.size() == 1) {
      use(0, run);
    } else {
      contend(run);
    }
    auto const used = Usage::so_far() - before;
    std::string out{"{\"acquisitions\": ["};
    char const* separator = "";
    for (std::size_t caller = 0; caller < acquisitions_.size(); ++caller) {
      for (auto const& each : acquisitions_[caller]) {
        fmt::format_to(std::back_inserter(out), "{}{},{},{},{},{}", separator, caller,
                       each.asked - run.begin, each.held - run.begin, each.leaving - run.begin,
                       each.released - run.begin);
        separator = ",";
      }
    }
    fmt::format_to(std::back_inserter(out), "], \"cpu_us\": {:.0f}}}", used.cpu_microseconds);
    return out;
  }

  void contend(Run const& run) {
    std::vector<std::thread> threads;
    std::vector<std::exception_ptr> faults(acquisitions_.size());
    for (std::size_t i = 0; i < acquisitions_.size(); ++i) {
      threads.emplace_back([this, &run, &faults, i] {
        try {
          use(i, run);
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

  void use(std::size_t number, Run const& run) {
    auto const caller = static_cast<int>(number);
    std::chrono::microseconds const section{run.section};
    std::this_thread::sleep_for(std::chrono::nanoseconds{run.begin - now()});
    for (auto asked = now(); asked < run.end;) {
      library_.acquire(caller);
      auto const held = now();
      auto leaving = held;
      if (run.section > 0) {
        std::this_thread::sleep_for(section);
        leaving = now();
      }
      library_.release(caller);
      auto const released = now();
      acquisitions_[number].push_back({asked, held, leaving, released});
      asked = released;
      if (run.rest > 0) {
        std::this_thread::sleep_for(std::chrono::microseconds{run.rest});
        asked = now();
      }
    }
  }

  Library& library_;
  std::vector<std::vector<Acquisition>> acquisitions_;  // of each caller
};

}  // namespace bench::lock
