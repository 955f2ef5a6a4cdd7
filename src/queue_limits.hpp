#pragma once

#include <chrono>
#include <stdexcept>
#include <string>

#include <fmt/core.h>

namespace tandem::detail {

constexpr std::chrono::milliseconds longest_delay = std::chrono::hours{24} * 36'500;

// How often who waits for room, or for the end, looks in although nothing is said to it.
constexpr std::chrono::milliseconds longest_look_in{5000};

/// Throws std::invalid_argument.
template <class Given, class Least, class Most>
void require(std::string const& queue, char const* what, Given given, Least least, Most most) {
  if (given >= least && given <= most) return;
  throw std::invalid_argument{
      fmt::format("tandem: {}: {} is {}; accepted are {} to {}", queue, what, given, least, most)};
}

inline void require(std::string const& queue, char const* what, std::chrono::milliseconds given,
                    std::chrono::milliseconds least, std::chrono::milliseconds most) {
  require(queue, what, given.count(), least.count(), most.count());
}

}  // namespace tandem::detail
