// The parts of the maps' benchmark that could be wrong without anybody seeing it in their tables.

#include <chrono>
#include <cstddef>
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
#include "map/asked.hpp"
#include "map/cell.hpp"
#include "map/libraries/tandem.hpp"
#include "map/library.hpp"
#include "map/local.hpp"
#include "map/local_cell.hpp"
#include "map/mixed.hpp"
#include "map/news.hpp"
#include "map/targets.hpp"
#include "map/team.hpp"
#include "support/benchmark_run.hpp"

namespace bench::map {
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

TEST(MapCellTest, HasTheMediansOfItsSlices) {
  auto const slice = [](std::int64_t in_window, std::vector<std::int64_t> took, double transfers) {
    return Slice{.in_window = in_window,
                 .took = std::move(took),
                 .cpu_microseconds = 220,
                 .transfers = transfers};
  };
  Cell cell{.place = "any", .shape = {4}, .operation = operations::get, .contender = "any"};
  summarise(cell,
            {slice(90, {1000, 2000}, 4), slice(100, {3000, 4000}, 4), slice(900, {9000}, 70)});
  EXPECT_EQ(cell.per_window, 100);
  EXPECT_EQ(cell.p50, 3);
  EXPECT_EQ(cell.cpu, 110);
  EXPECT_EQ(cell.transfers, 2);
  EXPECT_EQ(cell.lost, std::nullopt);
}

TEST(AskedTest, CountsTheEntriesThatACacheReadsAtTheServerAndNotWhatItChanges) {
  RedisServer const server;
  auto connection = Bare::over_unix(server.socket_path());
  fill(connection, "map");
  auto map = cached(server.socket_path(), "map", {.max_age = 1h});
  auto const asked_for = [&](auto const& work) {
    auto const before = Asked::so_far(connection);
    work();
    return (Asked::so_far(connection) - before).entries();
  };
  EXPECT_EQ(asked_for([&] { (void)map.get_fresh(Task::field(0)); }), 1);
  EXPECT_EQ(asked_for([&] {
              (void)map.get_many(std::vector{Task::field(1), Task::field(2), Task::field(3)});
            }),
            3);
  EXPECT_EQ(asked_for([&] { map.set(Task::field(4), 7); }), 0);
  EXPECT_EQ(asked_for([&] { connection.command("HSET", "another", "a", "1"); }), 0);
  EXPECT_EQ(asked_for([] {}), 0);
}

TEST(NewsTest, AChangeIsSeenWithItsValueOrALaterOneAndElseIsUnseen) {
  Told const told{.values = {4, 5, 6, 7},
                  .sent = {1000, 2000, 3000, 9000},
                  .returned = {1500, 2500, 3500, 9500},
                  .seen_values = {3, 4, 6},
                  .seen = {500, 1200, 3700}};
  News cell;
  std::vector<double> returned;
  told.add_to(cell, returned);
  EXPECT_THAT(cell.since, ElementsAre(0.2, 1.7, 0.7));
  EXPECT_EQ(cell.unseen, 1U);
  EXPECT_THAT(returned, ElementsAre(0.5, 0.5, 0.5, 0.5));
}

TEST(LocalReadsTest, SendNothingForWhatIsThereAndAreHeardWhenTheyDo) {
  RedisServer const server;
  LocalReads reads{server.socket_path()};
  EXPECT_EQ(reads.commands_while_read(2, 5ms), 0);
  // A stranger's, of which the cache is told in its own time; then it reads all of it again.
  Bare::over_unix(server.socket_path()).command("HSET", "local", Task::field(0), "7");
  double heard = 0;
  auto const deadline = std::chrono::steady_clock::now() + 30s;
  while (heard == 0 && std::chrono::steady_clock::now() < deadline)
    heard = reads.commands_while_read(1, 5ms);
  EXPECT_GT(heard, 0);
}

template <class Cell>
std::vector<std::string> said(std::vector<Cell> const& cells) {
  std::vector<std::string> out;
  for (auto const& verdict : targets::of(cells))
    out.push_back(fmt::format("{} {:.2f} {}", verdict.what, verdict.figure, verdict.holds()));
  return out;
}

TEST(MapTargetsTest, AreHeldAgainstTheCellsTheySpeakOf) {
  auto const cell = [](char const* place, char const* operation, char const* contender, double p50,
                       double commands) {
    return Cell{.place = place,
                .shape = {1},
                .operation = operation,
                .contender = contender,
                .p50 = p50,
                .commands = commands,
                .transfers = 2 * commands};
  };
  using namespace operations;
  EXPECT_THAT(
      said<Cell>({cell(one_core, get, names::bare, 20, 1), cell(one_core, get, names::ours, 21, 1),
                  cell(one_core, set, names::bare, 10, 1),
                  cell(one_core, set, names::ours, 21, 1.5),
                  cell(one_core, update, names::ours, 50, 2)}),
      ElementsAre("commands per get, tandem 1.00 true", "round trips per get, tandem 1.00 true",
                  "p50 of get / that of HGET by hiredis, tandem 1.05 true",
                  "commands per set, tandem 1.50 false", "round trips per set, tandem 1.50 false",
                  "p50 of set / that of HSET by hiredis, tandem 2.10 false",
                  "commands per update, tandem 2.00 true",
                  "round trips per update, tandem 2.00 true",
                  "p50 of update in p50 of HGET by hiredis, tandem 2.50 false"));
  auto lossy = cell("processes", update, names::cached, 20, 3);
  lossy.lost = -2;
  EXPECT_THAT(said<Cell>({lossy}),
              ElementsAre("updates lost or made twice, tandem cached 2.00 false"));
  EXPECT_THAT(said<Cell>({cell("processes", get, names::bare, 20, 5)}), IsEmpty());
}

TEST(MapTargetsTest, OfWhatIsReadFromMemory) {
  EXPECT_THAT(said<Local>({{"any cores", 2, names::cached_map, 101.0, 9},
                           {"any cores", 2, names::locked_map, 5.0, 9},
                           {"any cores", 4, names::cached_map, {}, 0}}),
              ElementsAre("ns for a read, CachedMap 101.00 false"));
  EXPECT_THAT(said<Mixed>({{.processes = 8, .contender = names::cached_set, .hits = 0.89},
                           {.processes = 8, .contender = names::shared_set, .hits = 0.01}}),
              ElementsAre("reads that asked nobody, 1 % changes by CachedMap::set 0.89 false"));
  auto const news = [](char const* contender, double p50, char const* place = one_core) {
    News out;
    out.place = place;
    out.contender = contender;
    out.round_trip = 20;
    out.p50 = p50;
    return out;
  };
  EXPECT_THAT(
      said<News>({news(names::told, 40), news(names::foreign, 50), news(names::polled, 90),
                  news(names::told, 70, "any cores")}),
      ElementsAre("p50 until another process reads it in round trips, CachedMap::set 2.00 true",
                  "p50 until another process reads it in round trips, HSET 2.50 false"));
}

TEST(MapTeamTest, SeesWhichUpdatesAreLostAndWhichAreMadeTwice) {
  RedisServer const server;
  Team team{{names::ours, {TANDEM_BENCH_MAP, "--work", names::ours}},
            server.socket_path(),
            {.processes = 2}};
  auto const slice = team.run(10ms, operations::update);
  EXPECT_GT(slice.took.size(), 0U);
  EXPECT_LE(slice.in_window, static_cast<std::int64_t>(slice.took.size()));
  EXPECT_EQ(team.lost(), 0);
  auto connection = Bare::over_unix(server.socket_path());
  auto const map = fmt::format("{} 2 1", names::ours);
  connection.command("HINCRBY", map, Task::updated, "-3");
  EXPECT_EQ(team.lost(), 3);
  connection.command("HINCRBY", map, Task::updated, "5");
  EXPECT_EQ(team.lost(), -2);
}

// The benchmark as a person starts it, but with those contenders only that need nothing else.
TEST(MapBenchmarkTest, WritesAPlausibleFigureForEveryContenderInEveryLine) {
  tandem::support::BenchmarkRun const run{TANDEM_BENCH_MAP,
                                          "--only 'hiredis,tandem,tandem cached'"};
  auto const figures = [&run](std::string const& contender, std::string const& operation,
                              std::string const& name) {
    std::vector<double> out;
    for (auto const& line : run.lines_with(fmt::format(
             R"("operation": "{}", "contender": "{}", "per_window": )", operation, contender))) {
      out.push_back(Answer{line}.number(name));
    }
    return out;
  };
  auto const lie = [](double from, double to) { return Each(AllOf(Ge(from), Le(to))); };
  for (auto const* const each : {"hiredis", "tandem", "tandem cached"}) {
    EXPECT_THAT(figures(each, "get", "per_window"), SizeIs(4))
        << "one core, 1 process, 16 processes, 16 threads";
    EXPECT_THAT(figures(each, "set", "per_window"), SizeIs(4));
    EXPECT_THAT(figures(each, "update", "lost"), ElementsAre(0, 0)) << "with 1 caller";
  }
  // A few more where somebody's background says something meanwhile.
  for (auto const* const each : {"hiredis", "tandem"}) {
    EXPECT_THAT(figures(each, "get", "commands"), lie(1, 1.5));
    EXPECT_THAT(figures(each, "set", "commands"), lie(1, 1.5));
    EXPECT_THAT(figures(each, "get", "commands_in_scripts"), lie(0, 0.5));
  }
  EXPECT_THAT(figures("hiredis", "get", "transfers"), lie(2, 2));
  EXPECT_THAT(figures("hiredis", "update", "commands"), lie(5, 5.5));
  EXPECT_THAT(figures("hiredis", "update", "transfers"), lie(4, 4.5));
  EXPECT_THAT(figures("tandem", "update", "commands"), lie(2, 2.5));
  EXPECT_THAT(figures("tandem", "update", "commands_in_scripts"), lie(3, 6));
  EXPECT_THAT(figures("tandem cached", "set", "commands_in_scripts"), lie(5, 8));

  auto const number = [&run](std::string const& part, std::string const& name) {
    std::vector<double> out;
    for (auto const& line : run.lines_with(part)) out.push_back(Answer{line}.number(name));
    return out;
  };
  EXPECT_EQ(run.count(R"("contender": "CachedMap", "ns": )"), 5) << "one core, 1, 2, 4, 16 threads";
  EXPECT_EQ(run.count(R"("contender": "unordered_map, shared_mutex", "ns": )"), 5);
  EXPECT_THAT(number("commands while entries are read", "figure"), ElementsAre(0));
  for (auto const* const by : {"CachedMap::set", "SharedMap::set"}) {
    auto const mixed = fmt::format(R"("contender": "{}", "per_window": )", by);
    EXPECT_THAT(number(mixed, "hits"), AllOf(SizeIs(1), lie(0, 1))) << by;
    EXPECT_THAT(number(mixed, "changes"), lie(0.001, 0.1)) << by;
  }
  for (auto const* const by :
       {"CachedMap::set", "HSET", "HSET, polled by HGET", "HSET and PUBLISH"}) {
    auto const news = fmt::format(R"("contender": "{}", "round_trip_us": )", by);
    EXPECT_THAT(number(news, "p50_us"), AllOf(SizeIs(3), Each(Gt(0)))) << by;
    EXPECT_THAT(number(news, "changes"), Each(Gt(0))) << by;
    auto const spread = fmt::format(R"("contender": "{}", "part": )", by);
    EXPECT_EQ(run.count(spread), 300) << "a point for each per cent, in each place";
  }
}

}  // namespace
}  // namespace bench::map
