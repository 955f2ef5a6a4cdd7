#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "queue/library.hpp"
#include "queue/slice.hpp"
#include "usage.hpp"
#include "workers.hpp"

namespace bench::queue {

/// A process that uses a queue when it is told to; worker.py and worker.js are the same for
/// libraries of their languages. It is told, with moments by workers::now(), and answers each time
/// with one line of JSON, in which `jobs` is how many it pushed or did:
///
///     run BEGIN END push|work N   so many at once, over and over from BEGIN on; none begins any
///                                 more after END. How many were done by END, nanoseconds of each
///                                 call; dry: 1 where it found nothing to do
///         {"jobs": 420, "in_window": 419.5, "took_ns": [81200, ...], "cpu_us": 48000, "dry": 0}
///     do COUNT push|work N        so many in all
///         {"jobs": 420, "cpu_us": 48000}
///     rest                        does what is left, until there is nothing, alone
///         {"jobs": 420}
///     send BEGIN END PAUSE N      a job every so many nanoseconds or some more; then N of the jobs
///                                 that end a wait
///         {"jobs": 45}
///     wait                        waits for jobs and does them, up to one that ends it. Of each
///                                 other one the nanoseconds from when it was to be pushed until it
///                                 was here
///         {"jobs": 45, "since_ns": [93100, ...]}
class Worker {
 public:
  explicit Worker(Library& library) : library_{library} {}

  /// Until its input ends.
  void serve() {
    workers::say(library_.text());
    workers::listen([this](std::string const& line) {
      std::istringstream words{line};
      std::string verb;
      words >> verb;
      if (verb == "run") {
        auto const [begin, end] = two(words);
        workers::say(run(begin, end, operation(words)));
      } else if (verb == "do") {
        std::int64_t count = 0;
        words >> count;
        workers::say(do_all(count, operation(words)));
      } else if (verb == "rest") {
        workers::say(do_the_rest());
      } else if (verb == "send") {
        auto const [begin, end] = two(words);
        auto const [pause, ends] = two(words);
        workers::say(send(begin, end, pause, ends));
      } else if (verb == "wait") {
        workers::say(wait());
      } else {
        throw std::runtime_error{"told what it does not understand: " + line};
      }
    });
  }

 private:
  static constexpr std::chrono::milliseconds a_while{2000};  // for a job that should be there
  static constexpr std::chrono::hours long_enough{24};

  struct Two {
    std::int64_t first = 0;
    std::int64_t second = 0;
  };
  static Two two(std::istringstream& words) {
    Two out;
    words >> out.first >> out.second;
    return out;
  }
  static Operation operation(std::istringstream& words) {
    Operation out{{}, 0};
    words >> out.verb >> out.at_once;
    if ((out.verb != Operation::push && out.verb != Operation::work) || out.at_once < 1)
      throw std::runtime_error{"told what it cannot do: " + out.text()};
    return out;
  }

  /// How many jobs: fewer where there are no more.
  std::int64_t once(Operation const& operation) {
    if (operation.verb == Operation::push) {
      library_.push(Task::job(workers::now()), operation.at_once);
      return operation.at_once;
    }
    auto const jobs = library_.take(operation.at_once, a_while);
    if (!jobs.empty()) library_.finish();
    return static_cast<std::int64_t>(jobs.size());
  }

  std::string run(std::int64_t begin, std::int64_t end, Operation const& operation) {
    Slice out;
    std::string took;
    auto const usage = Usage::so_far();
    workers::sleep_until(begin);
    for (auto before = workers::now(); before < end;) {
      auto const jobs = once(operation);
      auto const after = workers::now();
      out.jobs += jobs;
      // One that the end interrupts counts by its part: a batch may take longer than a slice.
      auto const part = static_cast<double>(end - before) / static_cast<double>(after - before);
      out.in_window += static_cast<double>(jobs) * std::min(part, 1.0);
      if (jobs < operation.at_once) out.dry = true;
      out.took.push_back(after - before);
      before = after;
    }
    auto const used = Usage::so_far() - usage;
    return fmt::format(
        R"({{"jobs": {}, "in_window": {:.3f}, "took_ns": [{}], "cpu_us": {:.0f}, "dry": {:d}}})",
        out.jobs, out.in_window, fmt::join(out.took, ","), used.cpu_microseconds, out.dry);
  }

  std::string do_all(std::int64_t count, Operation operation) {
    auto const usage = Usage::so_far();
    for (auto left = count; left > 0;) {
      operation.at_once = static_cast<int>(std::min<std::int64_t>(operation.at_once, left));
      auto const jobs = once(operation);
      if (jobs == 0) throw std::runtime_error{"there are fewer jobs than there should be"};
      left -= jobs;
    }
    auto const used = Usage::so_far() - usage;
    return fmt::format(R"({{"jobs": {}, "cpu_us": {:.0f}}})", count, used.cpu_microseconds);
  }

  std::string do_the_rest() {
    std::int64_t out = 0;
    while (auto const jobs = once({Operation::work, 100})) out += jobs;
    return fmt::format(R"({{"jobs": {}}})", out);
  }

  std::string send(std::int64_t begin, std::int64_t end, std::int64_t pause, std::int64_t ends) {
    std::int64_t jobs = 0;
    // Not in step with anybody's clock.
    for (auto next = begin + pause; next < end; next += pause + next % (pause / 3)) {
      workers::sleep_until(next);
      auto const now = workers::now();
      if (now >= end) break;  // a call may take longer than the pause
      library_.push(Task::job(now), 1);
      ++jobs;
    }
    workers::sleep_until(end);
    for (std::int64_t i = 0; i < ends; ++i) library_.push(Task::end, 1);
    return fmt::format(R"({{"jobs": {}}})", jobs);
  }

  std::string wait() {
    std::vector<std::int64_t> since;
    for (;;) {
      auto const jobs = library_.take(1, long_enough);
      auto const now = workers::now();
      if (jobs.empty()) throw std::runtime_error{"it waited in vain"};
      library_.finish();
      if (jobs.front() == Task::end) break;
      since.push_back(now - std::stoll(jobs.front()));
    }
    return fmt::format(R"({{"jobs": {}, "since_ns": [{}]}})", since.size(), fmt::join(since, ","));
  }

  Library& library_;
};

}  // namespace bench::queue
