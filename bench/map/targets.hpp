#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "map/cell.hpp"
#include "map/entrants.hpp"
#include "map/local_cell.hpp"
#include "map/mixed.hpp"
#include "map/news.hpp"
#include "verdict.hpp"

namespace bench::map {

/// Holds cells against what tandem's maps have set themselves. Each of them is given all contenders
/// of the same lines of the table.
namespace targets {

inline std::vector<Verdict> of(std::vector<Cell> const& group) {
  std::vector<Verdict> out;
  for (auto const& cell : group) {
    if (!cell.contender.starts_with(names::ours)) continue;
    auto const add = [&](std::string const& what, double figure, double limit) {
      out.push_back({fmt::format("{}, {}", what, cell.contender), cell.place, cell.shape.callers(),
                     figure, limit});
    };
    if (cell.lost) add("updates lost or made twice", std::abs(static_cast<double>(*cell.lost)), 0);
    if (cell.contender != names::ours) continue;
    bool const updates = cell.operation == operations::update;
    int const commands = updates ? 2 : 1;
    add("commands per " + cell.operation, cell.commands, commands);
    if (cell.shape.callers() > 1) continue;
    // A call that nobody disturbs writes once and reads once for each round trip.
    if (cell.transfers) add("round trips per " + cell.operation, *cell.transfers / 2, commands);
    // On several cores that says as much of the kernel's choice of cores.
    if (cell.place != one_core) continue;
    auto const* const bare =
        beside(group, cell, names::bare, updates ? operations::get : cell.operation);
    if (bare == nullptr || bare->p50 <= 0) continue;
    if (updates) {
      add("p50 of update in p50 of HGET by hiredis", cell.p50 / bare->p50, 2);
    } else {
      add(fmt::format("p50 of {} / that of H{} by hiredis", cell.operation,
                      cell.operation == operations::get ? "GET" : "SET"),
          cell.p50 / bare->p50, 1.10);
    }
  }
  return out;
}

inline std::vector<Verdict> of(std::vector<Local> const& cells) {
  std::vector<Verdict> out;
  for (auto const& cell : cells) {
    if (cell.contender == names::cached_map && cell.ns)
      out.push_back({"ns for a read, CachedMap", cell.place, cell.threads, *cell.ns, 100});
  }
  return out;
}

inline std::vector<Verdict> of(std::vector<Mixed> const& cells) {
  std::vector<Verdict> out;
  for (auto const& cell : cells) {
    if (cell.contender == names::cached_set) {
      out.push_back({"reads that asked nobody, 1 % changes by CachedMap::set", "processes",
                     cell.processes, cell.hits, 0.9, true});
    }
  }
  return out;
}

inline std::vector<Verdict> of(std::vector<News> const& cells) {
  std::vector<Verdict> out;
  for (auto const& cell : cells) {
    if (cell.contender != names::told && cell.contender != names::foreign) continue;
    // On several cores that says more of where the kernel puts four that wait for each other.
    if (cell.place != one_core && cell.place != far_away) continue;
    out.push_back(
        {fmt::format("p50 until another process reads it in round trips, {}", cell.contender),
         cell.place, 2, cell.round_trips(), 2});
  }
  return out;
}

}  // namespace targets
}  // namespace bench::map
