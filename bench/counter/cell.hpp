#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "counter/slice.hpp"
#include "places.hpp"
#include "quantile.hpp"
#include "shape.hpp"

namespace bench::counter {

/// The figures of one contender whose callers all add to the same number.
struct Cell {
  std::string place;  ///< what the callers are
  Shape shape;
  std::string contender;

  double per_window = 0;        ///< adds, of all callers together: median of the slices
  std::optional<double> p50{};  ///< microseconds of a call that waits until it is counted
  std::optional<double> p99{};
  double cpu = 0;         ///< microseconds of the clients' time per add: median of the slices
  double commands = 0;    ///< sent by the clients per add
  double in_scripts = 0;  ///< commands that the server ran within scripts, per add
  std::optional<double> transfers{};  ///< system calls by the callers that move bytes, per add
  std::int64_t lost = 0;              ///< added, and not in the shared number; < 0: counted twice

  [[nodiscard]] double per_process() const { return per_window / shape.processes; }
};

/// Fills in the figures of a cell from its slices, each one window long.
inline void summarise(Cell& cell, std::vector<Slice> const& slices) {
  std::vector<double> in_window;
  std::vector<double> took;
  std::vector<double> cpu;
  std::vector<double> transfers;
  for (auto const& slice : slices) {
    auto const added = static_cast<double>(std::max<std::int64_t>(1, slice.added));
    in_window.push_back(static_cast<double>(slice.in_window));
    for (auto const each : slice.took) took.push_back(static_cast<double>(each) / 1000);
    cpu.push_back(slice.cpu_microseconds / added);
    if (slice.transfers) transfers.push_back(*slice.transfers / added);
  }
  cell.per_window = median(std::move(in_window));
  if (!took.empty()) {
    cell.p50 = median(took);
    cell.p99 = quantile(std::move(took), 0.99);
  }
  cell.cpu = median(std::move(cpu));
  if (!transfers.empty()) cell.transfers = median(std::move(transfers));
}

}  // namespace bench::counter
