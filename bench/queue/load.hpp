#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <sys/resource.h>

#include "bare.hpp"
#include "candidate.hpp"
#include "process.hpp"
#include "quantile.hpp"
#include "queue/entrants.hpp"
#include "queue/plan.hpp"
#include "queue/slice.hpp"
#include "queue/team.hpp"
#include "server_time.hpp"
#include "turns.hpp"
#include "usage.hpp"

namespace bench::queue {

/// The processor time of a load: all jobs are pushed by the workers, then done by them.
struct Load {
  std::string contender;
  int workers;
  int at_once;  ///< jobs of a call
  std::int64_t jobs;
  double clients = 0;  ///< milliseconds, user and system, of all client processes: median
  double server = 0;   ///< of the server: median
  double total = 0;    ///< of both: median

  [[nodiscard]] std::string name() const {
    return at_once == 1 ? contender : fmt::format("{}, {} at once", contender, at_once);
  }
};

/// One way to do it, over and over.
class Loader {
 public:
  Loader() = default;
  Loader(Loader const&) = delete;
  Loader& operator=(Loader const&) = delete;
  virtual ~Loader() = default;

  /// Milliseconds of the clients for so many jobs.
  virtual double run(std::int64_t jobs) = 0;
};

class TeamLoader final : public Loader {
 public:
  TeamLoader(Candidate const& candidate, std::string const& socket, int workers, int at_once)
      : team_{candidate, socket, {workers}, fmt::format("load by {}", at_once)},
        at_once_{at_once} {}

  double run(std::int64_t jobs) override {
    auto out = team_.complete(jobs, {Operation::push, at_once_});
    out += team_.complete(jobs, {Operation::work, at_once_});
    return out / 1000;
  }

 private:
  Team team_;
  int at_once_;
};

/// The traffic of the reliable list by the server's own tool: one process, as many connections as
/// there are workers.
class RedisBenchmark final : public Loader {
 public:
  RedisBenchmark(std::string socket, int clients)
      : socket_{std::move(socket)}, clients_{clients}, server_{Bare::over_unix(socket_)} {
    (void)run(1000);  // so that it is missed here, where it is missing
  }

  double run(std::int64_t jobs) override {
    auto const before = of_children();
    call(jobs, {"LPUSH", queue, job});
    expect(queue, jobs);
    call(jobs, {"LMOVE", queue, busy, "RIGHT", "LEFT"});
    expect(busy, jobs);
    call(jobs, {"LREM", busy, "1", job});
    expect(busy, 0);
    return of_children() - before;
  }

 private:
  static constexpr auto queue = "redis-benchmark";
  static constexpr auto busy = "redis-benchmark busy";
  static constexpr auto job = "1234567890123456";

  /// Milliseconds, of those that have ended.
  static double of_children() { return Usage::so_far(RUSAGE_CHILDREN).cpu_microseconds / 1000; }

  void call(std::int64_t jobs, std::vector<std::string> const& command) const {
    std::vector<std::string> words{
        "redis-benchmark",    "-s", socket_, "-c", std::to_string(clients_), "-n",
        std::to_string(jobs), "-q"};
    words.insert(words.end(), command.begin(), command.end());
    Process process{words, Process::Output::standard};
    while (process.hear()) {
    }
  }
  void expect(std::string const& list, std::int64_t length) {
    if (server_.command("LLEN", list)->integer != length)
      throw std::runtime_error{"redis-benchmark did not do what it was told"};
  }

  std::string socket_;
  int clients_;
  Bare server_;
};

/// All in turns. `contenders`: of those with a name here the ones that do not take minutes.
inline std::vector<Load> measure_load(std::vector<Candidate> const& contenders,
                                      std::string const& socket, Plan const& plan) {
  std::vector<Load> out;
  std::vector<std::unique_ptr<Loader>> loaders;
  auto const add = [&](std::string const& name, int at_once, std::unique_ptr<Loader> loader) {
    out.push_back({name, plan.workers, at_once, plan.load});
    loaders.push_back(std::move(loader));
  };
  add(names::redis_benchmark, 1, std::make_unique<RedisBenchmark>(socket, plan.workers));
  for (auto const& each : contenders) {
    if (each.name == names::rq) continue;  // for which it is minutes
    for (int const at_once : {1, Plan::at_once}) {
      if (can(each.name, {Operation::work, at_once}))
        add(each.name, at_once, std::make_unique<TeamLoader>(each, socket, plan.workers, at_once));
    }
  }
  auto server = Bare::over_unix(socket);
  struct Spent {
    double clients, server;
  };
  auto const rounds = take_turns(loaders.size(), plan.loads, [&](std::size_t i) {
    auto const before = server_microseconds(server);
    auto const clients = loaders[i]->run(plan.load);
    return Spent{clients, (server_microseconds(server) - before) / 1000};
  });
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::vector<double> clients;
    std::vector<double> servers;
    std::vector<double> totals;
    for (auto const& spent : rounds[i]) {
      clients.push_back(spent.clients);
      servers.push_back(spent.server);
      totals.push_back(spent.clients + spent.server);
    }
    out[i].clients = median(std::move(clients));
    out[i].server = median(std::move(servers));
    out[i].total = median(std::move(totals));
  }
  return out;
}

}  // namespace bench::queue
