// The parts of the queue's benchmark that could be wrong without anybody seeing it in their tables.

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/testing/redis_server.hpp>

#include "answer.hpp"
#include "bare.hpp"
#include "candidate.hpp"
#include "places.hpp"
#include "queue/cell.hpp"
#include "queue/entrants.hpp"
#include "queue/flow.hpp"
#include "queue/load.hpp"
#include "queue/slice.hpp"
#include "queue/targets.hpp"
#include "queue/team.hpp"
#include "server_time.hpp"
#include "support/benchmark_run.hpp"

namespace bench::queue {
namespace {

using namespace std::chrono_literals;
using tandem::testing::RedisServer;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;

Candidate contender(std::string const& name) {
  return {name, {TANDEM_BENCH_QUEUE, "--work", name}};
}

Operation const push_one{Operation::push, 1};
Operation const push_many{Operation::push, 100};
Operation const work_one{Operation::work, 1};
Operation const work_many{Operation::work, 100};

TEST(QueueCellTest, HasTheMediansOfItsSlices) {
  auto const slice = [](std::int64_t jobs, double in_window, std::vector<std::int64_t> took) {
    return Slice{.jobs = jobs,
                 .in_window = in_window,
                 .took = std::move(took),
                 .cpu_microseconds = 600,
                 .server_microseconds = 1200};
  };
  Cell cell{.place = "any", .shape = {4}, .operation = push_one, .contender = "any"};
  summarise(cell, {slice(2, 1.5, {1000, 2000}), slice(3, 2.5, {3000, 4000}), slice(4, 9, {9000})});
  EXPECT_EQ(cell.per_window, 2.5);
  EXPECT_EQ(cell.p50, 3);
  EXPECT_EQ(cell.cpu, 200);
  EXPECT_EQ(cell.server_cpu, 400);
}

class QueueTeamTest : public ::testing::TestWithParam<char const*> {
 protected:
  RedisServer server_;
  Bare connection_ = Bare::over_unix(server_.socket_path());

  [[nodiscard]] Team team(int processes) const {
    return Team{contender(GetParam()), server_.socket_path(), {processes}, "test"};
  }
  [[nodiscard]] std::string queue(int processes) const {
    return fmt::format("{} {} test", GetParam(), processes);
  }
};

TEST_P(QueueTeamTest, DoesEachJobOnceWhoeverPushedIt) {
  auto team = this->team(2);
  for (auto const& operation : {push_one, push_many, work_one, work_many}) {
    auto const slice = team.run(200ms, operation);
    EXPECT_GT(slice.jobs, 0) << operation.text();
    EXPECT_EQ(slice.jobs, static_cast<std::int64_t>(slice.took.size()) * operation.at_once);
    EXPECT_THAT(slice.in_window, AllOf(Gt(0), Le(static_cast<double>(slice.jobs))));
    EXPECT_GT(slice.server_microseconds, 0);
  }
  EXPECT_EQ(team.lost(), 0);
}

TEST_P(QueueTeamTest, SeesWhichJobsAreLostAndWhichNobodyPushed) {
  auto team = this->team(1);
  (void)team.complete(10, push_one);
  connection_.command("DEL", queue(1));
  EXPECT_EQ(team.lost(), 10);
  (void)team.complete(3, push_one);
  auto another = this->team(1);
  (void)another.complete(4, push_one);
  EXPECT_EQ(team.lost(), 10 - 4);
}

INSTANTIATE_TEST_SUITE_P(Contenders, QueueTeamTest, ::testing::Values(names::ours, names::bare));

TEST(QueueFlowTest, EveryJobReachesAWorkerThatWaits) {
  RedisServer const server;
  auto const socket = server.socket_path();
  for (auto const* const each : {names::ours, names::bare}) {
    FlowTeam team{contender(each), {any_cores, socket, socket}, 3};
    auto const since = team.run(300ms);
    EXPECT_THAT(since, AllOf(SizeIs(Ge(1U)), SizeIs(Le(30U)), Each(Gt(0)))) << each;
  }
}

TEST(QueueLoadTest, RedisBenchmarkDoesWhatItIsSaidToDo) {
  if (!RedisBenchmark::is_there()) GTEST_SKIP() << "redis-benchmark is not installed";
  RedisServer const server;
  auto connection = Bare::over_unix(server.socket_path());
  RedisBenchmark tool{server.socket_path(), 4};
  connection.command("CONFIG", "RESETSTAT");
  EXPECT_GT(tool.run(500), 0);
  auto const reply = connection.command("INFO", "commandstats");
  std::string const said{reply->str, reply->len};
  for (auto const* const command : {"lpush", "lmove", "lrem"})
    EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("cmdstat_{}:calls=500,", command)));
}

TEST(ServerTimeTest, GrowsByWhatTheServerDoes) {
  RedisServer const server;
  auto connection = Bare::over_unix(server.socket_path());
  auto const before = server_microseconds(connection);
  connection.command("EVAL", "local n = 0 for i = 1, 1e6 do n = n + i % 7 end return n", "0");
  EXPECT_GT(server_microseconds(connection) - before, 100);
}

template <class Cell>
std::vector<std::string> said(std::vector<Cell> const& cells) {
  std::vector<std::string> out;
  for (auto const& verdict : targets::of(cells))
    out.push_back(fmt::format("{} {:.2f} {}", verdict.what, verdict.figure, verdict.holds()));
  return out;
}

