#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "counter/library.hpp"
#include "system_calls.hpp"
#include "usage.hpp"
#include "workers.hpp"

namespace bench::counter {

/// A process that adds to a counter when it is told to; worker.py and worker.js are the same for
/// libraries of their languages. It is told, with moments by workers::now():
///
///     run BEGIN END   every caller adds 1 over and over, from BEGIN on; none begins to any more
///                     after END. Answers with one line of JSON: how much was added, how much of it
///                     by END, nanoseconds of each call that waits until it is counted; in C++ also
///                     how often the callers called the system to move bytes
///         {"added": 420, "in_window": 419, "took_ns": [81200, ...], "cpu_us": 48000,
///          "transfers": 840}
///     flush           answers "flushed" when all of it is in the shared number
class Worker {
 public:
  Worker(Library& library, int callers)
      : library_{library}, callers_(static_cast<std::size_t>(callers)) {}

  /// Until its input ends.
  void serve() {
    workers::say(library_.text());
    workers::listen([this](std::string const& line) {
      std::istringstream words{line};
      std::string verb;
      words >> verb;
      if (verb == "run") {
        std::int64_t begin = 0;
        std::int64_t end = 0;
        words >> begin >> end;
        workers::say(answer_to(begin, end));
      } else if (verb == "flush") {
        library_.flush();
        workers::say("flushed");
      } else {
        throw std::runtime_error{"told what it does not understand: " + line};
      }
    });
  }

 private:
  struct alignas(64) Caller {
    std::int64_t added = 0;
    std::int64_t in_window = 0;
    std::vector<std::int64_t> took{};
    SystemCalls calls{};
  };

  std::string answer_to(std::int64_t begin, std::int64_t end) {
    for (auto& caller : callers_) caller = {};
    auto const usage = Usage::so_far();
    workers::at_once(callers_.size(), [&](std::size_t number) { add(number, begin, end); });
    auto const used = Usage::so_far() - usage;
    std::int64_t added = 0;
    std::int64_t in_window = 0;
    SystemCalls calls;
    std::string took;
    for (auto const& caller : callers_) {
      added += caller.added;
      in_window += caller.in_window;
      calls += caller.calls;
      for (auto const each : caller.took)
        fmt::format_to(std::back_inserter(took), "{}{}", took.empty() ? "" : ",", each);
    }
    return fmt::format(
        R"({{"added": {}, "in_window": {}, "took_ns": [{}], "cpu_us": {:.0f}, "transfers": {}}})",
        added, in_window, took, used.cpu_microseconds, calls.transfers - calls.looks);
  }

  void add(std::size_t number, std::int64_t begin, std::int64_t end) {
    auto& own = callers_[number];
    auto const at_once = library_.adds_at_once();
    bool const waits = library_.waits();
    workers::sleep_until(begin);
    auto const calls = SystemCalls::of_this_thread();
    for (auto before = workers::now(); before < end;) {
      library_.add(static_cast<int>(number));
      auto const after = workers::now();
      own.added += at_once;
      if (after <= end) own.in_window += at_once;
      if (waits) own.took.push_back(after - before);
      before = after;
    }
    own.calls = SystemCalls::of_this_thread() - calls;
  }

  Library& library_;
  std::vector<Caller> callers_;
};

}  // namespace bench::counter
