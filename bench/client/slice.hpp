#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "system_calls.hpp"
#include "usage.hpp"

namespace bench {

/// What the callers of one contender did in one slice of time.
struct Slice {
  std::vector<float> latencies{};  ///< microseconds, of every command that began in the window
  std::int64_t in_window = 0;      ///< of these commands, those that ended in it too
  std::chrono::duration<double> took{};  ///< how long the window really was
  Usage usage{};                         ///< for all of `latencies`
  std::optional<SystemCalls> calls{};    ///< the same, where they were counted
  bool is_timed = true;                  ///< false: it was slowed down by the counting
};

}  // namespace bench
