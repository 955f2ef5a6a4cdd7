#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "client/cell.hpp"
#include "client/targets.hpp"

namespace bench {

/// What a person reads while the benchmark runs: a block for each transport and number of callers.
namespace table {

inline std::string shown(std::optional<double> number) {
  return number ? fmt::format("{:.2f}", *number) : "-";
}

/// Which line of the table.
inline std::string place(std::string const& transport, int callers) {
  return fmt::format("{}, {} {}", transport, callers, callers == 1 ? "caller" : "callers");
}

inline std::string shown(Verdict const& verdict) {
  return fmt::format("{} {:.3f}, target {} {:g}: {}", verdict.what, verdict.figure,
                     verdict.at_least ? ">=" : "<=", verdict.limit,
                     verdict.holds() ? "holds" : "MISSED");
}

inline void print_head(std::chrono::milliseconds window) {
  fmt::print(
      "Per command: CPU microseconds (user and system), system calls, of which waiting ones\n"
      "(poll, epoll_wait), and context switches, all of the client alone.\n\n");
  fmt::print("{:<34} {:>10} {:>10} {:>10} {:>8} {:>8} {:>8} {:>9}\n", "", "p50 us", "p99 us",
             fmt::format("in {} ms", window.count()), "CPU us", "calls", "waits", "switches");
}

inline void print(std::vector<Cell> const& group, std::vector<Verdict> const& verdicts) {
  if (group.empty()) return;
  fmt::print("{}\n", place(group.front().transport, group.front().callers));
  for (auto const& cell : group) {
    fmt::print("  {:<32} {:>10.1f} {:>10.1f} {:>10.0f} {:>8.1f} {:>8} {:>8} {:>9.2f}\n",
               cell.contender, cell.p50, cell.p99, cell.per_window, cell.cpu, shown(cell.calls()),
               shown(cell.waits), cell.switches);
  }
  for (auto const& verdict : verdicts) fmt::print("    tandem: {}\n", shown(verdict));
  std::fflush(stdout);
}

/// The targets that were missed, again and together.
inline void print_end(std::vector<Verdict> const& verdicts) {
  auto const missed = static_cast<std::size_t>(std::count_if(
      verdicts.begin(), verdicts.end(), [](auto const& verdict) { return !verdict.holds(); }));
  fmt::print("\n{} of {} targets hold.\n", verdicts.size() - missed, verdicts.size());
  for (auto const& verdict : verdicts) {
    if (verdict.holds()) continue;
    fmt::print("  {}: {}\n", place(verdict.transport, verdict.callers), shown(verdict));
  }
}

}  // namespace table
}  // namespace bench
