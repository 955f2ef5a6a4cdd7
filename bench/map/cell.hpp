#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "map/slice.hpp"
#include "places.hpp"
#include "quantile.hpp"
#include "shape.hpp"

namespace bench::map {

/// What is done to an entry.
namespace operations {
inline constexpr auto get = "get";
inline constexpr auto set = "set";
inline constexpr auto update = "update";
}  // namespace operations

/// The figures of one contender whose callers all do the same to entries of one map.
struct Cell {
  std::string place;  ///< what the callers are
  Shape shape;
  std::string operation;
  std::string contender;

  double per_window = 0;  ///< of all callers together: median of the slices
  double p50 = 0;         ///< microseconds
  double p99 = 0;
  double cpu = 0;         ///< microseconds of the clients' time for one: median of the slices
  double commands = 0;    ///< sent by the clients for one
  double in_scripts = 0;  ///< commands that the server ran within scripts, for one
  std::optional<double> transfers{};   ///< system calls by the callers that move bytes, for one
  std::optional<std::int64_t> lost{};  ///< of updates: made, and not in the entry
};

/// Fills in the figures of a cell from its slices, each one window long.
inline void summarise(Cell& cell, std::vector<Slice> const& slices) {
  std::vector<double> in_window;
  std::vector<double> took;
  std::vector<double> cpu;
  std::vector<double> transfers;
  for (auto const& slice : slices) {
    auto const done = static_cast<double>(std::max<std::size_t>(1, slice.took.size()));
    in_window.push_back(static_cast<double>(slice.in_window));
    for (auto const each : slice.took) took.push_back(static_cast<double>(each) / 1000);
    cpu.push_back(slice.cpu_microseconds / done);
    if (slice.transfers) transfers.push_back(*slice.transfers / done);
  }
  cell.per_window = median(std::move(in_window));
  cell.p50 = median(took);
  cell.p99 = quantile(std::move(took), 0.99);
  cell.cpu = median(std::move(cpu));
  if (!transfers.empty()) cell.transfers = median(std::move(transfers));
}

/// The cell of the same place and callers in which that contender did that; none where it did not
/// take part.
inline Cell const* beside(std::vector<Cell> const& group, Cell const& cell,
                          std::string_view contender, std::string_view operation) {
  auto const found = std::find_if(group.begin(), group.end(), [&](Cell const& each) {
    return each.place == cell.place && each.shape.callers() == cell.shape.callers() &&
           each.contender == contender && each.operation == operation;
  });
  return found == group.end() ? nullptr : &*found;
}

}  // namespace bench::map
