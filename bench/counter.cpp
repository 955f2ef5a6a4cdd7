// What it costs that many processes add to one number: tandem's counters beside the ways in which
// others count. docs/benchmarks/counters.md says what is measured, and how to read it.
//
//   counter [--quick] [--windows N] [--only NAME,...] [--json FILE]
//
//   --quick    1 and 16 callers only, and little of everything
//   --windows  of 50 ms, for each contender in each line of the table
//   --only     these contenders, by the names that the tables have for them
//   --json     writes the figures there too
//
// Its other face is a program that it starts:
//
//   counter --work CONTENDER SOCKET TYPE CALLERS

#include <algorithm>
#include <cmath>
#include <csignal>
#include <exception>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <tandem/testing/redis_server.hpp>

#include "arguments.hpp"
#include "counter/entrants.hpp"
#include "counter/local.hpp"
#include "counter/measure.hpp"
#include "counter/plan.hpp"
#include "counter/report.hpp"
#include "counter/table.hpp"
#include "counter/targets.hpp"
#include "counter/worker.hpp"
#include "machine.hpp"
#include "one_core.hpp"
#include "places.hpp"
#include "server_version.hpp"
#include "verdict.hpp"
#include "workers.hpp"

namespace {

using namespace bench::counter;

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

void measure_within_the_process(Report& report, tandem::testing::RedisServer const& server) {
  auto const& plan = report.plan;
  LocalAdds adds{server.url()};
  table::print_local_head();
  {
    bench::OneCore const pinned{server.pid()};
    note(report, report.local, adds.measure(bench::one_core, 1, plan));
  }
  std::vector<Local> any_cores;
  auto const cores = static_cast<int>(std::thread::hardware_concurrency());
  for (int threads = 1;; threads = std::min(2 * threads, cores)) {
    auto const group = adds.measure(bench::any_cores, threads, plan);
    any_cores.insert(any_cores.end(), group.begin(), group.end());
    if (threads == cores) break;
  }
  compare_with_one_thread(any_cores);
  note(report, report.local, any_cores);
  std::vector<bench::Verdict> const verdicts{
      {"commands for a flush interval, BufferedCounter", bench::any_cores, 1,
       adds.commands_for_an_interval(server.socket_path(), plan.flush_intervals), 1},
      {"adds lost or counted twice, BufferedCounter", bench::any_cores, cores,
       std::abs(static_cast<double>(adds.lost())), 0}};
  bench::print(verdicts);
  report.verdicts.insert(report.verdicts.end(), verdicts.begin(), verdicts.end());
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
  Report report{
      {.machine = bench::Machine::now(),
       .server = bench::server_version(server.url()),
       .plan = plan,
       .entrants = entrants(TANDEM_BENCH_PROGRAMS, TANDEM_BENCH_NODE_MODULES, socket, only)}};
  auto const& contenders = report.entrants.present;
  report.print_head();

  measure_within_the_process(report, server);

  table::print_head(plan);
  {
    bench::OneCore const pinned{server.pid()};
    note(report, report.cells,
         measure(contenders, socket, {{.processes = 1}}, plan, bench::one_core));
  }
  note(report, report.cells, measure(contenders, socket, {{.processes = 1}}, plan));
  for (int const callers : plan.callers) {
    note(report, report.cells,
         measure(contenders, socket, {{.processes = callers}, {.processes = 1, .threads = callers}},
                 plan));
  }

  bench::print_missed(report.verdicts);
  if (json) report.json().save(*json);
} catch (std::exception const& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}
