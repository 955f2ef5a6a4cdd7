#pragma once

#include <chrono>

namespace tandem::soak {

struct Plan {
  std::chrono::seconds length{600};
  unsigned seed = 0;
};

/// Runs it all; prints what happened. How many promises were broken.
int torment(Plan const& plan);

}  // namespace tandem::soak
