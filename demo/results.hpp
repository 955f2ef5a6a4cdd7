#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "check.hpp"
#include "screen.hpp"
#include "tally.hpp"

namespace demo {

/// What many processes have made of a file.
struct Together {
  Record record{};
  std::chrono::nanoseconds took{};
  int workers = 0;
  std::int64_t chunks = 0;
  std::optional<std::int64_t>
      commands{};  ///< executed by the server meanwhile; none where it does not tell
};

/// The table of the commonest keys, and the figures.
void print_results(Screen& screen, Together const& together);

/// Whether all numbers agree, and those that do not.
void print_verdict(Screen& screen, PlainCount const& alone,
                   std::vector<std::string> const& disagreements);

}  // namespace demo
