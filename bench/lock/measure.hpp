#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "lock/cell.hpp"
#include "lock/entrants.hpp"
#include "lock/plan.hpp"
#include "lock/team.hpp"
#include "monitor.hpp"
#include "overheard.hpp"
#include "turns.hpp"

namespace bench::lock {

/// The slices of each team.
inline std::vector<std::vector<Slice>> run(std::vector<std::unique_ptr<Team>> const& teams,
                                           int slices, std::chrono::milliseconds length,
                                           Work const& work) {
  // Warm: connections, scripts.
  for (auto const& team : teams) (void)team->run(std::chrono::milliseconds{50}, work);
  return take_turns(teams.size(), slices,
                    [&](std::size_t i) { return teams[i]->run(length, work); });
}

/// Fills in how many commands an acquisition takes, from a slice that is not timed.
template <class Cell>
void count_commands(Cell& cell, Team& team, std::string const& socket,
                    std::chrono::milliseconds window, Work const& work) {
  auto const overheard =
      Overheard::of(socket, [&] { return team.run(2 * window, work).acquisitions.size(); });
  cell.in_scripts = overheard.in_scripts;
  cell.commands = overheard.commands;
}

inline std::vector<Uncontended> uncontended(std::vector<Entrant> const& entrants,
                                            std::string const& socket, std::string const& place,
                                            Plan const& plan) {
  std::vector<std::unique_ptr<Team>> teams;
  for (auto const& entrant : entrants)
    teams.push_back(std::make_unique<Team>(entrant, socket, plan.lease, Shape{1}));
  auto const slices = run(teams, plan.windows, plan.window, {});
  std::vector<Uncontended> out;
  for (std::size_t i = 0; i < teams.size(); ++i) {
    out.push_back({.place = place, .contender = teams[i]->name()});
    summarise(out.back(), slices[i], plan.window);
    count_commands(out.back(), *teams[i], socket, plan.window, {});
  }
  return out;
}

/// Commands per second that each process of a team sends which waits while nothing happens.
inline double idle_commands(Team& team, std::string const& socket,
                            std::chrono::milliseconds length) {
  auto const& holder = team.processes().front();
  auto const others = [&](auto const& act) {
    for (auto const& process : team.processes()) {
      if (process != holder) act(*process);
    }
  };
  holder->say("hold");
  (void)Answer::from(*holder);
  others([](Process const& process) { process.say("hold\nrelease"); });
  // Until all of them wait and the first excitement is over.
  std::this_thread::sleep_for(std::chrono::milliseconds{200});
  Monitor monitor{socket};
  std::this_thread::sleep_for(length);
  auto const heard = monitor.stop();
  holder->say("release");
  (void)Answer::from(*holder);
  others([](Process& process) {
    (void)Answer::from(process);
    (void)Answer::from(process);
  });
  auto const sent = std::count_if(heard.begin(), heard.end(),
                                  [](auto const& command) { return !command.by_script; });
  return static_cast<double>(sent) / std::chrono::duration<double>{length}.count() /
         (team.shape().processes - 1);
}

inline std::string described(Shape shape, std::string const& where, Work const& work) {
  auto out =
      fmt::format("{}{}, held {} ms", shape.threads == 1 ? "processes" : "threads of one process",
                  where, work.section.count() / 1000);
  if (work.rest.count() > 0) out += fmt::format(", then a rest of {} us", work.rest.count());
  return out;
}

/// All contenders with so many callers, of one shape or of several in the same turns. `where`: what
/// is to be said of their cores.
inline std::vector<Contended> contended(std::vector<Entrant> const& entrants,
                                        std::string const& socket, std::vector<Shape> const& shapes,
                                        std::string const& where, Plan const& plan) {
  using std::chrono::microseconds;
  std::vector<std::unique_ptr<Team>> teams;
  for (auto const shape : shapes) {
    for (auto const& entrant : entrants) {
      if (entrant.waits)
        teams.push_back(std::make_unique<Team>(entrant, socket, plan.lease, shape));
    }
  }
  auto const contenders = teams.size();
  // In the same rhythm as they: a server that was idle for a millisecond answers more slowly.
  teams.push_back(std::make_unique<Team>(ping(), socket, plan.lease, Shape{1}));

  std::vector<double> idle(contenders);
  for (std::size_t i = 0; i < contenders; ++i) {
    if (teams[i]->shape().processes > 1) idle[i] = idle_commands(*teams[i], socket, plan.idle);
  }
  std::vector<Contended> out;
  std::vector<Work> works{{}, {.section = microseconds{1000}}};
  // Where who releases asks again at once, its question competes with the hand-off for processors.
  if (shapes.front().callers() == 2) {
    works.push_back({.section = microseconds{1000}, .rest = microseconds{500}});
  }
  for (auto const& work : works) {
    auto const slices = run(teams, plan.slices(),
                            plan.window * plan.windows_of_slice(shapes.front().callers()), work);
    Contended bare{.place = {}, .shape = {1}, .work = work, .contender = names::ping};
    summarise(bare, slices.back(), plan.window);
    for (std::size_t i = 0; i < contenders; ++i) {
      auto const shape = teams[i]->shape();
      out.push_back({.place = described(shape, where, work),
                     .shape = shape,
                     .work = work,
                     .contender = teams[i]->name(),
                     .round_trip = bare.wait_p50});
      summarise(out.back(), slices[i], plan.window);
      count_commands(out.back(), *teams[i], socket, plan.window, work);
      if (shape.processes > 1) out.back().idle = idle[i];
    }
  }
  return out;
}

}  // namespace bench::lock
