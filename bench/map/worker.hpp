#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "map/cell.hpp"
#include "map/library.hpp"
#include "system_calls.hpp"
#include "usage.hpp"
#include "workers.hpp"

namespace bench::map {

/// A process that uses a map when it is told to; worker.py and worker.js are the same for libraries
/// of their languages. It is told, with moments by workers::now():
///
///     run BEGIN END OPERATION   every caller gets, sets or updates over and over, from BEGIN on;
///                               none begins to any more after END. Gets and sets go over all
///                               entries in turn, each caller from another one on; updates are of
///                               one entry. Answers with one line of JSON: how many ended by END,
///                               nanoseconds of each; in C++ also how often the callers called the
///                               system to move bytes
///         {"in_window": 419, "took_ns": [81200, ...], "cpu_us": 48000, "transfers": 840}
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
      std::int64_t begin = 0;
      std::int64_t end = 0;
      std::string operation;
      words >> verb >> begin >> end >> operation;
      if (verb != "run") throw std::runtime_error{"told what it does not understand: " + line};
      workers::say(answer_to(begin, end, operation));
    });
  }

 private:
  struct alignas(64) Caller {
    std::int64_t in_window = 0;
    std::vector<std::int64_t> took{};
    SystemCalls calls{};
  };
  using Do = std::function<void(int caller, std::string const& field)>;

  [[nodiscard]] Do what(std::string const& operation) {
    if (operation == operations::get) {
      return [this](int caller, std::string const& field) { (void)library_.get(caller, field); };
    }
    if (operation == operations::set) {
      return [this](int caller, std::string const& field) {
        library_.set(caller, field, workers::now());
      };
    }
    if (operation != operations::update)
      throw std::runtime_error{"told what it cannot do: " + operation};
    return [this](int caller, std::string const& /*field*/) {
      library_.update(caller, Task::updated);
    };
  }

  std::string answer_to(std::int64_t begin, std::int64_t end, std::string const& operation) {
    for (auto& caller : callers_) caller = {};
    auto const task = what(operation);
    auto const usage = Usage::so_far();
    workers::at_once(callers_.size(), [&](std::size_t number) { use(number, begin, end, task); });
    auto const used = Usage::so_far() - usage;
    std::int64_t in_window = 0;
    SystemCalls calls;
    std::string took;
    for (auto const& caller : callers_) {
      in_window += caller.in_window;
      calls += caller.calls;
      for (auto const each : caller.took)
        fmt::format_to(std::back_inserter(took), "{}{}", took.empty() ? "" : ",", each);
    }
    return fmt::format(R"({{"in_window": {}, "took_ns": [{}], "cpu_us": {:.0f}, "transfers": {}}})",
                       in_window, took, used.cpu_microseconds, calls.transfers - calls.looks);
  }

  void use(std::size_t number, std::int64_t begin, std::int64_t end, Do const& task) {
    auto& own = callers_[number];
    auto next = number * fields_.size() / callers_.size();
    workers::sleep_until(begin);
    auto const calls = SystemCalls::of_this_thread();
    for (auto before = workers::now(); before < end;) {
      task(static_cast<int>(number), fields_[next]);
      auto const after = workers::now();
      if (after <= end) ++own.in_window;
      own.took.push_back(after - before);
      if (++next == fields_.size()) next = 0;
      before = after;
    }
    own.calls = SystemCalls::of_this_thread() - calls;
  }

  Library& library_;
  std::vector<Caller> callers_;
  std::vector<std::string> fields_ = Task::fields();
};

}  // namespace bench::map
