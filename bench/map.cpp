// What it costs that many processes use one map: tandem's maps beside HGET and HSET by others, and
// entries that are read from memory. docs/benchmarks/maps.md says what is measured, and how to read
// it.
//
//   map [--quick] [--windows N] [--only NAME,...] [--json FILE]
//
//   --quick    1 and 16 callers only, and little of everything
//   --windows  of 50 ms, for each contender in each line of the tables
//   --only     these contenders that ask the server, by the names that the tables have for them
//   --json     writes the figures there too
//
// Its other faces are programs that it starts:
//
//   map --work CONTENDER SOCKET MAP CALLERS
//   map --mix HOW SOCKET MAP CALLERS
//   map --news HOW ROLE SOCKET MAP CALLERS

#include <csignal>
#include <exception>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <tandem/testing/redis_server.hpp>

#include "arguments.hpp"
#include "delay.hpp"
#include "machine.hpp"
#include "map/entrants.hpp"
#include "map/local.hpp"
#include "map/measure.hpp"
#include "map/mixed.hpp"
#include "map/news.hpp"
#include "map/plan.hpp"
#include "map/report.hpp"
#include "map/table.hpp"
#include "map/targets.hpp"
#include "map/worker.hpp"
#include "one_core.hpp"
#include "places.hpp"
#include "server_version.hpp"
#include "support/scratch_folder.hpp"
#include "verdict.hpp"
#include "workers.hpp"

namespace {

using namespace bench::map;

/// `words`: what follows the name of the face.
int work(std::string_view face, std::vector<std::string> const& words) {
  auto const task_from = [&words](int first) {
    return Task::of({words.begin() + first, words.end()});
  };
  return bench::workers::be_one([&] {
    if (face == "--work") {
      auto const task = task_from(1);
      auto const library = make(words.at(0), task);
      Worker{*library, task.callers}.serve();
    } else if (face == "--mix") {
      MixedWorker{task_from(1), words.at(0)}.serve();
    } else {
      NewsWorker{task_from(2), words.at(0), words.at(1)}.serve();
    }
  });
}

bool is_face(std::string_view word) {
  return word == "--work" || word == "--mix" || word == "--news";
}

template <class Cells>
void note(Report& report, Cells& all, Cells const& group) {
  table::print(group);
  report.note(all, group, targets::of(group));
}

void measure_within_the_process(Report& report, tandem::testing::RedisServer const& server) {
  auto const& plan = report.plan;
  LocalReads reads{server.socket_path()};
  table::print_local_head();
  {
    bench::OneCore const pinned{server.pid()};
    note(report, report.local, reads.measure(bench::one_core, 1, 1, plan));
  }
  auto const cores = static_cast<int>(std::thread::hardware_concurrency());
  for (int const threads : plan.readers)
    note(report, report.local, reads.measure(bench::any_cores, threads, cores, plan));
  std::vector<bench::Verdict> const verdicts{
      {"commands while entries are read, CachedMap", bench::any_cores, cores,
       reads.commands_while_read(cores, 10 * plan.window), 0}};
  bench::print(verdicts);
  report.verdicts.insert(report.verdicts.end(), verdicts.begin(), verdicts.end());
}

void measure_beside_others(Report& report, tandem::testing::RedisServer const& server) {
  auto const& plan = report.plan;
  auto const& contenders = report.entrants.present;
  auto const socket = server.socket_path();
  std::vector<std::string> const both{operations::get, operations::set};
  std::vector<std::string> const all{operations::get, operations::set, operations::update};
  table::print_head(plan);
  {
    bench::OneCore const pinned{server.pid()};
    note(report, report.cells, measure(contenders, socket, {{1}}, all, plan, bench::one_core));
  }
  note(report, report.cells, measure(contenders, socket, {{1}}, all, plan));
  for (int const callers : plan.callers) {
    note(report, report.cells,
         measure(contenders, socket, {{.processes = callers}, {.processes = 1, .threads = callers}},
                 both, plan));
  }
}

void measure_among_processes(Report& report, tandem::testing::RedisServer const& server,
                             std::string const& far_socket) {
  auto const socket = server.socket_path();
  auto const& plan = report.plan;
  table::print_mixed_head(plan);
  for (int const processes : plan.mixed)
    note(report, report.mixed, measure_mixed(socket, processes, plan));
  table::print_news_head();
  {
    bench::OneCore const pinned{server.pid()};
    note(report, report.news, measure_news(socket, bench::one_core, plan));
  }
  note(report, report.news, measure_news(socket, bench::any_cores, plan));
  note(report, report.news, measure_news(far_socket, bench::far_away, plan));
}

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);  // a contender that has ended is an error like others
  if (argc > 2 && is_face(argv[1])) return work(argv[1], {argv + 2, argv + argc});
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
  report.print_head();

  measure_within_the_process(report, server);
  measure_beside_others(report, server);
  measure_among_processes(report, server, far_socket);

  bench::print_missed(report.verdicts);
  if (json) report.json().save(*json);
} catch (std::exception const& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}
