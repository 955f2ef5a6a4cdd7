#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "client/cell.hpp"
#include "client/entrants.hpp"
#include "client/transport.hpp"
#include "turns.hpp"

namespace bench {

/// How long, and how often.
struct Plan {
  std::chrono::milliseconds window{50};
  std::chrono::milliseconds counted_window{100};
  int windows = 20;  ///< for each contender
};

/// Runs the slices of all entrants over one transport with so many callers. A first one of each is
/// thrown away.
inline std::vector<Cell> measure(std::vector<Entrant> const& entrants, Transport const& to,
                                 int callers, Plan const& plan) {
  std::vector<Cell> cells;
  std::vector<std::unique_ptr<Contender>> contenders;
  for (auto const& entrant : entrants) {
    if (to.is_tls() && !entrant.speaks_tls) continue;
    contenders.push_back(entrant.make(to, callers));
    cells.push_back({.transport = to.name, .callers = callers, .contender = entrant.name});
  }

  for (auto const& contender : contenders) (void)contender->run(plan.window);
  auto slices = take_turns(contenders.size(), plan.windows,
                           [&](std::size_t i) { return contenders[i]->run(plan.window); });
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    auto& own = slices[i];
    if (!own.back().calls) own.push_back(contenders[i]->run_counted(plan.counted_window));
    summarise(cells[i], own, plan.window);
  }
  return cells;
}

}  // namespace bench
