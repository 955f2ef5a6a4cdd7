#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "answer.hpp"
#include "candidate.hpp"
#include "overheard.hpp"
#include "places.hpp"
#include "process.hpp"
#include "quantile.hpp"
#include "queue/entrants.hpp"
#include "queue/library.hpp"
#include "queue/plan.hpp"
#include "queue/team.hpp"
#include "turns.hpp"
#include "workers.hpp"

namespace bench::queue {

/// The figures of one contender whose workers wait for what another process pushes.
struct Flow {
  std::string place;
  int workers;
  std::string contender;
  double round_trip = 0;  ///< microseconds, p50 of LPUSH by hiredis in the same turns

  std::vector<double> since{};  ///< microseconds from each push until a worker had the job
  double p50 = 0;
  double p99 = 0;
  double commands = 0;    ///< sent by all of them for a job
  double in_scripts = 0;  ///< commands that the server ran within scripts, for a job

  [[nodiscard]] double round_trips() const { return p50 / round_trip; }
};

/// What workers cost that wait for nothing.
struct Idle {
  int workers;
  std::string contender;
  double commands = 0;  ///< sent by each of them in a second
};

/// Where that is measured.
struct Scene {
  std::string place;
  std::string socket;  ///< by which the processes reach the server
  std::string server;  ///< the server's own, where it is overheard
};

/// Processes that wait for jobs, and one that pushes some.
class FlowTeam {
 public:
  FlowTeam(Candidate const& candidate, Scene scene, int workers)
      : name_{candidate.name}, scene_{std::move(scene)} {
    Task const task{scene_.socket,
                    fmt::format("{} {} flow {}", candidate.name, workers, scene_.place)};
    for (int i = 0; i <= workers; ++i) processes_.push_back(candidate.start(task.words()));
    for (auto const& process : processes_) (void)Answer::from(*process);
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  [[nodiscard]] int workers() const { return static_cast<int>(processes_.size()) - 1; }

  /// Microseconds from each push until a worker had the job.
  std::vector<double> run(std::chrono::milliseconds length) {
    begin_to_wait();
    auto const begin = workers::now() + 4'000'000;  // by then all have heard it
    return end_to_wait(begin, begin + std::chrono::nanoseconds{length}.count());
  }

  /// Commands that each worker sends in a second in which there is nothing to do.
  [[nodiscard]] double idle(std::chrono::milliseconds length) {
    begin_to_wait();
    std::this_thread::sleep_for(std::chrono::milliseconds{500});  // by then all of them wait
    auto const overheard = Overheard::of(scene_.server, [length] {
      std::this_thread::sleep_for(length);
      return std::size_t{1};
    });
    auto const now = workers::now();
    (void)end_to_wait(now, now);
    return overheard.commands / workers() / std::chrono::duration<double>{length}.count();
  }

 private:
  /// Nanoseconds between two pushes, and some: long enough for a worker to wait again.
  static constexpr std::int64_t pause = 10'000'000;

  [[nodiscard]] Process& pusher() const { return *processes_.back(); }

  void begin_to_wait() const {
    for (int i = 0; i < workers(); ++i) processes_[static_cast<std::size_t>(i)]->say("wait");
  }

  /// Jobs are pushed meanwhile; at the end one for each worker which ends its wait.
  std::vector<double> end_to_wait(std::int64_t begin, std::int64_t end) {
    pusher().say(fmt::format("send {} {} {} {}", begin, end, pause, workers()));
    (void)Answer::from(pusher());
    std::vector<double> out;
    for (int i = 0; i < workers(); ++i) {
      auto const answer = Answer::from(*processes_[static_cast<std::size_t>(i)]);
      for (auto const each : answer.numbers<std::int64_t>("since_ns"))
        out.push_back(static_cast<double>(each) / 1000);
    }
    return out;
  }

  std::string name_;
  Scene scene_;
  std::vector<std::unique_ptr<Process>> processes_{};
};

/// All contenders with so many workers, in the same turns, and a bare round trip in these, too.
inline std::vector<Flow> measure_flow(std::vector<Candidate> const& contenders, Scene const& scene,
                                      int workers, Plan const& plan) {
  std::vector<std::unique_ptr<FlowTeam>> teams;
  for (auto const& each : contenders) {
    // It asks the server so often that it would never wait there.
    if (each.name == names::rq && scene.place == far_away) continue;
    teams.push_back(std::make_unique<FlowTeam>(each, scene, workers));
  }
  Team bare{own_candidate(names::bare), scene.socket, {1}, "trips"};
  Operation const trip{Operation::push, 1};
  std::vector<Flow> out;
  for (auto const& team : teams)
    out.push_back({.place = scene.place, .workers = workers, .contender = team->name()});
  std::vector<double> round_trips;
  for (auto const& team : teams) (void)team->run(plan.flow);  // warm
  (void)bare.run(plan.window, trip);
  (void)take_turns(teams.size() + 1, plan.flow_slices, [&](std::size_t i) {
    if (i < teams.size()) {
      auto const since = teams[i]->run(plan.flow);
      out[i].since.insert(out[i].since.end(), since.begin(), since.end());
    } else {
      for (auto const ns : bare.run(plan.window, trip).took)
        round_trips.push_back(static_cast<double>(ns) / 1000);
    }
    return 0;
  });
  for (std::size_t i = 0; i < teams.size(); ++i) {
    auto& cell = out[i];
    auto& team = *teams[i];
    cell.round_trip = median(round_trips);
    cell.p50 = median(cell.since);
    cell.p99 = quantile(cell.since, 0.99);
    auto const overheard = Overheard::of(scene.server, [&] {
      // Those that end a wait are jobs like others.
      return team.run(4 * plan.flow).size() + static_cast<std::size_t>(team.workers());
    });
    cell.commands = overheard.commands;
    cell.in_scripts = overheard.in_scripts;
  }
  return out;
}

/// One contender after the other.
inline std::vector<Idle> measure_idle(std::vector<Candidate> const& contenders,
                                      std::string const& socket, Plan const& plan) {
  std::vector<Idle> out;
  for (auto const& each : contenders) {
    FlowTeam team{each, {"idle", socket, socket}, plan.workers};
    (void)team.run(plan.flow);  // warm
    out.push_back({plan.workers, each.name, team.idle(plan.idle)});
  }
  return out;
}

}  // namespace bench::queue
