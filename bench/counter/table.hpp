#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "counter/cell.hpp"
#include "counter/local_cell.hpp"
#include "counter/plan.hpp"
#include "verdict.hpp"

namespace bench::counter {

/// What a person reads while the benchmark runs.
namespace table {

inline void print_local_head() {
  fmt::print(
      "\nAdds that do not leave their process at once: ns of a thread for one, and how many all\n"
      "threads make together, to those of one thread as many times\n"
      "{:<28} {:>9} {:>10} {:>7}\n",
      "", "ns", "of linear", "slices");
}

inline void print(std::vector<Local> const& group) {
  int threads = 0;
  for (auto const& cell : group) {
    if (cell.threads != threads) {
      threads = cell.threads;
      fmt::print("{}\n", bench::place_of(cell.place, threads));
    }
    fmt::print("  {:<26} {:>9} {:>10} {:>7}\n", cell.contender, shown(cell.ns, 2),
               shown(cell.of_linear, 2), cell.slices);
  }
}

inline void print_head(Plan const& plan) {
  auto const window = plan.window.count();
  fmt::print(
      "\nAll add to the same number. \"p50\", \"p99\": us of a call that waits until it is "
      "counted;\n"
      "per add \"commands\" that clients send, \"scripts\" those that the server runs within "
      "scripts,\n"
      "\"transfers\" system calls that move bytes, \"CPU us\" of the clients; \"lost\": added, and "
      "not\n"
      "in the number at the end\n"
      "{:<28} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}\n",
      "", fmt::format("in {} ms", window), "a process", "p50", "p99", "CPU us", "commands",
      "scripts", "transfers", "lost");
}

inline void print(std::vector<Cell> const& group) {
  std::string place;
  for (auto const& cell : group) {
    if (cell.place != place) {
      place = cell.place;
      fmt::print("{}\n", bench::place_of(place, cell.shape.callers()));
    }
    fmt::print("  {:<26} {:>10.0f} {:>10.0f} {:>9} {:>9} {:>9.3f} {:>9.2f} {:>9.2f} {:>9} {:>6}\n",
               cell.contender, cell.per_window, cell.per_process(), shown(cell.p50, 1),
               shown(cell.p99, 1), cell.cpu, cell.commands, cell.in_scripts,
               shown(cell.transfers, 2), cell.lost);
  }
}

}  // namespace table
}  // namespace bench::counter
