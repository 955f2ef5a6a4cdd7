// What it costs that processes give each other jobs: tandem's queue beside the ways in which others
// do it. docs/benchmarks/queues.md says what is measured, and how to read it.
//
//   queue [--quick] [--windows N] [--only NAME,...] [--json FILE]
//
//   --quick    little of everything
//   --windows  of 50 ms, for each contender in each line of the first table
//   --only     these contenders, by the names that the tables have for them
//   --json     writes the figures there too
//
// Its other face is a program that it starts:
//
//   queue --work CONTENDER SOCKET QUEUE

#include <chrono>
#include <csignal>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <tandem/testing/redis_server.hpp>

#include "arguments.hpp"
#include "delay.hpp"
#include "machine.hpp"
#include "one_core.hpp"
#include "places.hpp"
#include "queue/entrants.hpp"
#include "queue/flow.hpp"
#include "queue/load.hpp"
#include "queue/measure.hpp"
#include "queue/plan.hpp"
#include "queue/report.hpp"
#include "queue/table.hpp"
#include "queue/targets.hpp"
#include "queue/worker.hpp"
#include "server_version.hpp"
#include "support/scratch_folder.hpp"
#include "verdict.hpp"
#include "workers.hpp"

namespace {

using namespace bench::queue;

/// `words`: the name of a contender, and its task.
int work(std::vector<std::string> const& words) {
  return bench::workers::be_one([&words] {
    auto const library = make(words.at(0), Task::of({words.begin() + 1, words.end()}));
    Worker{*library}.serve();
  });
}

template <class Cells>
void note(Report& report, Cells& all, Cells const& group) {
  table::print(group);
  report.note(all, group, targets::of(group));
}

void measure_throughput(Report& report, tandem::testing::RedisServer const& server) {
  auto const& plan = report.plan;
  auto const& contenders = report.entrants.present;
  auto const socket = server.socket_path();
  table::print_head(plan);
  {
    bench::OneCore const pinned{server.pid()};
    note(report, report.cells, measure(contenders, socket, {1}, plan, bench::one_core));
  }
  for (int const processes : plan.processes)
    note(report, report.cells, measure(contenders, socket, {processes}, plan, bench::any_cores));
}

void measure_waits(Report& report, tandem::testing::RedisServer const& server,
                   std::string const& far_socket) {
  auto const& plan = report.plan;
  auto const& contenders = report.entrants.present;
  auto const socket = server.socket_path();
  table::print_flow_head();
  {
    bench::OneCore const pinned{server.pid()};
    note(report, report.flow, measure_flow(contenders, {bench::one_core, socket, socket}, 1, plan));
  }
  for (int const workers : {1, plan.workers}) {
    note(report, report.flow,
         measure_flow(contenders, {bench::any_cores, socket, socket}, workers, plan));
  }
  Scene const far{bench::far_away, far_socket, socket};
  note(report, report.flow, measure_flow(contenders, far, 1, plan));
  table::print_idle_head(plan);
  note(report, report.idle, measure_idle(contenders, socket, plan));
}

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);  // a contender that has ended is an error like others
  if (argc > 2 && std::string_view{argv[1]} == "--work") return work({argv + 2, argv + argc});
  bench::Arguments arguments{argc, argv};
  auto plan = arguments.flag("--quick") ? Plan::quick() : Plan{};
  plan.windows = arguments.number("--windows").value_or(plan.windows);
  auto const only = arguments.text("--only").value_or("");
  auto const json = arguments.text("--json");
  arguments.expect_no_more();

  tandem::testing::RedisServer const server;
  auto const socket = server.socket_path();
  tandem::support::ScratchFolder const folder;
  auto const far_socket = folder.path("far.sock");
  bench::Delay const network{socket, std::chrono::milliseconds{1}, far_socket};
  Report report{
      {.machine = bench::Machine::now(),
       .server = bench::server_version(server.url()),
       .plan = plan,
       .entrants = entrants(TANDEM_BENCH_PROGRAMS, TANDEM_BENCH_NODE_MODULES, socket, only)}};
  if (!RedisBenchmark::is_there())
    report.entrants.absent.emplace_back("redis-benchmark is not installed.");
  report.print_head();

  measure_throughput(report, server);
  measure_waits(report, server, far_socket);
  table::print_load_head(plan);
  note(report, report.load, measure_load(report.entrants.present, socket, plan));

  bench::print_missed(report.verdicts);
  if (json) report.json().save(*json);
} catch (std::exception const& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}
