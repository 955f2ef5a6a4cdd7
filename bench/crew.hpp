#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "answer.hpp"
#include "candidate.hpp"
#include "process.hpp"
#include "shape.hpp"
#include "workers.hpp"

namespace bench {

/// The processes of one contender: all at work in slices, and idle between them.
class Crew {
 public:
  /// `task`: what each of them is made for.
  Crew(Candidate const& candidate, Shape shape, std::vector<std::string> const& task)
      : name_{candidate.name}, shape_{shape} {
    for (int i = 0; i < shape.processes; ++i) processes_.push_back(candidate.start(task));
    for (auto const& process : processes_) (void)Answer::from(*process);
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  [[nodiscard]] Shape shape() const noexcept { return shape_; }
  [[nodiscard]] std::vector<std::unique_ptr<Process>> const& processes() const noexcept {
    return processes_;
  }

 protected:
  /// Tells each process "run BEGIN END" and `more`; an answer of each, when all callers are done.
  [[nodiscard]] std::vector<Answer> run_all(std::chrono::milliseconds length,
                                            std::string const& more = {}) {
    using std::chrono::nanoseconds;
    // By then all of them have heard it.
    auto const begin =
        workers::now() +
        nanoseconds{std::chrono::microseconds{3000 + 300 * shape_.processes}}.count();
    auto const end = begin + nanoseconds{length}.count();
    return ask_all(fmt::format("run {} {} {}", begin, end, more));
  }

  [[nodiscard]] std::vector<Answer> ask_all(std::string const& line) {
    for (auto const& process : processes_) process->say(line);
    std::vector<Answer> out;
    for (auto const& process : processes_) out.push_back(Answer::from(*process));
    return out;
  }

 private:
  std::string name_;
  Shape shape_;
  std::vector<std::unique_ptr<Process>> processes_{};
};

}  // namespace bench
