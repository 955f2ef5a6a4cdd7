// The parts of the benchmarks that could be wrong without anybody seeing it in their tables.

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

#include "arguments.hpp"
#include "bare.hpp"
#include "client/cell.hpp"
#include "client/targets.hpp"
#include "delay.hpp"
#include "json.hpp"
#include "lock/cell.hpp"
#include "lock/targets.hpp"
#include "monitor.hpp"
#include "quantile.hpp"
#include "support/benchmark_run.hpp"
#include "system_calls.hpp"

namespace bench {
namespace {

using namespace std::chrono_literals;
using tandem::testing::RedisServer;
using ::testing::ElementsAre;

TEST(QuantileTest, IsAValueThatIsThereAndThatSoManyOthersDoNotExceed) {
  std::vector<double> const values{50, 10, 40, 20, 30};
  EXPECT_EQ(median(values), 30);
  EXPECT_EQ(quantile(values, 0), 10);
  EXPECT_EQ(quantile(values, 0.99), 40);
  EXPECT_EQ(quantile(values, 1), 50);
  EXPECT_EQ(median(std::vector<double>{}), 0);
}

TEST(ArgumentsTest, TakesWhatIsAskedForAndRefusesTheRest) {
  std::string words[] = {"client", "--quick", "--windows", "7", "--jason", "file"};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data(),
                  words[3].data(), words[4].data(), words[5].data()};
  Arguments arguments{6, argv};
  EXPECT_TRUE(arguments.flag("--quick"));
  EXPECT_EQ(arguments.number("--windows"), 7);
  EXPECT_EQ(arguments.text("--json"), std::nullopt);
  EXPECT_THROW(arguments.expect_no_more(), std::invalid_argument);
  EXPECT_THROW((void)arguments.number("--jason"), std::invalid_argument);
}

TEST(JsonTest, SeparatesAndEscapes) {
  Json json;
  json.object([&] {
    json.field("text", "a \"b\" \\\n");
    json.field("truth", true);
    json.field("none", std::optional<double>{});
    json.array("list", [&] {
      json.element("one");
      json.object([&] { json.field("number", 2.5); });
    });
    json.field("count", 16);
  });
  EXPECT_EQ(
      json.text(),
      "{ \"text\": \"a \\\"b\\\" \\\\\\u000a\", \"truth\": true, \"none\": null, \"list\": [\n"
      "  \"one\",\n  { \"number\": 2.5}], \"count\": 16}");
}

TEST(CellTest, SlowedSlicesGiveSystemCallsAndNothingElse) {
  Slice const timed{.latencies = {10, 20, 30, 40}, .in_window = 4, .took = 100ms, .usage = {80, 8}};
  Slice const counted{.latencies = {900, 900},
                      .in_window = 2,
                      .took = 50ms,
                      .usage = {5000, 50},
                      .calls = SystemCalls{.transfers = 4, .waits = 1},
                      .is_timed = false};
  Cell cell;
  summarise(cell, {timed, counted}, 50ms);
  EXPECT_EQ(cell.p50, 20);
  EXPECT_EQ(cell.per_window, 2) << "the window was twice as long as it should be";
  EXPECT_EQ(cell.cpu, 20);
  EXPECT_EQ(cell.switches, 2);
  EXPECT_EQ(cell.calls(), 2.5);
  EXPECT_EQ(cell.waits, 0.5);
}

TEST(TargetsTest, AreHeldAgainstTheCellsTheySpeakOf) {
  auto const group = [](int callers, double bare, double mutex, double ours, double calls) {
    auto const cell = [&](char const* contender, double per_window) {
      return Cell{.transport = "far",
                  .callers = callers,
                  .contender = contender,
                  .p50 = 1000 / per_window,
                  .per_window = per_window,
                  .transfers = calls,
                  .waits = 0};
    };
    return std::vector{cell(names::bare, bare), cell(names::mutex, mutex), cell(names::ours, ours)};
  };
  Targets targets{"far"};
  auto const said = [&](std::vector<Cell> const& cells) {
    std::vector<std::string> out;
    for (auto const& verdict : targets.of(cells)) {
      out.push_back(fmt::format("{} {:.2f} {}", verdict.what, verdict.figure, verdict.holds()));
    }
    return out;
  };
  EXPECT_THAT(
      said(group(1, 20, 20, 18, 4)),
      ElementsAre("p50 / hiredis' p50 1.11 false", "commands / those of the mutex 0.90 false"));
  EXPECT_THAT(said(group(2, 40, 20, 40, 2)),
              ElementsAre("commands / those of the mutex 2.00 true"));
  EXPECT_THAT(said(group(16, 300, 20, 240, 0.5)),
              ElementsAre("system calls per command 0.50 true",
                          "commands / those of one hiredis connection 12.00 true",
                          "commands / those of the mutex 12.00 true"));
}

TEST(SystemCallsTest, CountThoseOfEveryThread) {
  RedisServer const server;
  auto connection = Bare::over_unix(server.socket_path());
  auto const before = SystemCalls::so_far();
  connection.command("GET", "key");
  std::thread{[&] { connection.command("GET", "key"); }}.join();
  auto const made = SystemCalls::so_far() - before;
  EXPECT_EQ(made.transfers, 4);
  EXPECT_EQ(made.waits, 0);
}

TEST(SystemCallsTest, AreToldApartByName) {
  SystemCalls calls;
  calls.add("recvfrom", 3);
  calls.add("epoll_pwait", 2);
  calls.add("futex", 100);
  EXPECT_EQ(calls.transfers, 3);
  EXPECT_EQ(calls.waits, 2);
}

TEST(DelayTest, HoldsBytesBackBothWaysAndKeepsTheirOrder) {
  RedisServer const server;
  Delay const delay{server.socket_path(), 20ms};
  tandem::Connection far{"redis://127.0.0.1:" + std::to_string(delay.port())};
  auto const begin = std::chrono::steady_clock::now();
  far.command("PING");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 40ms);
  auto pipeline = far.pipeline();
  for (int i = 0; i < 1000; ++i) pipeline.command("ECHO", i);
  auto const replies = pipeline.execute();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(replies[static_cast<std::size_t>(i)].as<int>(), i);
  }
}

