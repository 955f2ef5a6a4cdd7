// What a lock costs that many processes want: tandem's beside the ways in which others build one.
// docs/benchmarks/locks.md says what is measured, and how to read it.
//
//   lock [--quick] [--windows N] [--only NAME,...] [--json FILE]
//
//   --quick    2 and 16 processes only, and little of everything
//   --windows  of 50 ms, for each contender in each line of the table; more with many callers
//   --only     these contenders, by the names that the tables have for them
//   --json     writes the figures there too
//
// Its other two faces are programs that it starts:
//
//   lock --work CONTENDER SOCKET NAME LEASE CALLERS
//   lock --watch PID

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <tandem/testing/redis_server.hpp>

#include "arguments.hpp"
#include "lock/crash.hpp"
#include "lock/entrants.hpp"
#include "lock/measure.hpp"
#include "lock/plan.hpp"
#include "lock/report.hpp"
#include "lock/table.hpp"
#include "lock/targets.hpp"
#include "lock/worker.hpp"
#include "machine.hpp"
#include "one_core.hpp"
#include "places.hpp"
#include "server_version.hpp"
#include "verdict.hpp"
#include "workers.hpp"

namespace {

using namespace bench::lock;

/// `words`: the name of a contender, and its task.
int work(std::vector<std::string> const& words) {
  return bench::workers::be_one([&words] {
    auto const task = Task::of({words.begin() + 1, words.end()});
    auto const library = make(words.front(), task);
    Worker{*library, task.callers}.serve();
  });
}

template <class Cells>
void note(Report& report, Cells& all, Cells const& group) {
  table::print(group);
  report.note(all, group, targets::of(group));
}

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);  // a contender that has ended is an error like others
  if (argc > 2 && std::string_view{argv[1]} == "--work") return work({argv + 2, argv + argc});
  if (argc > 2 && std::string_view{argv[1]} == "--watch") {
    watch(std::atoi(argv[2]));
    return 0;
  }
  bench::Arguments arguments{argc, argv};
  auto plan = arguments.flag("--quick") ? Plan::quick() : Plan{};
  plan.windows = arguments.number("--windows").value_or(plan.windows);
  auto const only = arguments.text("--only").value_or("");
  auto const json = arguments.text("--json");
  arguments.expect_no_more();

  tandem::testing::RedisServer const server;
  auto const socket = server.socket_path();
  Report report{
      {.machine = bench::Machine::now(),
       .server = bench::server_version(server.url()),
       .plan = plan,
       .entrants = entrants(TANDEM_BENCH_PROGRAMS, TANDEM_BENCH_NODE_MODULES, socket, only)}};
  auto const& contenders = report.entrants.present;
  report.print_head();

  table::print_head(plan);
  {
    bench::OneCore const pinned{server.pid()};
    note(report, report.uncontended, uncontended(contenders, socket, bench::one_core, plan));
  }
  note(report, report.uncontended, uncontended(contenders, socket, "any core", plan));

  table::print_contended_head(plan);
  {
    bench::OneCore const pinned{server.pid()};
    note(report, report.contended,
         contended(contenders, socket, {{.processes = 2}}, " on one core", plan));
  }
  for (int const processes : plan.processes) {
    std::vector<bench::Shape> shapes{{.processes = processes}};
    if (processes == 16) shapes.push_back({.processes = 1, .threads = 16});
    note(report, report.contended, contended(contenders, socket, shapes, "", plan));
  }

  table::print_crash_head();
  for (auto const& entrant : contenders) {
    if (!entrant.waits) continue;
    bool const ours = entrant.name == names::ours;
    note(report, report.crashes,
         {crash(entrant, socket, ours ? plan.kill_lease : plan.short_lease,
                ours ? plan.kills : plan.short_kills, plan.patience)});
  }

  bench::print_missed(report.verdicts);
  if (json) report.json().save(*json);
} catch (std::exception const& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}
