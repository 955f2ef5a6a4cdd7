#pragma once

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "client/cell.hpp"
#include "verdict.hpp"

namespace bench {

/// What a person reads while the benchmark runs: a block for each transport and number of callers.
namespace table {

inline void print_head(std::chrono::milliseconds window) {
  fmt::print(
      "Per command: CPU microseconds (user and system), system calls, of which waiting ones\n"
      "(poll, epoll_wait), and context switches, all of the client alone.\n\n");
  fmt::print("{:<34} {:>10} {:>10} {:>10} {:>8} {:>8} {:>8} {:>9}\n", "", "p50 us", "p99 us",
             fmt::format("in {} ms", window.count()), "CPU us", "calls", "waits", "switches");
}

inline void print(std::vector<Cell> const& group, std::vector<Verdict> const& verdicts) {
  if (group.empty()) return;
  fmt::print("{}\n", place_of(group.front().transport, group.front().callers));
  for (auto const& cell : group) {
    fmt::print("  {:<32} {:>10.1f} {:>10.1f} {:>10.0f} {:>8.1f} {:>8} {:>8} {:>9.2f}\n",
               cell.contender, cell.p50, cell.p99, cell.per_window, cell.cpu,
               shown(cell.calls(), 2), shown(cell.waits, 2), cell.switches);
  }
  for (auto const& verdict : verdicts) fmt::print("    tandem: {}\n", verdict.text());
  std::fflush(stdout);
}

}  // namespace table
}  // namespace bench
