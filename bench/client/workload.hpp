#pragma once

#include <cstddef>
#include <string>

namespace bench {

/// What every caller of every contender says, over and over: SET of a key of its own, then GET of
/// it. slices.py and slices.js say the same.
struct Workload {
  static constexpr std::size_t value_size = 64;  // bytes

  static std::string key(int caller) { return "key:" + std::to_string(caller); }
  static std::string value() { return std::string(value_size, 'x'); }
};

}  // namespace bench
