#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "lock/cell.hpp"
#include "lock/entrants.hpp"
#include "verdict.hpp"

namespace bench::lock {

/// Holds cells against what tandem's lock has set itself. Each of them is given all contenders of
/// the same lines of the table.
namespace targets {

inline std::vector<Verdict> of(std::vector<Uncontended> const& group) {
  std::vector<Verdict> out;
  for (auto const& ours : group) {
    auto const add = [&](std::string what, double figure, double limit) {
      out.push_back({std::move(what), ours.place, 1, figure, limit});
    };
    if (ours.contender == names::lingering) {
      add("ns at p50, lingering", ours.p50 * 1000, 300);
      add("commands per acquisition, lingering", ours.commands, 0.05);
    }
    if (ours.contender != names::ours) continue;
    add("commands per acquisition", ours.commands, 2);
    if (auto const* const bare = find(group, names::scripts, ours.place))
      add("p50 / that of its scripts by hiredis", ours.p50 / bare->p50, 1.10);
  }
  return out;
}

inline std::vector<Verdict> of(std::vector<Contended> const& group) {
  std::vector<Verdict> out;
  for (auto const& ours : group) {
    if (ours.contender != names::ours) continue;
    auto const add = [&](std::string what, double figure, double limit, bool at_least) {
      out.push_back({std::move(what), ours.place, ours.shape.callers(), figure, limit, at_least});
    };
    add("commands per acquisition", ours.commands, 4, false);
    add("fewest / most acquisitions of a caller", ours.fairness, 0.9, true);
    if (ours.idle) add("commands per second of an idle waiter", *ours.idle, 1, false);
    if (auto const hand_off = ours.hand_off_in_round_trips(); hand_off && ours.shape.callers() == 2)
      add("hand-off in round trips", *hand_off, 3, false);
    auto const* const red_mutex = find(group, names::red_mutex, ours.place);
    if (red_mutex != nullptr && ours.shape.callers() == 8)
      add("acquisitions / those of RedMutex", ours.per_window / red_mutex->per_window, 5, true);
    if (ours.shape.threads > 1 && ours.work.section.count() == 0) {
      auto const processes = std::find_if(group.begin(), group.end(), [&](Contended const& cell) {
        return cell.contender == names::ours && cell.work.section == ours.work.section &&
               cell.shape.threads == 1;
      });
      if (processes != group.end()) {
        add("acquisitions / those of as many processes", ours.per_window / processes->per_window,
            10, true);
      }
    }
  }
  return out;
}

inline std::vector<Verdict> of(std::vector<Crash> const& group) {
  std::vector<Verdict> out;
  for (auto const& cell : group) {
    if (cell.contender != names::ours) continue;
    out.push_back({"ms at p50 from kill -9 until the waiter holds",
                   fmt::format("lease {} ms", cell.lease.count()), 2, cell.p50,
                   std::max(20.0, 2 * cell.watched)});
  }
  return out;
}

}  // namespace targets
}  // namespace bench::lock
