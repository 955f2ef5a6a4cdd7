#pragma once

#include <chrono>

namespace tandem::detail {

/// How one acquires, as the options of the primitives say it; see LockOptions.
struct LockTerms {
  std::chrono::milliseconds lease{};
  bool renew = true;
  std::chrono::milliseconds deadlock_after{};
  std::chrono::milliseconds linger{};
  unsigned local_passes = 0;
  std::chrono::milliseconds local_time{};
  unsigned yield_to_foreign = 0;
  std::chrono::milliseconds yield_for{};
};

}  // namespace tandem::detail
