#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "crew.hpp"
#include "lock/entrants.hpp"
#include "lock/slice.hpp"

namespace bench::lock {

/// The processes of one contender, which want the same lock.
class Team final : public Crew {
 public:
  /// A lock of its own for each contender: what one leaves behind is nothing to the others.
  Team(Entrant const& entrant, std::string const& socket, std::chrono::milliseconds lease,
       Shape shape)
      : Crew{entrant, shape,
             Task{socket, "lock of " + entrant.name, lease, shape.threads}.words()} {}

  /// Returns when every caller has had what it asked for.
  [[nodiscard]] Slice run(std::chrono::milliseconds length, Work const& work) {
    Slice out{.length = length};
    int first_caller = 0;
    for (auto const& answer :
         run_all(length, fmt::format("{} {}", work.section.count(), work.rest.count()))) {
      out.cpu_microseconds += answer.number("cpu_us");
      auto const numbers = answer.numbers<std::int64_t>("acquisitions");
      for (std::size_t i = 0; i + 4 < numbers.size(); i += 5) {
        out.acquisitions.push_back({first_caller + static_cast<int>(numbers[i]), numbers[i + 1],
                                    numbers[i + 2], numbers[i + 3], numbers[i + 4]});
      }
      first_caller += shape().threads;
    }
    return out;
  }
};

}  // namespace bench::lock
