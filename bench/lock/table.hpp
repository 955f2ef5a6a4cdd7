#pragma once

#include <string>
#include <vector>

#include <fmt/format.h>

#include "lock/cell.hpp"
#include "lock/plan.hpp"
#include "verdict.hpp"

namespace bench::lock {

/// What a person reads while the benchmark runs.
namespace table {

inline void print_head(Plan const& plan) {
  auto const window = plan.window.count();
  fmt::print(
      "\n\"commands\" are those that clients send, \"scripts\" those that the server runs within\n"
      "scripts, both per acquisition; \"CPU us\" is the clients' time per acquisition.\n\n"
      "Nobody else wants the lock: acquire and release\n"
      "{:<28} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
      "", "p50 us", "p99 us", fmt::format("in {} ms", window), "CPU us", "commands", "scripts");
}

inline void print(std::vector<Uncontended> const& group) {
  if (group.empty()) return;
  fmt::print("{}\n", group.front().place);
  for (auto const& cell : group) {
    fmt::print("  {:<26} {:>9.2f} {:>9.2f} {:>9.0f} {:>9.2f} {:>9.2f} {:>9.2f}\n", cell.contender,
               cell.p50, cell.p99, cell.per_window, cell.cpu, cell.commands, cell.in_scripts);
  }
}

inline void print_contended_head(Plan const& plan) {
  fmt::print(
      "\nAll want the same lock. Waits in us; \"typical\": of who waits at a random moment. "
      "\"handed\":\nthe part of the acquisitions that were by another than the last; \"hand-off\": "
      "from a release\nto the next, who waits, in us and in bare round trips; \"fair\": fewest / "
      "most acquisitions of\na caller; \"idle/s\": commands per second of each that only waits\n"
      "{:<28} {:>9} {:>10} {:>10} {:>10} {:>6} {:>9} {:>6} {:>5} {:>9} {:>9} {:>8} {:>8}\n",
      "", fmt::format("in {} ms", plan.window.count()), "wait p50", "wait p99", "typical", "handed",
      "hand-off", "trips", "fair", "commands", "scripts", "CPU us", "idle/s");
}

inline void print(std::vector<Contended> const& group) {
  std::string place;
  for (auto const& cell : group) {
    if (cell.place != place) {
      place = cell.place;
      fmt::print("{} (a round trip: {:.1f} us)\n", place_of(place, cell.shape.callers()),
                 cell.round_trip);
    }
    fmt::print(
        "  {:<26} {:>9.0f} {:>10.1f} {:>10.1f} {:>10.1f} {:>6.2f} {:>9} {:>6} {:>5.2f} {:>9.2f} "
        "{:>9.2f} "
        "{:>8.1f} {:>8}\n",
        cell.contender, cell.per_window, cell.wait_p50, cell.wait_p99, cell.typical_wait,
        cell.handed_over, shown(cell.hand_off, 1), shown(cell.hand_off_in_round_trips(), 2),
        cell.fairness, cell.commands, cell.in_scripts, cell.cpu, shown(cell.idle, 2));
    if (cell.overlaps > 0) fmt::print("    held by two at once: {} times\n", cell.overlaps);
  }
}

inline void print_crash_head() {
  fmt::print(
      "\nkill -9 of the holder while another process waits: ms until that one holds the lock, "
      "beside\n"
      "ms until a bare pidfd shows the holder's end\n"
      "{:<28} {:>9} {:>6} {:>10} {:>10} {:>10}\n",
      "", "lease ms", "kills", "p50", "worst", "pidfd p50");
}

inline void print(std::vector<Crash> const& group) {
  for (auto const& cell : group) {
    fmt::print("  {:<26} {:>9} {:>6} {:>10.2f} {:>10.2f} {:>10.3f}\n", cell.contender,
               cell.lease.count(), cell.kills, cell.p50, cell.worst, cell.watched);
  }
}

}  // namespace table
}  // namespace bench::lock
