#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "json.hpp"

namespace bench {

/// Which line of a table.
inline std::string place_of(std::string const& what, int callers) {
  return fmt::format("{}, {} {}", what, callers, callers == 1 ? "caller" : "callers");
}

/// A figure of a table; "-" for none.
inline std::string shown(std::optional<double> number, int digits) {
  return number ? fmt::format("{:.{}f}", *number, digits) : "-";
}

/// A target that tandem has set itself, and how far it was reached.
struct Verdict {
  std::string what;
  std::string place;  ///< of the cells it speaks of: what they have in common besides the callers
  int callers;
  double figure;
  double limit;
  bool at_least = false;  ///< else: at most

  /// Judged by what is shown, three decimals.
  [[nodiscard]] bool holds() const { return at_least ? shown() >= limit : shown() <= limit; }
  [[nodiscard]] double shown() const { return std::round(figure * 1000) / 1000; }

  [[nodiscard]] std::string text() const {
    return fmt::format("{} {:.3f}, target {} {:g}: {}", what, shown(),
                       at_least ? ">=" : "<=", limit, holds() ? "holds" : "MISSED");
  }

  void add_to(Json& json) const {
    json.field("what", what);
    json.field("place", place);
    json.field("callers", callers);
    json.field("figure", shown());
    json.field("limit", limit);
    json.field("at_least", at_least);
    json.field("holds", holds());
  }
};

/// The cell of that contender in that place; none where it did not take part.
template <class Cell>
Cell const* find(std::vector<Cell> const& cells, std::string_view contender,
                 std::string_view place) {
  auto const found = std::find_if(cells.begin(), cells.end(), [&](auto const& cell) {
    return cell.contender == contender && cell.place == place;
  });
  return found == cells.end() ? nullptr : &*found;
}

inline void print(std::vector<Verdict> const& verdicts) {
  for (auto const& verdict : verdicts)
    fmt::print("    tandem, {}: {}\n", place_of(verdict.place, verdict.callers), verdict.text());
  std::fflush(stdout);
}

/// The targets that were missed, again and together.
inline void print_missed(std::vector<Verdict> const& verdicts) {
  auto const missed = static_cast<std::size_t>(std::count_if(
      verdicts.begin(), verdicts.end(), [](auto const& verdict) { return !verdict.holds(); }));
  fmt::print("\n{} of {} targets hold.\n", verdicts.size() - missed, verdicts.size());
  for (auto const& verdict : verdicts) {
    if (verdict.holds()) continue;
    fmt::print("  {}: {}\n", place_of(verdict.place, verdict.callers), verdict.text());
  }
}

}  // namespace bench
