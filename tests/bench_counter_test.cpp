// The parts of the counters' benchmark, and of what it has in common with the lock's, that could be
// wrong without anybody seeing it in their tables.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <tandem/testing/redis_server.hpp>

#include "answer.hpp"
#include "bare.hpp"
#include "candidate.hpp"
#include "counter/cell.hpp"
#include "counter/local_cell.hpp"
#include "counter/targets.hpp"
#include "counter/team.hpp"
#include "overheard.hpp"
#include "support/benchmark_run.hpp"
#include "support/sockets.hpp"
#include "system_calls.hpp"
#include "turns.hpp"
#include "workers.hpp"

namespace bench {
namespace {

using namespace std::chrono_literals;
using tandem::testing::RedisServer;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST(TurnsTest, EachRoundHasASliceOfEveryContenderInAnOrderOfItsOwn) {
  std::vector<std::size_t> order;
  auto const slices = take_turns(3, 20, [&](std::size_t i) {
    order.push_back(i);
    return 10 * i;
  });
  ASSERT_EQ(order.size(), 60U);
  bool always_alike = true;
  for (std::size_t round = 0; round < 20; ++round) {
    std::vector<std::size_t> const own{order[3 * round], order[3 * round + 1],
                                       order[3 * round + 2]};
    EXPECT_THAT(own, UnorderedElementsAre(0, 1, 2));
    always_alike = always_alike && own[0] == order[0];
  }
  EXPECT_FALSE(always_alike);
  EXPECT_THAT(slices[2], AllOf(SizeIs(20), Each(20U)));
}

TEST(WorkersTest, AllAreDoneBeforeWhatOneHasThrownIsThrown) {
  std::atomic<int> done = 0;
  auto const work = [&](std::size_t caller) {
    if (caller == 0) throw std::runtime_error{"nobody"};
    ++done;
  };
  EXPECT_THROW(workers::at_once(5, work), std::runtime_error);
  EXPECT_EQ(done, 4);
}

TEST(CandidateTest, WhoCannotBeRunIsNamedWithTheReason) {
  std::vector<Candidate> const all{{"one", {"echo", "version 1"}},
                                   {"sorry", {"echo", "sorry: no such module"}},
                                   {"nobody", {"/nonexistent/program"}},
                                   {"mute", {"true"}}};
  auto const found = tried_out(all, {"and its task"});
  ASSERT_THAT(found.present, SizeIs(1));
  EXPECT_EQ(found.present[0].version, "version 1 and its task");
  EXPECT_THAT(found.absent,
              ElementsAre("sorry cannot be run: no such module and its task.",
                          HasSubstr("nobody cannot be run: /nonexistent/program: No such file"),
                          "mute cannot be run: it ended without a word."));
}

TEST(CandidateTest, OnlyThoseThatAreNamedAreChosenInTheirOrder) {
  std::vector<Candidate> const all{{"one", {}}, {"two", {}}, {"three", {}}};
  EXPECT_THAT(chosen(all, ""), SizeIs(3));
  auto const some = chosen(all, "three,one");
  ASSERT_THAT(some, SizeIs(2));
  EXPECT_EQ(some[0].name, "three");
  EXPECT_EQ(some[1].name, "one");
  EXPECT_THROW((void)chosen(all, "one,four"), std::invalid_argument);
}

TEST(OverheardTest, CountsWhatIsSentAndWhatScriptsDoForEachTimeButNoPing) {
  RedisServer const server;
  auto connection = Bare::over_unix(server.socket_path());
  auto const heard = Overheard::of(server.socket_path(), [&]() -> std::size_t {
    for (int i = 0; i < 4; ++i) {
      connection.command("PING");
      connection.command("EVAL", "redis.call('INCR', 'a') redis.call('INCR', 'a')", "0");
    }
    connection.command("GET", "a");
    connection.command("GET", "a");
    return 4;
  });
  EXPECT_EQ(heard.commands, 1.5);
  EXPECT_EQ(heard.in_scripts, 2);
}

TEST(SystemCallsTest, OfOneThreadAreItsOwn) {
  RedisServer const server;
  auto connection = Bare::over_unix(server.socket_path());
  auto const before = SystemCalls::of_this_thread();
  connection.command("GET", "key");
  std::thread{[&] { connection.command("GET", "key"); }}.join();
  EXPECT_EQ((SystemCalls::of_this_thread() - before).transfers, 2);
}

TEST(SystemCallsTest, ThatOnlyLookAreToldApart) {
  RedisServer const server;
  tandem::support::Descriptor const socket{tandem::support::connect_to_unix(server.socket_path())};
  auto const before = SystemCalls::of_this_thread();
  char byte = 0;
  (void)!::recv(socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  (void)!::recv(socket.get(), &byte, 1, MSG_DONTWAIT);
  auto const made = SystemCalls::of_this_thread() - before;
  EXPECT_EQ(made.transfers, 2);
  EXPECT_EQ(made.looks, 1);
}

TEST(BareTest, WhatIsAppendedLeavesWithTheNextReplyAndIsAnsweredInOrder) {
  RedisServer const server;
  auto connection = Bare::over_unix(server.socket_path());
  auto const before = SystemCalls::of_this_thread();
  for (int i = 0; i < 3; ++i) connection.append("INCRBY", "a", "1");
  EXPECT_EQ((SystemCalls::of_this_thread() - before).transfers, 0);
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(connection.next()->integer, i);
}

TEST(AnswerTest, TellsWhetherThereIsSuchANumber) {
  Answer const answer{R"({"added": 3, "took_ns": []})"};
  EXPECT_TRUE(answer.has("added"));
  EXPECT_FALSE(answer.has("transfers"));
}

}  // namespace

namespace counter {
namespace {

TEST(CounterCellTest, HasTheMediansOfItsSlices) {
  auto const slice = [](std::int64_t in_window, std::vector<std::int64_t> took, double transfers) {
    return Slice{.added = in_window + 10,
                 .in_window = in_window,
                 .took = std::move(took),
                 .cpu_microseconds = 220,
                 .transfers = transfers};
  };
  Cell cell{.place = "any", .shape = {4}, .contender = "any"};
  summarise(cell, {slice(90, {1000, 2000}, 200), slice(100, {3000}, 220),
                   slice(900, {9000, 9000}, 7000)});
  EXPECT_EQ(cell.per_window, 100);
  EXPECT_EQ(cell.per_process(), 25);
  EXPECT_EQ(cell.p50, 3);
  EXPECT_EQ(cell.cpu, 2);
  EXPECT_EQ(cell.transfers, 2);

  Cell silent{.place = "any", .shape = {1}, .contender = "any"};
  summarise(silent, {Slice{.added = 5, .in_window = 5, .cpu_microseconds = 1}});
  EXPECT_EQ(silent.p50, std::nullopt) << "nothing waits until it is counted";
  EXPECT_EQ(silent.transfers, std::nullopt);
}

template <class Cell>
std::vector<std::string> said(std::vector<Cell> const& cells) {
  std::vector<std::string> out;
  for (auto const& verdict : targets::of(cells))
    out.push_back(fmt::format("{} {:.2f} {}", verdict.what, verdict.figure, verdict.holds()));
  return out;
}

TEST(CounterTargetsTest, AreHeldAgainstTheCellsTheySpeakOf) {
  auto const cell = [](char const* place, Shape shape, char const* contender, double p50,
                       std::int64_t lost) {
    return Cell{.place = place,
                .shape = shape,
                .contender = contender,
                .p50 = p50,
                .commands = 1.25,
                .transfers = 2,
                .lost = lost};
  };
  EXPECT_THAT(
      said<Cell>(
          {cell(one_core, {1}, names::bare, 20, 3), cell(one_core, {1}, names::ours, 22, 0)}),
      ElementsAre("adds lost or counted twice, all of tandem's 0.00 true",
                  "commands per add, tandem 1.25 false", "round trips per add, tandem 1.00 true",
                  "p50 / that of INCRBY by hiredis, tandem 1.10 false"));
  EXPECT_THAT(said<Cell>({cell("processes", {8}, names::ours, 22, 1),
                          cell("processes", {8}, names::buffered, 22, -2),
                          cell("threads", {1, 8}, names::buffered, 22, 7)}),
              ElementsAre("adds lost or counted twice, all of tandem's 3.00 false",
                          "commands per add, tandem 1.25 false"));
}

TEST(CounterTargetsTest, OfABufferedCounterAreHeldAgainstOneThreadOfTheSamePlace) {
  std::vector<Local> cells{{"any cores", 1, names::buffered_counter, 6.0, 9},
                           {"any cores", 1, names::own_atomics, 5.0, 9},
                           {"any cores", 2, names::buffered_counter, 8.0, 9},
                           {"any cores", 4, names::buffered_counter, {}, 0}};
  compare_with_one_thread(cells);
  EXPECT_EQ(cells[0].of_linear, 1);
  EXPECT_EQ(cells[2].of_linear, 0.75);
  EXPECT_EQ(cells[3].of_linear, std::nullopt);
  EXPECT_THAT(said(cells),
              ElementsAre("ns for an add, BufferedCounter 6.00 true",
                          "adds / threads and those of one, BufferedCounter 0.75 false"));
}

TEST(CounterTeamTest, SeesWhatIsLostAndWhatIsCountedTwice) {
  RedisServer const server;
  Team team{{names::ours, {TANDEM_BENCH_COUNTER, "--work", names::ours}},
            server.socket_path(),
            {.processes = 2}};
  auto const slice = team.run(10ms);
  EXPECT_GT(slice.added, 0);
  EXPECT_LE(slice.in_window, slice.added);
  EXPECT_THAT(slice.took, SizeIs(slice.added));
  EXPECT_EQ(team.lost(), 0);
  auto connection = Bare::over_unix(server.socket_path());
  connection.command("DECRBY", "stats:bench:tandem 2 1", "3");
  EXPECT_EQ(team.lost(), 3);
  connection.command("INCRBY", "stats:bench:tandem 2 1:last", "5");
  EXPECT_EQ(team.lost(), -2) << "the hour before is counted, too";
}

// The benchmark as a person starts it, but with those contenders only that need nothing else.
TEST(CounterBenchmarkTest, WritesAPlausibleFigureForEveryContenderInEveryLine) {
  tandem::support::BenchmarkRun const run{
      TANDEM_BENCH_COUNTER,
      "--only 'hiredis,tandem,tandem exactly once,tandem rolling,classic,hiredis pipelined,"
      "tandem buffered'"};
  auto const lines_of = [&run](std::string const& contender) {
    return run.lines_with(fmt::format("\"contender\": \"{}\", \"per_window\": ", contender));
  };
  auto const figures = [&](std::string const& contender, std::string const& name) {
    std::vector<double> out;
    for (auto const& line : lines_of(contender)) {
      // On a machine that stalls there may be too few calls.
      if (line.find(fmt::format("\"{}\": null", name)) == std::string::npos)
        out.push_back(Answer{line}.number(name));
    }
    return out;
  };
  auto const lie = [](double from, double to) { return Each(AllOf(Ge(from), Le(to))); };
  for (auto const* const each : {"hiredis", "tandem", "tandem exactly once", "tandem rolling",
                                 "classic", "hiredis pipelined", "tandem buffered"}) {
    EXPECT_THAT(lines_of(each), SizeIs(4)) << "one core, 1 process, 16 processes, 16 threads";
  }
  EXPECT_EQ(run.count("\"lost\": 0}"), 4 * 7);
  // A few more where somebody's background says something meanwhile.
  EXPECT_THAT(figures("hiredis", "commands"), lie(1, 1.5));
  EXPECT_THAT(figures("hiredis", "transfers"), lie(2, 2));
  EXPECT_THAT(figures("tandem", "commands"), lie(1, 1.5));
  EXPECT_THAT(figures("tandem", "commands_in_scripts"), lie(0, 0.5));
  EXPECT_THAT(figures("tandem exactly once", "commands"), lie(1, 1.5));
  EXPECT_THAT(figures("tandem exactly once", "commands_in_scripts"), lie(3, 5));
  EXPECT_THAT(figures("tandem rolling", "commands"), lie(1, 3)) << "more at the end of the hour";
  EXPECT_THAT(figures("classic", "commands"), lie(5, 5.5));
  EXPECT_THAT(figures("classic", "transfers"), lie(6, 6.5));
  EXPECT_THAT(figures("hiredis pipelined", "commands"), lie(1, 1.1));
  EXPECT_THAT(figures("hiredis pipelined", "transfers"), lie(0.02, 0.2));
  EXPECT_THAT(figures("tandem buffered", "commands"), lie(0, 0.01));
  EXPECT_EQ(run.count("\"p50_us\": null"), 4) << "of what does not wait there is none";
  EXPECT_EQ(run.count("\"contender\": \"BufferedCounter\", \"ns\": "),
            run.count("\"contender\": \"an atomic each\", \"ns\": "));
  for (auto const& line : run.lines_with("for a flush interval")) {
    EXPECT_THAT(Answer{line}.number("figure"), AllOf(Ge(0.1), Le(1.5)));
  }
  EXPECT_EQ(run.count("for a flush interval"), 1);
  for (auto const& line : run.lines_with("lost or counted twice"))
    EXPECT_EQ(Answer{line}.number("figure"), 0) << line;
  EXPECT_EQ(run.count("lost or counted twice"), 5);
}

}  // namespace
}  // namespace counter
}  // namespace bench
