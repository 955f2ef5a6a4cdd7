#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "answer.hpp"
#include "lock/entrants.hpp"
#include "lock/slice.hpp"
#include "lock/worker.hpp"

namespace bench::lock {

/// How many callers there are, and in how many processes.
struct Shape {
  int processes;
  int threads = 1;  ///< of each process

  [[nodiscard]] int callers() const { return processes * threads; }
};

/// The processes of one contender, which want the same lock: all at work in slices, and idle
/// between them.
class Team {
 public:
  Team(Entrant const& entrant, std::string const& socket, std::chrono::milliseconds lease,
       Shape shape)
      : name_{entrant.name}, shape_{shape} {
    // A lock of its own for each contender: what one leaves behind is nothing to the others.
    Task const task{socket, "lock of " + entrant.name, lease, shape.threads};
    for (int i = 0; i < shape.processes; ++i) processes_.push_back(entrant.start(task));
    for (auto const& process : processes_) (void)Answer::from(*process);
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  [[nodiscard]] Shape shape() const noexcept { return shape_; }
  [[nodiscard]] std::vector<std::unique_ptr<Process>> const& processes() const noexcept {
    return processes_;
  }

  /// Returns when every caller has had what it asked for.
  [[nodiscard]] Slice run(std::chrono::milliseconds length, Work const& work) {
    using std::chrono::nanoseconds;
    // By then all of them have heard it.
    auto const begin =
        Worker::now() +
        nanoseconds{std::chrono::microseconds{3000 + 300 * shape_.processes}}.count();
    auto const end = begin + nanoseconds{length}.count();
    auto const words =
        fmt::format("run {} {} {} {}", begin, end, work.section.count(), work.rest.count());
    for (auto const& process : processes_) process->say(words);
    Slice out{.length = length};
    int first_caller = 0;
    for (auto const& process : processes_) {
      auto const answer = Answer::from(*process);
      out.cpu_microseconds += answer.number("cpu_us");
      auto const numbers = answer.numbers<std::int64_t>("acquisitions");
      for (std::size_t i = 0; i + 4 < numbers.size(); i += 5) {
        out.acquisitions.push_back({first_caller + static_cast<int>(numbers[i]), numbers[i + 1],
                                    numbers[i + 2], numbers[i + 3], numbers[i + 4]});
      }
      first_caller += shape_.threads;
    }
    return out;
  }

 private:
  std::string name_;
  Shape shape_;
  std::vector<std::unique_ptr<Process>> processes_{};
};

}  // namespace bench::lock
