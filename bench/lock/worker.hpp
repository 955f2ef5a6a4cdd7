#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "lock/library.hpp"
#include "usage.hpp"
#include "workers.hpp"

namespace bench::lock {

/// A process that uses a lock when it is told to; worker.py and worker.js are the same for
/// libraries of their languages. It is a program of its own, so that it can be killed. It is told,
/// with moments by workers::now():
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
    workers::say(library_.text());
    workers::listen([this](std::string const& line) {
      std::istringstream words{line};
      std::string verb;
      words >> verb;
      if (verb == "run") {
        Run run{};
        words >> run.begin >> run.end >> run.section >> run.rest;
        workers::say(answer_to(run));
      } else if (verb == "hold") {
        library_.acquire(0);
        workers::say(std::to_string(workers::now()));
      } else if (verb == "release") {
        library_.release(0);
        workers::say("released");
      } else {
        throw std::runtime_error{"told what it does not understand: " + line};
      }
    });
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
    workers::at_once(acquisitions_.size(), [&](std::size_t caller) { use(caller, run); });
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

  void use(std::size_t number, Run const& run) {
    auto const caller = static_cast<int>(number);
    std::chrono::microseconds const section{run.section};
    workers::sleep_until(run.begin);
    for (auto asked = workers::now(); asked < run.end;) {
      library_.acquire(caller);
      auto const held = workers::now();
      auto leaving = held;
      if (run.section > 0) {
        std::this_thread::sleep_for(section);
        leaving = workers::now();
      }
      library_.release(caller);
      auto const released = workers::now();
      acquisitions_[number].push_back({asked, held, leaving, released});
      asked = released;
      if (run.rest > 0) {
        std::this_thread::sleep_for(std::chrono::microseconds{run.rest});
        asked = workers::now();
      }
    }
  }

  Library& library_;
  std::vector<std::vector<Acquisition>> acquisitions_;  // of each caller
};

}  // namespace bench::lock
