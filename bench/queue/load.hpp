#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
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
  double clients = 0;  ///< microseconds for a job, of all client processes: median of the rounds
  double server = 0;   ///< of the server
  double total = 0;    ///< of both

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

  /// Microseconds of the clients for so many jobs, user and system.
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
    return out;
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
      : socket_{std::move(socket)}, clients_{clients}, server_{Bare::over_unix(socket_)} {}

  [[nodiscard]] static bool is_there() {
    try {
      Process const found{{"redis-benchmark", "--version"}, Process::Output::standard};
      return true;
    } catch (std::system_error const&) {
      return false;
    }
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

  /// That have ended.
  static double of_children() { return Usage::so_far(RUSAGE_CHILDREN).cpu_microseconds; }

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

/// The slow ones do fewer: all of it would take them minutes.
inline std::int64_t jobs_for(std::string_view contender, Plan const& plan) {
  if (contender == names::rq) return plan.load / 100;
  if (contender == names::bullmq) return plan.load / 10;
  return plan.load;
}

/// What the others are compared with; none where it is not installed.
inline Load const* reference(std::vector<Load> const& cells) {
  auto const found = std::find_if(cells.begin(), cells.end(), [](Load const& cell) {
    return cell.contender == names::redis_benchmark;
  });
  return found == cells.end() ? nullptr : &*found;
}

/// All in turns.
inline std::vector<Load> measure_load(std::vector<Candidate> const& contenders,
                                      std::string const& socket, Plan const& plan) {
  std::vector<Load> out;
  std::vector<std::unique_ptr<Loader>> loaders;
  auto const add = [&](std::string const& name, int at_once, std::unique_ptr<Loader> loader) {
    out.push_back({name, plan.workers, at_once, jobs_for(name, plan)});
    loaders.push_back(std::move(loader));
  };
  if (RedisBenchmark::is_there())
    add(names::redis_benchmark, 1, std::make_unique<RedisBenchmark>(socket, plan.workers));
  for (auto const& each : contenders) {
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
    auto const jobs = static_cast<double>(out[i].jobs);
    auto const before = server_microseconds(server);
    auto const clients = loaders[i]->run(out[i].jobs);
    return Spent{clients / jobs, (server_microseconds(server) - before) / jobs};
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
