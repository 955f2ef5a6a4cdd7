#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "quantile.hpp"
#include "queue/slice.hpp"
#include "shape.hpp"

namespace bench::queue {

/// The figures of one contender whose processes all push, or all work.
struct Cell {
  std::string place;
  Shape shape;
  Operation operation;
  std::string contender;

  double per_window = 0;  ///< jobs, of all processes together: median of the slices
  double p50 = 0;         ///< microseconds of a call, or of taking and finishing
  double p99 = 0;
  double cpu = 0;         ///< microseconds of the clients' time for a job: median of the slices
  double server_cpu = 0;  ///< of the server's
  double commands = 0;    ///< sent by the clients for a job
  double in_scripts = 0;  ///< commands that the server ran within scripts, for a job
  std::int64_t lost = 0;  ///< of the contender's jobs: pushed, and never given to anybody
};

/// Fills in the figures of a cell from its slices, each one window long.
inline void summarise(Cell& cell, std::vector<Slice> const& slices) {
  std::vector<double> in_window;
  std::vector<double> took;
  std::vector<double> cpu;
  std::vector<double> server_cpu;
  for (auto const& slice : slices) {
    auto const jobs = static_cast<double>(std::max<std::int64_t>(1, slice.jobs));
    in_window.push_back(slice.in_window);
    for (auto const each : slice.took) took.push_back(static_cast<double>(each) / 1000);
    cpu.push_back(slice.cpu_microseconds / jobs);
    server_cpu.push_back(slice.server_microseconds / jobs);
  }
  cell.per_window = median(std::move(in_window));
  cell.p50 = median(took);
  cell.p99 = quantile(std::move(took), 0.99);
  cell.cpu = median(std::move(cpu));
  cell.server_cpu = median(std::move(server_cpu));
}

}  // namespace bench::queue
