#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace bench::lock {

/// What every caller does with the lock, over and over.
struct Work {
  std::chrono::microseconds section{};  ///< for which it holds the lock
  std::chrono::microseconds rest{};     ///< after a release, until it asks again
};

/// One caller's turn, in nanoseconds after the slice began.
struct Acquisition {
  int caller;
  std::int64_t asked;
  std::int64_t held;
  std::int64_t leaving;  ///< its section is over, the release begins
  std::int64_t released;
};

/// What all callers of one contender did in one slice of time.
struct Slice {
  std::chrono::milliseconds length;
  std::vector<Acquisition> acquisitions{};  ///< all that were asked for in that time
  double cpu_microseconds = 0;              ///< of all its processes
};

}  // namespace bench::lock
