#pragma once

#include <chrono>
#include <string>

namespace tandem::soak {

struct Plan {
  std::chrono::seconds length{600};
  unsigned seed = 0;
  std::string program{};  // this one, run again as each worker
};

/// Runs it all; prints what happened. How many promises were broken.
int torment(Plan const& plan);

}  // namespace tandem::soak
