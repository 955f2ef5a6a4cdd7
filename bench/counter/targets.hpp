#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "counter/cell.hpp"
#include "counter/entrants.hpp"
#include "counter/local_cell.hpp"
#include "verdict.hpp"

namespace bench::counter {

/// Holds cells against what tandem's counters have set themselves. Each of them is given all
/// contenders of the same lines of the table.
namespace targets {

inline std::vector<Verdict> of(std::vector<Cell> const& group) {
  std::vector<Verdict> out;
  for (auto const& cell : group) {
    if (cell.contender == names::ours) {
      std::int64_t wrong = 0;
      for (auto const& each : group) {
        if (each.place == cell.place && each.contender.starts_with(names::ours))
          wrong += std::abs(each.lost);
      }
      out.push_back({"adds lost or counted twice, all of tandem's", cell.place,
                     cell.shape.callers(), static_cast<double>(wrong), 0});
    }
    auto const add = [&](std::string const& what, double figure, double limit) {
      out.push_back(
          {what + ", " + cell.contender, cell.place, cell.shape.callers(), figure, limit});
    };
    if (!cell.contender.starts_with(names::ours) || cell.contender == names::buffered) continue;
    add("commands per add", cell.commands, 1);
    if (cell.shape.callers() > 1) continue;
    // A call that nobody disturbs writes once and reads once for each round trip.
    if (cell.transfers) add("round trips per add", *cell.transfers / 2, 1);
    // On several cores that says as much of the kernel's choice of cores.
    if (cell.contender != names::ours || cell.place != one_core) continue;
    if (auto const* const bare = find(group, names::bare, cell.place); bare && bare->p50)
      add("p50 / that of INCRBY by hiredis", *cell.p50 / *bare->p50, 1.05);
  }
  return out;
}

inline std::vector<Verdict> of(std::vector<Local> const& cells) {
  std::vector<Verdict> out;
  for (auto const& cell : cells) {
    if (cell.contender != names::buffered_counter) continue;
    if (cell.ns && cell.threads == 1)
      out.push_back({"ns for an add, BufferedCounter", cell.place, 1, *cell.ns, 15});
    if (cell.of_linear && cell.threads > 1) {
      out.push_back({"adds / threads and those of one, BufferedCounter", cell.place, cell.threads,
                     *cell.of_linear, 0.8, true});
    }
  }
  return out;
}

}  // namespace targets
}  // namespace bench::counter
