#include "tandem/statistics.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/buffered_counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/shifted_clock.hpp"
#include "support/threads.hpp"
#include "support/true_statistics.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using support::commands_of;
using support::FaultProxy;
using support::odd_values;
using support::text_of;
using support::TrueStatistics;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr StatisticsOptions by_hand{.flush_interval = 12h, .resend_for = 24h};
constexpr auto infinity = std::numeric_limits<double>::infinity();

class StatisticsTest : public ::testing::Test {
 protected:
  std::map<std::string, std::string> hash(std::string const& key = "statistics:web:latency") {
    std::map<std::string, std::string> out;
    for (auto& [field, value] :
         redis_.command("HGETALL", key).as<std::vector<std::pair<std::string, std::string>>>()) {
      out.emplace(std::move(field), std::move(value));
    }
    return out;
  }
  void time_is(sys_seconds time) { clock_.stand_still_at(time); }

  support::ShiftedClock clock_{};
  testing::RedisServer server_{};
  Client redis_{server_.url() + "?command_timeout=20s"};
  Statistics latency_{redis_, "web", "latency", by_hand};
};

/// `what` is what is said of the values, with 1e-12 of a sum and 1 % of a quantile.
void expect_true(Statistics::Period const& what, TrueStatistics const& truth) {
  EXPECT_EQ(what.count(), truth.count());
  EXPECT_EQ(what.min(), truth.min());
  EXPECT_EQ(what.max(), truth.max());
  auto const near = [](double is, long double should, double part) {
    EXPECT_LE(std::abs(is - should), std::abs(should) * part) << is << " for " << should;
  };
  near(what.sum(), truth.sum(), 1e-12);
  near(what.mean(), truth.mean(), 1e-12);
  near(what.stddev(), truth.stddev(), 1e-9);
  for (auto const q : {0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0})
    near(what.quantile(q), truth.quantile(q), 0.01);
}

// ---- What values were like ----

TEST_F(StatisticsTest, ThreadsThatHaveEndedAreCounted) {
  Statistics own{redis_, "web", "latency", by_hand};
  for (int i = 0; i < 10; ++i) std::thread{[&] { own.add(2); }}.join();
  EXPECT_EQ(own.pending(), 10);
  EXPECT_EQ(own.current().count(), 10);
}

TEST_F(StatisticsTest, TellsWhatValuesWereLike) {
  for (auto const value : {2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0}) latency_.add(value);
  auto const now = latency_.current();
  EXPECT_EQ(now.count(), 8);
  EXPECT_EQ(now.sum(), 40);
  EXPECT_EQ(now.min(), 2);
  EXPECT_EQ(now.max(), 9);
  EXPECT_EQ(now.mean(), 5);
  EXPECT_NEAR(now.stddev(), 2, 1e-14);
  EXPECT_NEAR(now.quantile(0.5), 4, 0.04);
  EXPECT_EQ(now.quantile(0), 2);
  EXPECT_EQ(now.quantile(1), 9);
  EXPECT_EQ(latency_.pending(), 0);
}

TEST_F(StatisticsTest, WithoutValuesThereIsNothingToTell) {
  auto const now = latency_.current();
  EXPECT_EQ(now.count(), 0);
  EXPECT_EQ(now.sum(), 0);
  for (auto const number : {now.min(), now.max(), now.mean(), now.stddev(), now.quantile(0.5)})
    EXPECT_TRUE(std::isnan(number));
  EXPECT_FALSE(latency_.last());
  EXPECT_EQ(redis_.command("DBSIZE").as<int>(), 0);
  EXPECT_THAT(now.render(), HasSubstr("count 0"));
}

TEST_F(StatisticsTest, MergesWhatManyHaveGatheredAsIfItWereOne) {
  std::vector<double> all;
  for (unsigned part = 0; part < 20; ++part) {
    Statistics own{Client{server_.url()}, "web", "latency", by_hand};
    for (auto const value : odd_values(part, 500)) {
      own.add(value);
      all.push_back(value);
      if (all.size() % 97 == 0) own.flush();
    }
    own.flush();
  }
  expect_true(latency_.current(), TrueStatistics{all});
}

TEST_F(StatisticsTest, QuantilesAreWithinOnePercentOverTheWholeRange) {
  std::vector<double> all;
  for (int i = -290; i <= 300; ++i) {
    for (auto const digits : {1.0, 1.0199999, 1.02, 1.0200001, 3.3, 9.999999}) {
      all.push_back(digits * std::pow(10, i));
      all.push_back(-all.back());
    }
  }
  for (int i = 0; i < 100; ++i) all.push_back(0);
  for (auto const each : all) latency_.add(each);
  latency_.flush();
  TrueStatistics const truth{all};
  auto const now = latency_.current();
  for (int i = 0; i <= 1000; ++i) {
    auto const q = i / 1000.0;
    EXPECT_LE(std::abs(now.quantile(q) - truth.quantile(q)), std::abs(truth.quantile(q)) * 0.01)
        << q;
  }
}

