#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "candidate.hpp"
#include "counter/cell.hpp"
#include "counter/plan.hpp"
#include "counter/team.hpp"
#include "overheard.hpp"
#include "turns.hpp"

namespace bench::counter {

/// Where callers of a shape are; or `one_core`.
inline std::string place_of(Shape shape) {
  return shape.threads == 1 ? "processes" : "threads of one process";
}

/// All contenders, in one shape or in several in the same turns. `place`: where they are, if it is
/// not what their shape says.
inline std::vector<Cell> measure(std::vector<Candidate> const& contenders,
                                 std::string const& socket, std::vector<Shape> const& shapes,
                                 Plan const& plan, std::string const& place = {}) {
  std::vector<std::unique_ptr<Team>> teams;
  for (auto const shape : shapes) {
    for (auto const& each : contenders)
      teams.push_back(std::make_unique<Team>(each, socket, shape));
  }
  // Warm: connections, scripts.
  for (auto const& team : teams) (void)team->run(plan.window);
  auto const slices = take_turns(teams.size(), plan.windows,
                                 [&](std::size_t i) { return teams[i]->run(plan.window); });
  std::vector<Cell> out;
  for (std::size_t i = 0; i < teams.size(); ++i) {
    auto& team = *teams[i];
    auto& cell = out.emplace_back(Cell{.place = place.empty() ? place_of(team.shape()) : place,
                                       .shape = team.shape(),
                                       .contender = team.name()});
    summarise(cell, slices[i]);
    auto const overheard = Overheard::of(
        socket, [&] { return static_cast<std::size_t>(team.run(2 * plan.window).added); });
    cell.commands = overheard.commands;
    cell.in_scripts = overheard.in_scripts;
    cell.lost = team.lost();
  }
  return out;
}

}  // namespace bench::counter
