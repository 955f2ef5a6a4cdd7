#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "map/cell.hpp"
#include "map/local_cell.hpp"
#include "map/mixed.hpp"
#include "map/news.hpp"
#include "map/plan.hpp"
#include "verdict.hpp"

namespace bench::map {

/// What a person reads while the benchmark runs.
namespace table {

inline void print_local_head() {
  fmt::print(
      "\nReads of what is in memory: ns of a core for one\n"
      "{:<38} {:>9} {:>7}\n",
      "", "ns", "slices");
}

inline void print(std::vector<Local> const& group) {
  int threads = 0;
  for (auto const& cell : group) {
    if (cell.threads != threads) {
      threads = cell.threads;
      fmt::print("{}\n", bench::place_of(cell.place, threads));
    }
    fmt::print("  {:<36} {:>9} {:>7}\n", cell.contender, shown(cell.ns, 2), cell.slices);
  }
}

inline void print_head(Plan const& plan) {
  fmt::print(
      "\nAll use the same map. \"p50\", \"p99\": us; for one call \"commands\" that clients send,\n"
      "\"scripts\" those that the server runs within scripts, \"transfers\" system calls that "
      "move\n"
      "bytes, \"CPU us\" of the clients; \"lost\" updates\n"
      "{:<28} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}\n",
      "", fmt::format("in {} ms", plan.window.count()), "p50", "p99", "CPU us", "commands",
      "scripts", "transfers", "lost");
}

inline void print(std::vector<Cell> const& group) {
  std::string line;
  for (auto const& cell : group) {
    auto const place = bench::place_of(cell.place, cell.shape.callers());
    if (auto const own = fmt::format("{}: {}", place, cell.operation); own != line) {
      line = own;
      fmt::print("{}\n", line);
    }
    fmt::print("  {:<26} {:>10.0f} {:>9.1f} {:>9.1f} {:>9.3f} {:>9.2f} {:>9.2f} {:>9} {:>6}\n",
               cell.contender, cell.per_window, cell.p50, cell.p99, cell.cpu, cell.commands,
               cell.in_scripts, shown(cell.transfers, 2),
               cell.lost ? fmt::format("{}", *cell.lost) : "-");
  }
}

inline void print_mixed_head(Plan const& plan) {
  fmt::print(
      "\nEach process reads any entry of {} from a CachedMap, and changes one 1 time in 100.\n"
      "\"hits\": the part of the reads that asked nobody\n"
      "{:<28} {:>10} {:>9} {:>9} {:>9}\n",
      Task::entries, "", fmt::format("in {} ms", plan.window.count()), "CPU us", "changes", "hits");
}

inline void print(std::vector<Mixed> const& group) {
  for (auto const& cell : group) {
    fmt::print("  {:<26} {:>10.0f} {:>9.3f} {:>9.4f} {:>9.4f}\n",
               fmt::format("{} by {}", cell.contender, cell.processes), cell.per_window, cell.cpu,
               cell.changes, cell.hits);
  }
}

inline void print_news_head() {
  fmt::print(
      "\nFrom a change in one process until another one reads it. \"p50\", \"p99\": us since it "
      "was\n"
      "sent; \"returned\": p50 until the call that changed it returned; \"unseen\" to the end\n"
      "{:<28} {:>9} {:>9} {:>12} {:>9} {:>9} {:>7}\n",
      "", "p50", "p99", "round trips", "returned", "changes", "unseen");
}

inline void print(std::vector<News> const& group) {
  if (group.empty()) return;
  fmt::print("{}; a bare round trip: {:.1f} us\n", group.front().place, group.front().round_trip);
  for (auto const& cell : group) {
    fmt::print("  {:<26} {:>9.1f} {:>9.1f} {:>12.2f} {:>9.1f} {:>9} {:>7}\n", cell.contender,
               cell.p50, cell.p99, cell.round_trips(), cell.returned_p50, cell.since.size(),
               cell.unseen);
  }
}

}  // namespace table
}  // namespace bench::map