TEST_F(StatisticsTest, SumsKeepWhatADoubleWouldLose) {
  // 1 is lost beside 1e100, if not for the rest that each sum keeps: in a thread, in Lua.
  for (bool const apart : {false, true}) {
    redis_.command("FLUSHALL");
    for (auto const value : {1.0, 1e100, 1.0, -1e100}) {
      latency_.add(value);
      if (apart) latency_.flush();
    }
    EXPECT_EQ(latency_.current().sum(), 2);
  }
  redis_.command("FLUSHALL");
  for (int i = 0; i < 3000; ++i) {
    latency_.add(0.1);
    if (i % 3 == 0) latency_.flush();
  }
  EXPECT_NEAR(latency_.current().sum(), 300, 300 * 1e-16);
}

TEST_F(StatisticsTest, DeviationIsNotSpoiltByALargeMean) {
  for (int i = 0; i < 1000; ++i) {
    latency_.add(1e9 + (i % 2));
    if (i % 10 == 5) latency_.flush();
  }
  EXPECT_NEAR(latency_.current().stddev(), 0.5, 1e-7);
}

TEST_F(StatisticsTest, WhatIsNoFiniteNumberIsRefusedAndChangesNothing) {
  latency_.add(1);
  for (auto const value : {infinity, -infinity, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(text_of<std::invalid_argument>([&] { latency_.add(value); }),
                HasSubstr("cannot be added; a value is a finite number"));
  }
  EXPECT_EQ(latency_.pending(), 1);
  auto const now = latency_.current();
  EXPECT_EQ(now.count(), 1);
  EXPECT_EQ(now.sum(), 1);
}

TEST_F(StatisticsTest, SumBeyondTheRangeOfADoubleIsInfiniteAndTheRestIsRight) {
  constexpr auto most = std::numeric_limits<double>::max();
  for (int i = 0; i < 4; ++i) {
    latency_.add(most);
    if (i % 2 == 0) latency_.flush();
  }
  latency_.add(-1);
  auto const now = latency_.current();
  EXPECT_EQ(now.sum(), infinity);
  EXPECT_EQ(now.count(), 5);
  EXPECT_EQ(now.min(), -1);
  EXPECT_EQ(now.max(), most);
  EXPECT_GE(now.quantile(0.9), most * 0.99);
}

TEST_F(StatisticsTest, MoreBucketsThanFitIntoOneStepAreMergedAllTheSame) {
  for (int round = 0; round < 2; ++round) {
    for (int i = -1500; i < 1500; ++i) latency_.add(std::pow(1.03, i));
    latency_.flush();
  }
  auto const now = latency_.current();
  EXPECT_EQ(now.count(), 6000);
  EXPECT_NEAR(now.quantile(0.25) / std::pow(1.03, -750), 1, 0.03);
  std::int64_t in_buckets = 0;
  for (auto const& [field, value] : hash()) {
    if (field[0] == '+') in_buckets += std::stoll(value);
  }
  EXPECT_EQ(in_buckets, 6000);
}

TEST_F(StatisticsTest, ManyThreadsAddAtOnce) {
  Statistics often{redis_, "web", "latency", {.flush_interval = 1ms}};
  support::on_threads(4, [&](int number) {
    for (int i = 0; i < 5000; ++i) often.add(number);
  });
  auto const now = often.current();
  EXPECT_EQ(now.count(), 20'000);
  EXPECT_EQ(now.sum(), 5000 * (0 + 1 + 2 + 3));
}

TEST_F(StatisticsTest, IsFlushedByTheIntervalAndByItsEnd) {
  {
    Statistics soon{redis_, "web", "latency", {.flush_interval = 5ms}};
    soon.add(1);
    EXPECT_TRUE(support::eventually([&] { return latency_.current().count() == 1; }));
    Statistics last{redis_, "web", "latency", by_hand};
    last.add(2);
    last.add(3);
  }
  EXPECT_EQ(latency_.current().count(), 3);
}

// ---- Periods ----

TEST_F(StatisticsTest, PeriodIsTheOneInWhichTheServersClockIsAtTheMerge) {
  time_is(sys_days{2026y / 11 / 23} + 6h + 59min);
  latency_.add(1);
  auto now = latency_.current();
  EXPECT_EQ(now.start(), sys_days{2026y / 11 / 23} + 6h);
  EXPECT_FALSE(latency_.last());

  time_is(sys_days{2026y / 11 / 23} + 7h + 1s);
  EXPECT_EQ(latency_.current().count(), 0);
  EXPECT_EQ(latency_.current().start(), sys_days{2026y / 11 / 23} + 7h);
  ASSERT_TRUE(latency_.last());
  EXPECT_EQ(latency_.last()->start(), sys_days{2026y / 11 / 23} + 6h);
  EXPECT_EQ(latency_.last()->count(), 1);

  latency_.add(5);
  latency_.add(6);
  EXPECT_EQ(latency_.current().count(), 2);
  EXPECT_EQ(latency_.current().min(), 5);
  EXPECT_EQ(latency_.last()->max(), 1);

  // Whatever the gap, the last is the latest that had values.
  time_is(sys_days{2026y / 11 / 23} + 12h);
  EXPECT_EQ(latency_.last()->count(), 2);
  latency_.add(7);
  EXPECT_EQ(latency_.current().count(), 1);
  EXPECT_EQ(latency_.last()->count(), 2);
  EXPECT_EQ(latency_.last()->start(), sys_days{2026y / 11 / 23} + 7h);
}

TEST_F(StatisticsTest, ClockThatIsSetBackJoinsThePeriodThatHasBegun) {
  time_is(sys_days{2026y / 11 / 23} + 7h);
  latency_.add(1);
  latency_.flush();
  time_is(sys_days{2026y / 11 / 23} + 6h);
  latency_.add(2);
  auto const now = latency_.current();
  EXPECT_EQ(now.count(), 2);
  EXPECT_EQ(now.start(), sys_days{2026y / 11 / 23} + 7h);
  EXPECT_FALSE(latency_.last());
}

TEST_F(StatisticsTest, HashesExpireTwentyFivePeriodsAfterTheirBeginning) {
  Statistics minute{
      redis_, "web", "latency", {.period = 1min, .flush_interval = 12h, .resend_for = 24h}};
  time_is(sys_days{2026y / 11 / 23} + 6h + 30s);
  minute.add(1);
  minute.flush();
  auto const left = redis_.command("PTTL", "statistics:web:latency").as<long long>();
  EXPECT_LE(left, (25 * 60 - 30) * 1000);
  EXPECT_GT(left, (25 * 60 - 90) * 1000);
  time_is(sys_days{2026y / 11 / 23} + 6h + 1min);
  minute.add(2);
  minute.flush();
  EXPECT_GT(redis_.command("PTTL", "{statistics:web:latency}:last").as<long long>(), 0);
  time_is(sys_days{2026y / 11 / 23} + 6h + 27min);
  EXPECT_FALSE(minute.last());
}

// ---- What lies in Redis ----

TEST_F(StatisticsTest, HashIsReadableByAPerson) {
  time_is(sys_days{2026y / 11 / 23} + 6h + 5min);
  for (auto const value : {12.5, 12.5, 0.0, -3.0}) latency_.add(value);
  latency_.flush();
  auto const fields = hash();
  EXPECT_EQ(fields.at("since"), "2026-11-23T06:00:00");
  EXPECT_EQ(fields.at("count"), "4");
  EXPECT_EQ(fields.at("sum"), "22");
  EXPECT_EQ(fields.at("mean"), "5.5");
  EXPECT_EQ(fields.at("min"), "-3");
  EXPECT_EQ(fields.at("max"), "12.5");
  EXPECT_NEAR(std::stod(fields.at("stddev")), std::sqrt(50.125), 1e-12);
  EXPECT_EQ(fields.at("+128 ~12.5"), "2");
  EXPECT_EQ(fields.at("0"), "1");
  EXPECT_EQ(fields.at("-56 ~-3"), "1");
  EXPECT_EQ(fields.size(), 13U);
}

TEST_F(StatisticsTest, DatesAreThoseOfTheCalendar) {
  for (auto const date :
       {1970y / 1 / 1, 1999y / 12 / 31, 2000y / 2 / 29, 2000y / 3 / 1, 2023y / 2 / 28,
        2024y / 2 / 29, 2024y / 12 / 31, 2026y / 1 / 1, 2026y / 10 / 31, 2100y / 3 / 1}) {
    redis_.command("FLUSHALL");
    time_is(sys_days{date} + 23h + 59min + 58s);
    Statistics seconds{
        redis_, "web", "latency", {.period = 1s, .flush_interval = 12h, .resend_for = 24h}};
    seconds.add(1);
    seconds.flush();
    char text[32];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT23:59:58", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
    EXPECT_EQ(hash().at("since"), text);
  }
}

TEST_F(StatisticsTest, AllKeysShareASlot) {
  Statistics tagged{redis_, "{web}", "latency", by_hand};
  for (auto* const each : {&latency_, &tagged}) {
    time_is(sys_days{2026y / 11 / 23} + 6h);
    each->add(1);
    each->flush();
    time_is(sys_days{2026y / 11 / 23} + 7h);
    each->add(1);
    each->flush();
  }
  EXPECT_THAT(
      redis_.command("KEYS", "*").as<std::vector<std::string>>(),
      ::testing::UnorderedElementsAre("statistics:web:latency", "{statistics:web:latency}:last",
                                      ::testing::StartsWith("{statistics:web:latency}:flushed:"),
                                      "statistics:{web}:latency", "statistics:{web}:latency:last",
                                      ::testing::StartsWith("statistics:{web}:latency:flushed:")));
}

TEST_F(StatisticsTest, CounterOfTheSameNameIsToldThatItsKeyIsTaken) {
  BufferedCounter same{
      redis_, "statistics:web:latency", {.flush_interval = 12h, .resend_for = 24h}};
  same.add(1);
  latency_.add(1);
  EXPECT_EQ(same.value(), 1);
  latency_.flush();
  EXPECT_EQ(support::code_of([&] { (void)same.value(); }), "WRONGTYPE");
  redis_.command("DEL", "statistics:web:latency");
}

// ---- What it costs ----

TEST_F(StatisticsTest, AnyNumberOfValuesIsOneCommandAndOneRoundTrip) {
  FaultProxy proxy{server_};
  Statistics far{Client{proxy.url()}, "web", "latency", by_hand};
  far.add(1);
  far.flush();
  int least = std::numeric_limits<int>::max();
  for (int round = 0; round < 10;
       ++round) {  // the event thread connects meanwhile, by the same way
    auto const before = proxy.round_trips();
    EXPECT_EQ(commands_of(redis_,
                          [&] {
                            for (int i = 0; i < 1000; ++i) far.add(1 + i % 5);
                            far.flush();
                          }),
              "evalsha 1, get 1, hmget 2, hset 2, pexpire 1, set 1, time 1");
    least = std::min(least, proxy.round_trips() - before);
  }
  EXPECT_EQ(least, 1);
  EXPECT_EQ(commands_of(redis_, [&] { far.flush(); }), "");
  (void)far.current();
  EXPECT_EQ(commands_of(redis_, [&] { (void)far.current(); }), "evalsha 1, hgetall 2, time 1");
}

// ---- The picture ----

TEST_F(StatisticsTest, PictureHasAllValuesAndFitsATerminal) {
  auto const values = odd_values(7, 2000);
  for (auto const each : values) latency_.add(each);
  auto const text = latency_.current().render();
  EXPECT_THAT(text, HasSubstr("count 2000"));
  std::istringstream lines{text};
  std::int64_t sum = 0;
  int rows = 0;
  double last = -infinity;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80U) << line;
    if (line.find('|') == std::string::npos) continue;
    ++rows;
    sum += std::stoll(line.substr(line.rfind(' ')));
    auto const upper = std::stod(line.substr(line.find("to") + 2));
    EXPECT_GT(upper, last) << text;
    last = upper;
  }
  EXPECT_EQ(sum, 2000) << text;
  EXPECT_GE(rows, 15) << text;
  EXPECT_LE(rows, 25) << text;
}