TEST(MonitorTest, TellsWhatClientsSendFromWhatScriptsDo) {
  RedisServer const server;
  auto connection = Bare::over_unix(server.socket_path());
  Monitor monitor{server.socket_path()};
  connection.command("SET", "a \"key\"", std::string_view{"\x01\r\n\\", 4});
  connection.command("EVAL", "return redis.call('GET', KEYS[1])", "1", "k");
  auto const heard = monitor.stop();
  ASSERT_EQ(heard.size(), 3U);
  EXPECT_FALSE(heard[0].by_script);
  EXPECT_THAT(heard[0].words, ElementsAre("SET", "a \"key\"", std::string_view{"\x01\r\n\\", 4}));
  EXPECT_FALSE(heard[1].by_script);
  EXPECT_TRUE(heard[2].by_script);
  EXPECT_THAT(heard[2].words, ElementsAre("GET", "k"));
}

}  // namespace

namespace lock {
namespace {

// Microseconds, as a person writes a scene down.
Acquisition turn(int caller, std::int64_t asked, std::int64_t held, std::int64_t leaving,
                 std::int64_t released) {
  return {caller, asked * 1000, held * 1000, leaving * 1000, released * 1000};
}

TEST(LockCellTest, AHandOffIsFromAReleaseToTheNextWhoWaitedAlready) {
  Slice const slice{.length = 1ms,
                    .acquisitions = {turn(1, 0, 130, 230, 240),     // waited for caller 0
                                     turn(0, 0, 10, 100, 110),      //
                                     turn(0, 500, 540, 600, 610),   // came when it was free
                                     turn(0, 610, 640, 700, 710)},  // itself again
                    .cpu_microseconds = 80};
  Contended cell{.place = {}, .shape = {2}, .work = {}, .contender = "any"};
  summarise(cell, {slice}, 500us);
  EXPECT_EQ(cell.hand_off, 30);
  EXPECT_NEAR(cell.handed_over, 2 / 3., 1e-9);
  EXPECT_NEAR(cell.fairness, 1 / 3., 1e-9);
  EXPECT_EQ(cell.wait_p50, 30);
  EXPECT_EQ(cell.typical_wait, 130);
  EXPECT_EQ(cell.per_window, 2);
  EXPECT_EQ(cell.cpu, 20);
  EXPECT_EQ(cell.overlaps, 0U);
}

TEST(LockCellTest, TheTypicalWaitIsThatOfWhoWaitsAndNotOfAnAcquisition) {
  EXPECT_EQ(median_by_time({1, 1, 1, 1, 1, 1, 50, 60}), 60);
  EXPECT_EQ(median_by_time({30, 30, 30, 30}), 30);
  EXPECT_EQ(median_by_time({}), 0);
}

TEST(LockCellTest, TwoHoldersAtOnceAreSeen) {
  Slice const slice{.length = 1ms,
                    .acquisitions = {turn(0, 0, 10, 100, 110), turn(1, 0, 90, 200, 210)}};
  Contended cell{.place = {}, .shape = {2}, .work = {}, .contender = "any"};
  summarise(cell, {slice}, 500us);
  EXPECT_EQ(cell.overlaps, 1U);
}

TEST(LockCellTest, WhoNeverGotItMakesItUnfairAndWhoGotItTooLateDoesNotMakeItFair) {
  Slice const slice{.length = 1ms,
                    .acquisitions = {turn(0, 0, 10, 20, 30), turn(1, 0, 1200, 1300, 1310)}};
  Contended cell{.place = {}, .shape = {2}, .work = {}, .contender = "any"};
  summarise(cell, {slice}, 500us);
  EXPECT_EQ(cell.fairness, 0);
}

template <class Cell>
std::vector<std::string> said(std::vector<Cell> const& cells) {
  std::vector<std::string> out;
  for (auto const& verdict : targets::of(cells))
    out.push_back(fmt::format("{} {:.2f} {}", verdict.what, verdict.figure, verdict.holds()));
  return out;
}

TEST(LockTargetsTest, OfALockThatNobodyElseWantsAreHeldAgainstTheCellsTheySpeakOf) {
  auto const cell = [](char const* contender, double p50, double commands) {
    return Uncontended{
        .place = "one core", .contender = contender, .p50 = p50, .commands = commands};
  };
  EXPECT_THAT(said<Uncontended>({cell(names::scripts, 40, 2), cell(names::ours, 50, 2)}),
              ElementsAre("commands per acquisition 2.00 true",
                          "p50 / that of its scripts by hiredis 1.25 false"));
  EXPECT_THAT(said<Uncontended>({cell(names::lingering, 0.2, 0.06)}),
              ElementsAre("ns at p50, lingering 200.00 true",
                          "commands per acquisition, lingering 0.06 false"));
}

TEST(LockTargetsTest, AreHeldAgainstTheCellsTheySpeakOf) {
  auto const cell = [](char const* contender, Shape shape, double per_window) {
    return Contended{.place = shape.threads > 1 ? "threads" : "processes",
                     .shape = shape,
                     .work = {},
                     .contender = contender,
                     .round_trip = 20,
                     .per_window = per_window,
                     .hand_off = 50,
                     .fairness = 0.95,
                     .commands = 3};
  };
  auto const commands = "commands per acquisition 3.00 true";
  auto const fairness = "fewest / most acquisitions of a caller 0.95 true";
  EXPECT_THAT(said<Contended>({cell(names::ours, {2}, 300)}),
              ElementsAre(commands, fairness, "hand-off in round trips 2.50 true"));
  EXPECT_THAT(said<Contended>({cell(names::ours, {8}, 300), cell(names::red_mutex, {8}, 100)}),
              ElementsAre(commands, fairness, "acquisitions / those of RedMutex 3.00 false"));
  EXPECT_THAT(said<Contended>({cell(names::ours, {16}, 300), cell(names::ours, {1, 16}, 3300)}),
              ElementsAre(commands, fairness, commands, fairness,
                          "acquisitions / those of as many processes 11.00 true"));
}

// The benchmark as a person starts it, but with those contenders only that need nothing else.
TEST(LockBenchmarkTest, WritesAFigureForEveryContenderInEveryLine) {
  tandem::support::BenchmarkRun const run{TANDEM_BENCH_LOCK,
                                          "--only \"tandem's scripts,tandem,tandem lingering\""};
  auto const count = [&run](std::string const& part) { return run.count(part); };
  // On one core and on any.
  EXPECT_EQ(count("\"contender\": \"tandem's scripts\", \"p50_us\": "), 2);
  EXPECT_EQ(count("\"contender\": \"tandem\", \"p50_us\": "), 2);
  EXPECT_EQ(count("\"contender\": \"tandem lingering\", \"p50_us\": "), 2);
  // 2 processes on one core and on any, also with a rest; 16 processes and 16 threads; with two
  // sections each.
  EXPECT_EQ(count("\"contender\": \"tandem\", \"round_trip_us\": "), 10);
  EXPECT_EQ(count("\"processes\": 1, \"threads\": 16, "), 2);
  EXPECT_EQ(count("\"overlaps\": 0}"), 10) << "two held a lock at once";
  EXPECT_EQ(count("\"idle_commands_per_second\": null"), 2) << "of threads there is none";
  EXPECT_EQ(count("\"pidfd_p50_ms\": "), 1);
  EXPECT_EQ(count("\"p50_us\": 0,"), 0);
  // Without contention two for each line, and two for lingering. With it two for each; of processes,
  // of two processes, of threads each one more. The crash.
  EXPECT_EQ(count("\"holds\": "), 2 * (2 + 2) + 10 * 2 + 8 + 6 + 1 + 1);
}

}  // namespace
}  // namespace lock
}  // namespace bench
