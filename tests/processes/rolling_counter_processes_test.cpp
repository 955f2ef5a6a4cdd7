#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/rolling_counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/forked.hpp"
#include "support/patience.hpp"
#include "support/shifted_clock.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Forked;

constexpr std::chrono::sys_seconds seven =
    std::chrono::sys_days{std::chrono::year{2026} / 11 / 23} + 7h;

/// Processes that count under the same name, without a pause, while the hour changes from six to
/// seven.
///
/// The server and the Pythons have a clock of the test's making; ours ask the server.
class RollingCounterProcessesTest : public ::testing::Test {
 protected:
  /// The moment at which time stands still, at first.
  void begin(std::chrono::nanoseconds before_seven) {
    beginning_ = seven - before_seven;
    clock_.stand_still_at(beginning_);
  }

  void start_ours(std::string const& name) {
    workers_.emplace(name,
                     std::make_unique<Forked>([this, name] { return count_until_stopped(name); }));
  }

  void start_python(std::string const& name, std::chrono::nanoseconds lead = 0s) {
    workers_.emplace(
        name, std::make_unique<Forked>([this, name, lead] { return become_python(name, lead); }));
  }

  std::string become_python(std::string const& name, std::chrono::nanoseconds lead) {
    constexpr auto python = "/usr/bin/python3";
    // NOLINTNEXTLINE(concurrency-mt-unsafe): a child
    ::setenv("TANDEM_CLOCK_LEAD", std::to_string(lead.count()).c_str(), 1);
    auto const socket = server_.socket_path();
    // -I: with Debian's modules, whatever the environment says
    ::execl(python, python, "-I", TANDEM_UPDATE_STATS, socket.c_str(), "web", "sales", name.c_str(),
            nullptr);
    return "there is no /usr/bin/python3";
  }

  /// What update_stats.py does, with ours.
  std::string count_until_stopped(std::string const& name) {
    Client redis{server_.url()};
    RollingCounter counter{redis, "web", "sales", {.keep = keep_}};
    std::int64_t total = 0;
    for (bool stop = false; !stop;) {
      for (std::int64_t value : {1, 2, 3}) {
        counter.add(value);
        total += value;
      }
      auto replies = redis.pipeline()
                         .command("HSET", "acknowledged", name, total)
                         .command("EXISTS", "stop")
                         .execute();
      stop = replies.at(1).as<bool>();
    }
    return "";
  }

  /// Lets time go on when all workers are counting, and stops them `after` the change of the hour.
  void change_the_hour(std::chrono::nanoseconds after) {
    ASSERT_TRUE(support::eventually([&] {
      return redis_.command("HLEN", "acknowledged").as<std::size_t>() == workers_.size();
    }));
    auto const acknowledged_before = acknowledged();
    clock_.go_on_from(beginning_);
    ASSERT_TRUE(support::eventually([&] { return server_time() >= seven + after; }));
    redis_.command("SET", "stop", 1);
    for (auto const& [name, worker] : workers_) EXPECT_EQ(worker->told(), "") << name;
    for (auto const& [name, total] : acknowledged())
      EXPECT_GT(total, acknowledged_before.at(name)) << name;
  }

  void expect_that_the_count_moved_once_and_nothing_is_lost() {
    auto const stats = redis_.command("INFO", "commandstats").as<std::string>();
    EXPECT_NE(stats.find("cmdstat_rename:calls=2,"), std::string::npos) << stats;
    EXPECT_EQ(get(":pstart"), "2026-11-23T06:00:00");
    EXPECT_EQ(get(":start"), "2026-11-23T07:00:00");
    auto const before = std::stoll(get(":last"));
    auto const now = std::stoll(get(""));
    EXPECT_GT(before, 0);
    EXPECT_GT(now, 0);
    EXPECT_EQ(before + now, sum_of_acknowledged());
  }

  /// The current count, and those of all periods before.
  std::int64_t counted() {
    RollingCounter const counter{redis_, "web", "sales"};
    auto sum = counter.current().count;
    for (auto const& period : counter.history(100)) sum += period.count;
    return sum;
  }

  std::int64_t sum_of_acknowledged() {
    std::int64_t sum = 0;
    for (auto const& [name, total] : acknowledged()) sum += total;
    return sum;
  }