// ---- What is refused ----

TEST_F(StatisticsTest, BadInputIsRefusedBeforeAnyConversation) {
  Client nowhere{"unix:///nowhere.sock"};
  auto const refused = [&](std::string const& context, std::string const& type,
                           StatisticsOptions const& options) {
    return text_of<std::invalid_argument>([&] {
      Statistics const statistics{nowhere, context, type, options};
    });
  };
  EXPECT_THAT(refused("", "b", {}), HasSubstr("were given the context '' and the type 'b'; both "
                                              "have 1 byte or more"));
  EXPECT_THAT(refused("a", "", {}), HasSubstr("the context 'a' and the type ''"));
  for (auto const period : {0ms, 999ms, 1500ms, -1000ms}) {
    EXPECT_THAT(refused("a", "b", {.period = period}),
                HasSubstr("it is whole seconds, from 1 s to 366 days"));
  }
  EXPECT_THAT(refused("a", "b", {.period = 24h * 367}), HasSubstr("from 1 s to 366 days"));
  EXPECT_THAT(refused("a", "b", {.flush_interval = 0ms}),
              HasSubstr("statistics were given a flush_interval of 0 ms"));
  EXPECT_THAT(refused("a", "b", {.flush_interval = 1h}),
              HasSubstr("statistics were given a resend_for of 3600000 ms with a flush_interval of "
                        "3600000 ms; it is at least twice as long"));
  latency_.add(1);
  for (auto const q : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(text_of<std::invalid_argument>([&] { (void)latency_.current().quantile(q); }),
                HasSubstr("it is from 0 to 1"));
  }
}

}  // namespace
}  // namespace tandem
