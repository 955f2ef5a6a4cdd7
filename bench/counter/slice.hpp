#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace bench::counter {

/// What all callers of one contender did in one slice of time.
struct Slice {
  std::int64_t added = 0;            ///< by calls that began in the slice
  std::int64_t in_window = 0;        ///< of these, by calls that ended in it too
  std::vector<std::int64_t> took{};  ///< nanoseconds of each call that waits until it is counted
  double cpu_microseconds = 0;       ///< of all its processes
  /// The callers' system calls that move bytes; none where they are not counted.
  std::optional<double> transfers{};
};

}  // namespace bench::counter
