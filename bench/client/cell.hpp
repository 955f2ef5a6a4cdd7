#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/slice.hpp"
#include "quantile.hpp"

namespace bench {

/// The figures of one contender with so many callers over one transport.
struct Cell {
  std::string transport;
  int callers = 0;
  std::string contender;

  double p50 = 0;         ///< microseconds, of all commands of all slices
  double p99 = 0;         ///< the same
  double per_window = 0;  ///< commands that ended in one window: median of the slices
  double cpu = 0;         ///< microseconds of processor time per command: median of the slices
  double switches = 0;    ///< context switches per command: median of the slices
  std::optional<double> transfers{};  ///< system calls per command that move bytes
  std::optional<double> waits{};      ///< system calls per command that wait for them

  /// Transfers and waits together.
  [[nodiscard]] std::optional<double> calls() const {
    return transfers ? std::optional{*transfers + *waits} : std::nullopt;
  }
};

/// Fills in the figures of a cell from its slices, each `window` long or somewhat longer. A slice
/// without any command counts as having had one: its costs are per command.
inline void summarise(Cell& cell, std::vector<Slice> const& slices,
                      std::chrono::duration<double> window) {
  std::vector<float> latencies;
  std::vector<double> in_window;
  std::vector<double> cpu;
  std::vector<double> switches;
  SystemCalls calls;
  double counted = 0;
  for (auto const& slice : slices) {
    auto const commands = static_cast<double>(std::max<std::size_t>(1, slice.latencies.size()));
    if (slice.calls) {
      calls.transfers += slice.calls->transfers;
      calls.waits += slice.calls->waits;
      counted += commands;
    }
    if (!slice.is_timed) continue;
    latencies.insert(latencies.end(), slice.latencies.begin(), slice.latencies.end());
    in_window.push_back(static_cast<double>(slice.in_window) * (window / slice.took));
    cpu.push_back(slice.usage.cpu_microseconds / commands);
    switches.push_back(static_cast<double>(slice.usage.switches) / commands);
  }
  cell.p50 = static_cast<double>(quantile(latencies, 0.5));
  cell.p99 = static_cast<double>(quantile(std::move(latencies), 0.99));
  cell.per_window = median(std::move(in_window));
  cell.cpu = median(std::move(cpu));
  cell.switches = median(std::move(switches));
  if (counted > 0) {
    cell.transfers = static_cast<double>(calls.transfers) / counted;
    cell.waits = static_cast<double>(calls.waits) / counted;
  }
}

}  // namespace bench