  std::map<std::string, std::int64_t> acknowledged() {
    auto const pairs = redis_.command("HGETALL", "acknowledged")
                           .as<std::vector<std::pair<std::string, std::int64_t>>>();
    return {pairs.begin(), pairs.end()};
  }
  std::chrono::sys_seconds server_time() {
    return std::chrono::sys_seconds{
        std::chrono::seconds{redis_.command("TIME")[0].as<std::int64_t>()}};
  }
  std::string get(std::string const& part) {
    return redis_.command("GET", "stats:web:sales" + part).as<std::string>();
  }

  std::chrono::sys_time<std::chrono::nanoseconds> beginning_{};
  support::ShiftedClock clock_{};
  testing::RedisServer server_{};
  Client redis_{server_.url()};
  int keep_ = 0;
  std::map<std::string, std::unique_ptr<Forked>> workers_{};
};

TEST_F(RollingCounterProcessesTest, ManyProcessesMoveTheCountOnceAndLoseNothing) {
  begin(700ms);
  for (auto const* name : {"one", "two", "three", "four", "five", "six", "seven", "eight"})
    start_ours(name);
  change_the_hour(1s);
  expect_that_the_count_moved_once_and_nothing_is_lost();
}

TEST_F(RollingCounterProcessesTest, ClassicPythonFunctionBesideOursLosesNothing) {
  begin(1s);
  for (auto const* name : {"ours one", "ours two", "ours three"}) start_ours(name);
  for (auto const* name : {"python one", "python two", "python three"}) start_python(name);
  change_the_hour(1s);
  expect_that_the_count_moved_once_and_nothing_is_lost();
}

TEST_F(RollingCounterProcessesTest, ClassicPythonFunctionsWithClocksThatLeadAndLagLoseNothing) {
  begin(2s);
  for (auto const* name : {"ours one", "ours two"}) start_ours(name);
  start_python("in time");
  start_python("leading", 1s);
  start_python("lagging", -1s);
  change_the_hour(2s);
  expect_that_the_count_moved_once_and_nothing_is_lost();
}

TEST_F(RollingCounterProcessesTest, ClassicPythonFunctionAnHourBehindAddsToTheHourThatIs) {
  begin(700ms);
  RollingCounter{redis_, "web", "sales"}.add(0);  // six has begun
  start_ours("ours");
  start_python("an hour behind", -1h);
  change_the_hour(1s);
  expect_that_the_count_moved_once_and_nothing_is_lost();
}

TEST_F(RollingCounterProcessesTest, HistoryHasWhatSixteenProcessesCountedAndEachPeriodOnce) {
  keep_ = 10;
  begin(700ms);
  for (int i = 0; i < 16; ++i) start_ours("ours " + std::to_string(i));
  change_the_hour(1s);
  expect_that_the_count_moved_once_and_nothing_is_lost();
  EXPECT_EQ(
      redis_.command("ZRANGE", "stats:web:sales:history", 0, -1).as<std::vector<std::string>>(),
      std::vector<std::string>{"2026-11-23T06:00:00 " + get(":last")});
  EXPECT_EQ(counted(), sum_of_acknowledged());
}

TEST_F(RollingCounterProcessesTest, HistoryLosesNothingBesideAPythonThatIsADayAhead) {
  keep_ = 10;
  begin(1s);
  RollingCounter{redis_, "web", "sales"}.add(0);  // six has begun
  start_ours("one");
  start_ours("two");
  start_python("a day ahead", 24h);
  ASSERT_TRUE(support::eventually([&] { return get(":start") == "2026-11-24T06:00:00"; }));
  // Before the Python moves on once more: a look, as there is one in each minute and period.
  RollingCounter{redis_, "web", "sales", {.keep = keep_}}.add(0);
  change_the_hour(1s);
  EXPECT_EQ(get(":start"), "2026-11-24T07:00:00");
  EXPECT_EQ(counted(), sum_of_acknowledged());
  EXPECT_EQ(redis_.command("ZCARD", "stats:web:sales:history").as<int>() >= 1, true);
}

}  // namespace
}  // namespace tandem
