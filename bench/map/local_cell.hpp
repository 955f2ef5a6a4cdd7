#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace bench::map {

/// Names of those that are read without asking anybody.
namespace names {
inline constexpr auto plain_map = "unordered_map that nobody changes";
inline constexpr auto locked_map = "unordered_map, shared_mutex";
inline constexpr auto cached_map = "CachedMap";
}  // namespace names

/// The figures of one of them.
struct Local {
  std::string place;  ///< "one core", or "any cores"
  int threads;
  std::string contender;
  std::optional<double> ns{};  ///< of a core for one read; none where they never had the cores
  std::size_t slices = 0;      ///< in which they had

  [[nodiscard]] int callers() const { return threads; }
};

}  // namespace bench::map
