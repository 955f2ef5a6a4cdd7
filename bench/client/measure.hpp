#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "client/cell.hpp"
#include "client/entrants.hpp"
#include "client/transport.hpp"

namespace bench {

/// How long, and how often.
struct Plan {
  std::chrono::milliseconds window{50};
  std::chrono::milliseconds counted_window{100};
  int windows = 20;  ///< for each contender
};

/// Runs the slices of all entrants over one transport with so many callers. Every round has a slice
/// of each, in an order drawn anew: so a stall of the machine meets all alike, and none always
/// comes after the same other one. The first round is thrown away.
inline std::vector<Cell> measure(std::vector<Entrant> const& entrants, Transport const& to,
                                 int callers, Plan const& plan) {
  std::vector<Cell> cells;
  std::vector<std::unique_ptr<Contender>> contenders;
  for (auto const& entrant : entrants) {
    if (to.is_tls() && !entrant.speaks_tls) continue;
    contenders.push_back(entrant.make(to, callers));
    cells.push_back({.transport = to.name, .callers = callers, .contender = entrant.name});
  }

  std::vector<std::vector<Slice>> slices(contenders.size());
  std::vector<std::size_t> order(contenders.size());
  std::iota(order.begin(), order.end(), 0U);
  std::minstd_rand random{1};
  for (int round = 0; round <= plan.windows; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (auto const i : order) {
      auto slice = contenders[i]->run(plan.window);
      if (round > 0) slices[i].push_back(std::move(slice));
    }
  }
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    auto& own = slices[i];
    if (!own.back().calls) own.push_back(contenders[i]->run_counted(plan.counted_window));
    summarise(cells[i], own, plan.window);
  }
  return cells;
}

}  // namespace bench
