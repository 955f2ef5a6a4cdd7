#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace bench::counter {

/// Names of those whose adds do not leave their process at once.
namespace names {
inline constexpr auto shared_atomic = "an atomic for all";
inline constexpr auto own_atomics = "an atomic each";
inline constexpr auto buffered_counter = "BufferedCounter";
inline constexpr auto statistics = "Statistics";
}  // namespace names

/// The figures of one of them.
struct Local {
  std::string place;  ///< "one core", or "any cores"
  int threads;
  std::string contender;
  std::optional<double> ns{};  ///< of a thread for one add; none where they were never all at work
  std::size_t slices = 0;      ///< in which they were
  std::optional<double> of_linear{};  ///< adds together / threads, to those of one thread

  [[nodiscard]] int callers() const { return threads; }
};

/// Of the same contender and place: what the cells of several threads make of one thread's adds.
inline void compare_with_one_thread(std::vector<Local>& cells) {
  for (auto& cell : cells) {
    for (auto const& one : cells) {
      if (one.threads == 1 && one.contender == cell.contender && one.place == cell.place &&
          one.ns && cell.ns) {
        cell.of_linear = *one.ns / *cell.ns;
      }
    }
  }
}

}  // namespace bench::counter
