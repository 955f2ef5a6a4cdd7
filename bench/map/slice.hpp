#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace bench::map {

/// What all callers of one contender did in one slice of time.
struct Slice {
  std::int64_t in_window = 0;        ///< operations that began and ended in the slice
  std::vector<std::int64_t> took{};  ///< nanoseconds of each that began in it
  double cpu_microseconds = 0;       ///< of all its processes
  /// The callers' system calls that move bytes; none where they are not counted.
  std::optional<double> transfers{};
};

}  // namespace bench::map