TEST(QueueTargetsTest, AreHeldAgainstWhatAJobTakesInAll) {
  auto const cell = [](char const* contender, Operation const& operation, double commands) {
    return Cell{.place = "any",
                .shape = {8},
                .operation = operation,
                .contender = contender,
                .commands = commands,
                .lost = -2};
  };
  EXPECT_THAT(said<Cell>({cell(names::ours, push_one, 1), cell(names::bare, push_one, 9),
                          cell(names::ours, work_one, 2.5), cell(names::ours, push_many, 0.5),
                          cell(names::ours, work_many, 0.7)}),
              ElementsAre("jobs lost or given twice 2.00 false", "commands per job 3.50 false",
                          "commands per job, 100 at once 1.20 true"));
  EXPECT_THAT(said<Cell>({cell(names::bare, push_one, 1), cell(names::bare, work_one, 9)}),
              IsEmpty());
}

TEST(QueueTargetsTest, OfWhoWaitsAndOfTheLoad) {
  auto const flow = [](char const* contender, double commands) {
    Flow out;
    out.contender = contender;
    out.workers = 1;
    out.commands = commands;
    return out;
  };
  EXPECT_THAT(said<Flow>({flow(names::ours, 3), flow(names::ours, 3.1), flow(names::bare, 9)}),
              ElementsAre("commands per job where workers wait 3.00 true",
                          "commands per job where workers wait 3.10 false"));
  EXPECT_THAT(said<Idle>({{8, names::ours, 1.2}, {8, names::bullmq, 5}}),
              ElementsAre("commands per second of an idle worker 1.20 false"));
  auto const load = [](char const* contender, int at_once, double total) {
    return Load{contender, 8, at_once, 100, 0, 0, total};
  };
  EXPECT_THAT(said<Load>({load(names::ours, 1, 31), load(names::redis_benchmark, 1, 10),
                          load(names::ours, 100, 30), load(names::bare, 1, 99)}),
              ElementsAre("processor time / that of redis-benchmark 3.10 false",
                          "processor time / that of redis-benchmark, 100 at once 3.00 true"));
  EXPECT_THAT(said<Load>({load(names::ours, 1, 31)}), IsEmpty());
}

// The benchmark as a person starts it, but with those contenders only that need nothing else.
TEST(QueueBenchmarkTest, WritesAPlausibleFigureForEveryContenderInEveryLine) {
  tandem::support::BenchmarkRun const run{TANDEM_BENCH_QUEUE, "--only hiredis,tandem"};
  auto const number = [&run](std::string const& part, std::string const& name) {
    std::vector<double> out;
    for (auto const& line : run.lines_with(part)) out.push_back(Answer{line}.number(name));
    return out;
  };
  auto const figures = [&number](std::string const& contender, Operation const& operation,
                                 std::string const& name) {
    return number(fmt::format(R"("verb": "{}", "at_once": {}, "contender": "{}")", operation.verb,
                              operation.at_once, contender),
                  name);
  };
  auto const lie = [](double from, double to) { return Each(AllOf(Ge(from), Le(to))); };
  for (auto const* const each : {"hiredis", "tandem"}) {
    for (auto const& operation : {push_one, push_many, work_one, work_many}) {
      auto const what = fmt::format("{}, {}", each, operation.text());
      EXPECT_THAT(figures(each, operation, "per_window"), SizeIs(3))
          << what << ": one core, 1 process, 8 processes";
      EXPECT_THAT(figures(each, operation, "server_cpu_us"), Each(Gt(0))) << what;
      EXPECT_THAT(figures(each, operation, "lost"), ElementsAre(0, 0, 0)) << what;
    }
    auto const flow = fmt::format(R"("contender": "{}", "round_trip_us": )", each);
    EXPECT_THAT(number(flow, "p50_us"), AllOf(SizeIs(4), Each(Gt(0)))) << each;
    EXPECT_THAT(number(flow, "jobs"), Each(Gt(0))) << each;
    EXPECT_THAT(number(flow, "commands"), lie(3, 3.5)) << each;
    auto const spread = fmt::format(R"("contender": "{}", "part": )", each);
    EXPECT_EQ(run.count(spread), 400) << "a point for each per cent, in each place";
    auto const idle = fmt::format(R"("contender": "{}", "commands_per_second": )", each);
    EXPECT_THAT(number(idle, "commands_per_second"), AllOf(SizeIs(1), lie(0, 1))) << each;
    auto const load = fmt::format(R"("contender": "{}", "at_once": )", each);
    EXPECT_THAT(number(load, "together_us"), AllOf(SizeIs(2), Each(Gt(0)))) << each;
  }
  // A few more where somebody's background says something meanwhile.
  EXPECT_THAT(figures("hiredis", push_one, "commands"), lie(1, 1.1));
  EXPECT_THAT(figures("hiredis", work_many, "commands"), lie(2, 2.1));
  EXPECT_THAT(figures("tandem", push_one, "commands"), lie(1, 1.1));
  EXPECT_THAT(figures("tandem", work_one, "commands"), lie(2, 2.1));
  EXPECT_THAT(figures("tandem", push_many, "commands"), lie(0.01, 0.02));
  EXPECT_THAT(figures("tandem", work_many, "commands"), lie(0.02, 0.04));
  EXPECT_THAT(figures("tandem", work_one, "commands_in_scripts"), lie(1, 40));
  for (auto const* const target :
       {"jobs lost or given twice", "commands per job", "commands per job, 100 at once",
        "commands per job where workers wait", "commands per second of an idle worker"}) {
    auto const lines = run.lines_with(fmt::format(R"("what": "{}")", target));
    EXPECT_THAT(lines, SizeIs(Ge(1U))) << target;
    EXPECT_THAT(lines, Each(::testing::HasSubstr(R"("holds": true)"))) << target;
  }
}

}  // namespace
}  // namespace bench::queue
