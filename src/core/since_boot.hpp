#pragma once

#include <chrono>

#include <time.h>

namespace tandem::detail {

/// A clock that also runs while the machine sleeps, which the steady clock does not.
[[nodiscard]] inline std::chrono::nanoseconds since_boot() noexcept {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec};
}

/// Part by which two clocks may drift apart: each slewed by 500 ppm, the most that adjtimex(2)
/// allows.
constexpr int drift_divisor = 1000;

}  // namespace tandem::detail
