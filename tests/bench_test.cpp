// The parts of the benchmarks that could be wrong without anybody seeing it in their tables.

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

#include "arguments.hpp"
#include "bare.hpp"
#include "client/cell.hpp"
#include "client/delay.hpp"
#include "client/system_calls.hpp"
#include "client/targets.hpp"
#include "json.hpp"
#include "quantile.hpp"

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

}  // namespace
}  // namespace bench
