#pragma once

#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "queue/cell.hpp"
#include "queue/flow.hpp"
#include "queue/load.hpp"
#include "queue/plan.hpp"
#include "verdict.hpp"

namespace bench::queue {

/// What a person reads while the benchmark runs.
namespace table {

inline void print_head(Plan const& plan) {
  fmt::print(
      "\nAll use the same queue: all push, or all work, which is to take and to finish. \"p50\",\n"
      "\"p99\": us of a call; for one job \"commands\" that clients send, \"scripts\" those that "
      "the\n"
      "server runs within scripts, \"CPU us\" of the clients, \"server\" us of the server's;\n"
      "\"lost\" jobs\n"
      "{:<28} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}\n",
      "", fmt::format("in {} ms", plan.window.count()), "p50", "p99", "CPU us", "server",
      "commands", "scripts", "lost");
}

inline void print(std::vector<Cell> const& group) {
  std::string line;
  for (auto const& cell : group) {
    auto const place = bench::place_of(cell.place, cell.shape.callers());
    if (auto const own = fmt::format("{}: {}", place, cell.operation.text()); own != line) {
      line = own;
      fmt::print("{}\n", line);
    }
    fmt::print("  {:<26} {:>10.0f} {:>9.1f} {:>9.1f} {:>9.3f} {:>9.3f} {:>9.2f} {:>9.2f} {:>6}\n",
               cell.contender, cell.per_window, cell.p50, cell.p99, cell.cpu, cell.server_cpu,
               cell.commands, cell.in_scripts, cell.lost);
  }
}

inline void print_flow_head() {
  fmt::print(
      "\nWorkers wait for what another process pushes. \"p50\", \"p99\": us from the push until a\n"
      "worker has the job\n"
      "{:<28} {:>9} {:>9} {:>12} {:>9} {:>9} {:>9}\n",
      "", "p50", "p99", "round trips", "commands", "scripts", "jobs");
}

inline void print(std::vector<Flow> const& group) {
  if (group.empty()) return;
  auto const& first = group.front();
  fmt::print("{}, {} waiting; a bare round trip: {:.1f} us\n", first.place, first.workers,
             first.round_trip);
  for (auto const& cell : group) {
    fmt::print("  {:<26} {:>9.1f} {:>9.1f} {:>12.2f} {:>9.2f} {:>9.2f} {:>9}\n", cell.contender,
               cell.p50, cell.p99, cell.round_trips(), cell.commands, cell.in_scripts,
               cell.since.size());
  }
}

inline void print_idle_head(Plan const& plan) {
  fmt::print(
      "\nCommands per second of each of {} workers for which there is nothing to do, for {} ms\n",
      plan.workers, plan.idle.count());
}

inline void print(std::vector<Idle> const& group) {
  for (auto const& cell : group) fmt::print("  {:<26} {:>10.3f}\n", cell.contender, cell.commands);
}

inline void print_load_head(Plan const& plan) {
  fmt::print(
      "\nJobs that are pushed and done by {} workers: us of processor time for one, of the "
      "clients\n"
      "and of the server, and how much that is of what redis-benchmark takes for the same traffic\n"
      "{:<28} {:>10} {:>10} {:>10} {:>10} {:>9}\n",
      plan.workers, "", "jobs", "clients", "server", "together", "of it");
}

inline void print(std::vector<Load> const& group) {
  auto const* const known = reference(group);
  for (auto const& cell : group) {
    auto const of_it = known != nullptr ? std::optional{cell.total / known->total} : std::nullopt;
    fmt::print("  {:<26} {:>10} {:>10.2f} {:>10.2f} {:>10.2f} {:>9}\n", cell.name(), cell.jobs,
               cell.clients, cell.server, cell.total, shown(of_it, 2));
  }
}

}  // namespace table
}  // namespace bench::queue
