#pragma once

#include <random>
#include <string>

#include <fmt/core.h>

namespace tandem::detail {

/// 64 random bits as 16 hexadecimal digits: no two are the same, within reason.
[[nodiscard]] inline std::string random_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

}  // namespace tandem::detail
