#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "answer.hpp"
#include "bare.hpp"
#include "candidate.hpp"
#include "crew.hpp"
#include "queue/library.hpp"
#include "queue/slice.hpp"
#include "server_time.hpp"
#include "shape.hpp"

namespace bench::queue {

/// The processes of one contender, which use the same queue: one of its own for each team.
class Team final : public Crew {
 public:
  Team(Candidate const& candidate, std::string const& socket, Shape shape,
       std::string const& purpose)
      : Crew{candidate, shape,
             Task{socket, fmt::format("{} {} {}", candidate.name, shape.processes, purpose)}
                 .words()},
        server_{Bare::over_unix(socket)} {}

  /// A slice in which there was enough to do.
  [[nodiscard]] Slice run(std::chrono::milliseconds length, Operation const& operation) {
    for (int tries = 0; tries < 20; ++tries) {
      prepare(length, operation);
      auto const before = server_microseconds(server_);
      auto out = run_prepared(length, operation);
      out.server_microseconds = server_microseconds(server_) - before;
      if (!out.dry) return out;
    }
    throw std::runtime_error{name() + " finds fewer jobs than there should be"};
  }

  /// Makes sure that as many jobs are there as can be done in a slice.
  void prepare(std::chrono::milliseconds length, Operation const& operation) {
    if (operation.verb != Operation::work) return;
    auto const least = shape().processes * operation.at_once * 2;
    auto const enough = std::max<std::int64_t>(
        least, static_cast<std::int64_t>(per_ms_ * static_cast<double>(length.count())));
    auto const missing = enough - left();
    if (missing > 0) (void)ask_first(fmt::format("do {} {} 100", missing, Operation::push));
    pushed_ += std::max<std::int64_t>(missing, 0);
  }

  /// Without the server's time.
  [[nodiscard]] Slice run_prepared(std::chrono::milliseconds length, Operation const& operation) {
    Slice out;
    for (auto const& answer : run_all(length, operation.told())) {
      out.jobs += static_cast<std::int64_t>(answer.number("jobs"));
      out.in_window += answer.number("in_window");
      auto const took = answer.numbers<std::int64_t>("took_ns");
      out.took.insert(out.took.end(), took.begin(), took.end());
      out.cpu_microseconds += answer.number("cpu_us");
      out.dry |= answer.number("dry") != 0;
    }
    note(operation, out.jobs);
    if (operation.verb == Operation::work) {
      // So much again, and some: no slice is twice the last one.
      auto const per_ms = 3 * static_cast<double>(out.jobs) / static_cast<double>(length.count());
      per_ms_ = std::max({per_ms_, per_ms, out.dry ? 2 * per_ms_ : 0.});
    }
    return out;
  }

  /// All processes together do exactly so many, each as many as the others; microseconds of the
  /// processor time of all of them.
  double complete(std::int64_t jobs, Operation const& operation) {
    double out = 0;
    auto const each = jobs / shape().processes;
    for (auto const& answer : ask_all(fmt::format("do {} {}", each, operation.told())))
      out += answer.number("cpu_us");
    note(operation, each * shape().processes);
    return out;
  }

  /// Does what is left. How many jobs were pushed and never came; less than 0: came twice.
  [[nodiscard]] std::int64_t lost() {
    note({Operation::work, 1}, static_cast<std::int64_t>(ask_first("rest").number("jobs")));
    return left();
  }

 private:
  [[nodiscard]] std::int64_t left() const { return pushed_ - done_; }

  void note(Operation const& operation, std::int64_t jobs) {
    (operation.verb == Operation::push ? pushed_ : done_) += jobs;
  }

  Answer ask_first(std::string const& line) {
    processes().front()->say(line);
    return Answer::from(*processes().front());
  }

  Bare server_;
  std::int64_t pushed_ = 0;
  std::int64_t done_ = 0;
  double per_ms_ = 20;  // jobs that are enough for a millisecond
};

}  // namespace bench::queue
