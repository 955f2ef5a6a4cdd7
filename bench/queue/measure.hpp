#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "candidate.hpp"
#include "overheard.hpp"
#include "queue/cell.hpp"
#include "queue/entrants.hpp"
#include "queue/plan.hpp"
#include "queue/slice.hpp"
#include "queue/team.hpp"
#include "shape.hpp"
#include "turns.hpp"

namespace bench::queue {

/// All contenders in as many processes, which all push or all work, one by one and in batches: all
/// of it in the same turns.
inline std::vector<Cell> measure(std::vector<Candidate> const& contenders,
                                 std::string const& socket, Shape shape, Plan const& plan,
                                 std::string const& place) {
  std::vector<std::unique_ptr<Team>> teams;
  for (auto const& each : contenders)
    teams.push_back(std::make_unique<Team>(each, socket, shape, place));
  struct Part {
    Team* team;
    Operation operation;
  };
  std::vector<Part> parts;
  for (int const at_once : {1, Plan::at_once}) {
    for (auto const* const verb : {Operation::push, Operation::work}) {
      for (auto const& team : teams) {
        Operation const operation{verb, at_once};
        if (can(team->name(), operation)) parts.push_back({team.get(), operation});
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
    auto& cell = out.emplace_back(
        Cell{.place = place, .shape = shape, .operation = operation, .contender = team->name()});
    summarise(cell, slices[i]);
    auto const length = 2 * plan.window;
    team->prepare(length, operation);
    auto const overheard = Overheard::of(socket, [&, doing = operation, used = team] {
      return static_cast<std::size_t>(used->run_prepared(length, doing).jobs);
    });
    cell.commands = overheard.commands;
    cell.in_scripts = overheard.in_scripts;
  }
  for (auto const& team : teams) {
    auto const lost = team->lost();
    for (auto& cell : out) {
      if (cell.contender == team->name()) cell.lost = lost;
    }
  }
  return out;
}

}  // namespace bench::queue
