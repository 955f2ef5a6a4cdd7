#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "candidate.hpp"
#include "map/cell.hpp"
#include "map/plan.hpp"
#include "map/team.hpp"
#include "overheard.hpp"
#include "turns.hpp"

namespace bench::map {

/// Where callers of a shape are; or `one_core`.
inline std::string place_of(Shape shape) {
  return shape.threads == 1 ? "processes" : "threads of one process";
}

/// All contenders, in one shape or in several, and each in all operations: all of it in the same
/// turns. `place`: where they are, if it is not what their shape says.
inline std::vector<Cell> measure(std::vector<Candidate> const& contenders,
                                 std::string const& socket, std::vector<Shape> const& shapes,
                                 std::vector<std::string> const& operations, Plan const& plan,
                                 std::string const& place = {}) {
  std::vector<std::unique_ptr<Team>> teams;
  for (auto const shape : shapes) {
    for (auto const& each : contenders)
      teams.push_back(std::make_unique<Team>(each, socket, shape));
  }
  struct Part {
    Team* team;
    std::string operation;
  };
  std::vector<Part> parts;
  for (auto const shape : shapes) {
    for (auto const& operation : operations) {
      for (auto const& team : teams) {
        if (team->shape().threads == shape.threads) parts.push_back({team.get(), operation});
      }
    }
  }
  // Warm: connections, scripts.
  for (auto const& [team, operation] : parts) (void)team->run(plan.window, operation);
  auto const slices = take_turns(parts.size(), plan.windows, [&](std::size_t i) {
    return parts[i].team->run(plan.window, parts[i].operation);
  });
  std::vector<Cell> out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto& [team, operation] = parts[i];
    auto& cell = out.emplace_back(Cell{.place = place.empty() ? place_of(team->shape()) : place,
                                       .shape = team->shape(),
                                       .operation = operation,
                                       .contender = team->name()});
    summarise(cell, slices[i]);
    auto const overheard = Overheard::of(socket, [&, doing = operation, used = team] {
      return used->run(2 * plan.window, doing).took.size();
    });
    cell.commands = overheard.commands;
    cell.in_scripts = overheard.in_scripts;
    if (operation == operations::update) cell.lost = team->lost();
  }
  return out;
}

}  // namespace bench::map
