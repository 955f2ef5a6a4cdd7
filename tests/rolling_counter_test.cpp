#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/core/connection.hpp>
#include <tandem/rolling_counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/boot_clock.hpp"
#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/shifted_clock.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using support::code_of;
using support::commands_of;
using support::extra_nanoseconds;
using support::FaultProxy;
using support::stands_still;
using support::text_of;
using ::testing::HasSubstr;
using Period = RollingCounter::Period;

constexpr auto highest = std::numeric_limits<std::int64_t>::max();

static_assert(std::is_copy_constructible_v<RollingCounter> &&
              std::is_nothrow_move_constructible_v<RollingCounter>);

/// The commands of an add that takes the transaction, as commands_of() tells them.
constexpr auto look_and_add = "evalsha 1, exec 1, get 2, incrby 1, multi 1, time 1, watch 1";
constexpr auto look_and_begin =
    "evalsha 1, exec 1, get 2, incrby 1, multi 1, set 1, time 1, watch 1";
constexpr auto look_and_move =
    "evalsha 1, exec 1, get 2, incrby 1, multi 1, rename 2, set 2, time 1, watch 1";

/// Time stands still, on the server and here, and passes when a test says so. It begins at half
/// past six.
class RollingCounterTest : public ::testing::Test {
 protected:
  RollingCounterTest() {
    stands_still = true;
    set_server_clock(half_past_six);
    // The script is known from here on, so that commands can be counted.
    (void)RollingCounter{redis_, "any", "other"}.current();
  }
  ~RollingCounterTest() override { stands_still = false; }

  /// The one that is shared and the one for transactions; the first MULTI of that is one more.
  static void know_all_connections(Client redis) {
    redis.command("PING");
    RollingCounter{redis, "any", "thing"}.add();
  }

  void pass(std::chrono::nanoseconds time) {
    extra_nanoseconds += time.count();
    set_server_clock(server_clock_ + time);
  }
  /// The server's alone.
  void set_server_clock(std::chrono::sys_time<std::chrono::nanoseconds> time) {
    server_clock_ = time;
    clock_.stand_still_at(time);
  }

  std::string get(std::string const& key) {
    return redis_.command("GET", key).as<std::optional<std::string>>().value_or("(nil)");
  }
  /// The four keys, as "count, start, last, pstart".
  std::string keys(std::string const& name = "stats:web:sales") {
    return get(name) + ", " + get(name + ":start") + ", " + get(name + ":last") + ", " +
           get(name + ":pstart");
  }
  static Options with_timeout(std::string const& url, std::chrono::milliseconds timeout) {
    auto options = Options::from_url(url);
    options.command_timeout = timeout;
    return options;
  }

  static constexpr sys_seconds six = sys_days{std::chrono::year{2026} / 11 / 23} + 6h;
  static constexpr sys_seconds half_past_six = six + 30min;

  support::ShiftedClock clock_{};
  std::chrono::sys_time<std::chrono::nanoseconds> server_clock_{};
  testing::RedisServer server_{};
  Client redis_{server_.url()};
  RollingCounter sales_{redis_, "web", "sales"};
};

// ---- Counting ----

TEST_F(RollingCounterTest, IsEmptyBeforeTheFirstAddAndWritesNothing) {
  EXPECT_EQ(sales_.current(), (Period{six, 0}));
  EXPECT_EQ(sales_.last(), std::nullopt);
  EXPECT_EQ(redis_.command("DBSIZE").as<int>(), 0);
}

TEST_F(RollingCounterTest, AddReturnsTheCurrentPeriodsCount) {
  EXPECT_EQ(sales_.add(), 1);
  EXPECT_EQ(sales_.add(3), 4);
  EXPECT_EQ(sales_.add(-10), -6);
  EXPECT_EQ(sales_.current(), (Period{six, -6}));
}

TEST_F(RollingCounterTest, KeysAreTheFourClassicOnes) {
  sales_.add(3);
  EXPECT_EQ(keys(), "3, 2026-11-23T06:00:00, (nil), (nil)");
  pass(1h);
  sales_.add(4);
  EXPECT_EQ(keys(), "4, 2026-11-23T07:00:00, 3, 2026-11-23T06:00:00");
  pass(24h);
  sales_.add(5);
  EXPECT_EQ(keys(), "5, 2026-11-24T07:00:00, 4, 2026-11-23T07:00:00");
  EXPECT_EQ(redis_.command("DBSIZE").as<int>(), 4);
}

TEST_F(RollingCounterTest, CountOfTheOldPeriodIsTheLastOneFromItsEndOn) {
  sales_.add(3);
  set_server_clock(six + 1h - 1us);
  EXPECT_EQ(sales_.current(), (Period{six, 3}));
  EXPECT_EQ(sales_.last(), std::nullopt);
  set_server_clock(six + 1h);  // nobody has added yet
  EXPECT_EQ(sales_.current(), (Period{six + 1h, 0}));
  EXPECT_EQ(sales_.last(), (Period{six, 3}));
  pass(0s);
  RollingCounter{redis_, "web", "sales"}.add(4);
  EXPECT_EQ(sales_.current(), (Period{six + 1h, 4}));
  EXPECT_EQ(sales_.last(), (Period{six, 3}));
}

TEST_F(RollingCounterTest, LastIsTheLatestPeriodWithTrafficWhateverTheGap) {
  sales_.add(3);
  pass(5h);
  EXPECT_EQ(sales_.last(), (Period{six, 3}));
  EXPECT_EQ(sales_.current(), (Period{six + 5h, 0}));
  sales_.add(4);
  EXPECT_EQ(sales_.last(), (Period{six, 3}));
  pass(24h * 400);
  EXPECT_EQ(sales_.last(), (Period{six + 5h, 4}));
}

TEST_F(RollingCounterTest, PeriodMayBeAnyNumberOfSeconds) {
  auto const start_after_add = [&](std::chrono::milliseconds period) {
    RollingCounter counter{redis_, "period", std::to_string(period.count()), {.period = period}};
    counter.add();
    auto text = get("stats:period:" + std::to_string(period.count()) + ":start");
    EXPECT_EQ(counter.current().count, 1);
    return text;
  };
  set_server_clock(half_past_six + 47s + 999ms);
  EXPECT_EQ(start_after_add(1s), "2026-11-23T06:30:47");
  EXPECT_EQ(start_after_add(1min), "2026-11-23T06:30:00");
  EXPECT_EQ(start_after_add(15min), "2026-11-23T06:30:00");
  EXPECT_EQ(start_after_add(24h), "2026-11-23T00:00:00");
  EXPECT_EQ(start_after_add(7 * 24h),
            "2026-11-19T00:00:00");  // weeks since 1970 begin on Thursdays
  EXPECT_EQ(start_after_add(24h * 365'000), "1970-01-01T00:00:00");
}

TEST_F(RollingCounterTest, CopiesAreTheSameCounterAndShareWhatIsKnown) {
  auto copy = sales_;
  copy.add(2);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(3); }), "incrby 1");
  EXPECT_EQ(copy.current(), (Period{six, 5}));
}

TEST_F(RollingCounterTest, NamesAreBytes) {
  RollingCounter strange{redis_, "{a\0\n}"s, "\xff b"};
  strange.add(2);
  pass(1h);
  strange.add(3);
  EXPECT_EQ(keys("stats:{a\0\n}:\xff b"s), "3, 2026-11-23T07:00:00, 2, 2026-11-23T06:00:00");
}

TEST_F(RollingCounterTest, OldProtocolServesAsWell) {
  auto options = Options::from_url(server_.url());
  options.protocol = 2;
  RollingCounter sales{Client{options}, "web", "sales"};
  EXPECT_EQ(sales.last(), std::nullopt);
  sales.add(2);
  pass(1h);
  EXPECT_EQ(sales.add(3), 3);
  EXPECT_EQ(sales.current(), (Period{six + 1h, 3}));
  EXPECT_EQ(sales.last(), (Period{six, 2}));
}

TEST_F(RollingCounterTest, BadPeriodIsRefusedBeforeAnyConversation) {
  Client nowhere{"unix:///nowhere.sock"};
  for (auto const period : {0ms, -3600000ms, 999ms, 1500ms, -1ms}) {
    auto const make = [&] { RollingCounter const counter{nowhere, "a", "b", {.period = period}}; };
    EXPECT_THAT(text_of<std::invalid_argument>(make),
                HasSubstr("a period of " + std::to_string(period.count()) +
                          " ms; it is whole seconds, 1 or more"));
  }
}

TEST_F(RollingCounterTest, EmptyNameIsRefusedBeforeAnyConversation) {
  Client nowhere{"unix:///nowhere.sock"};
  auto const make = [&] { RollingCounter const counter{nowhere, "", "sales"}; };
  EXPECT_THAT(text_of<std::invalid_argument>(make),
              HasSubstr("the context '' and the type 'sales'; both have 1 byte or more"));
  EXPECT_THROW((RollingCounter{nowhere, "web", ""}), std::invalid_argument);
}

// ---- What it costs ----

TEST_F(RollingCounterTest, AddWithinAPeriodIsOneIncrby) {
  know_all_connections(redis_);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), look_and_begin);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), "incrby 1");
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(), sales_.add(5), sales_.add(-3); }), "incrby 3");
}

TEST_F(RollingCounterTest, FirstAddInAPeriodIsATransaction) {
  sales_.add();
  pass(1h);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), look_and_move);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), "incrby 1");
}

TEST_F(RollingCounterTest, CurrentAndLastAreOneCommandEach) {
  EXPECT_EQ(commands_of(redis_, [&] { (void)sales_.current(); }), "evalsha 1, get 4, time 1");
  EXPECT_EQ(commands_of(redis_, [&] { (void)sales_.last(); }), "evalsha 1, get 4, time 1");
}

TEST_F(RollingCounterTest, RoundTripsAreOneWithinAPeriodAndTwoForATransaction) {
  FaultProxy proxy{server_};
  Client far{proxy.url()};
  know_all_connections(far);
  RollingCounter sales{far, "web", "sales"};
  auto const round_trips_of = [&](std::function<void()> const& act) {
    auto const before = proxy.round_trips();
    act();
    return proxy.round_trips() - before;
  };
  EXPECT_EQ(round_trips_of([&] { sales.add(); }), 2);
  EXPECT_EQ(round_trips_of([&] { sales.add(); }), 1);
  pass(1h);
  EXPECT_EQ(round_trips_of([&] { sales.add(); }), 2);
  EXPECT_EQ(round_trips_of([&] { (void)sales.current(); }), 1);
  EXPECT_EQ(round_trips_of([&] { (void)sales.last(); }), 1);
  redis_.command("SCRIPT", "FLUSH");
  pass(1h);
  EXPECT_EQ(round_trips_of([&] { sales.add(); }), 3);
  redis_.command("DEL", "stats:web:sales");
  EXPECT_EQ(round_trips_of([&] { sales.add(); }),
            3);  // the add, a look, and UNWATCH: the start is there
}

// ---- What is known of the time ----

TEST_F(RollingCounterTest, WhatIsKnownIsTrustedForAMinuteButForDrift) {
  sales_.add();
  pass(59s);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), "incrby 1");
  pass(940ms);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), look_and_add);
}

TEST_F(RollingCounterTest, AddNearTheEndOfThePeriodLooksAtTheClockAgain) {
  set_server_clock(six + 1h - 30s);
  sales_.add();
  pass(29s + 969ms);  // 30 ms may have been drifted in 30 s
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), "incrby 1");
  pass(1ms);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), look_and_add);
  pass(29ms);  // a fresh look leaves microseconds of doubt
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), "incrby 1");
  pass(1ms);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), look_and_move);
  EXPECT_EQ(keys(), "1, 2026-11-23T07:00:00, 4, 2026-11-23T06:00:00");
}

TEST_F(RollingCounterTest, ServerClockThatIsSetForwardIsNoticedWithinAMinute) {
  sales_.add();
  set_server_clock(six + 5h);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), "incrby 1");
  pass(60s);
  EXPECT_EQ(sales_.add(), 1);
  EXPECT_EQ(sales_.last(), (Period{six, 2}));
}

TEST_F(RollingCounterTest, ServerClockThatIsSetBackBeginsNoPeriodTwice) {
  sales_.add(3);
  set_server_clock(six - 5min);
  pass(60s);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(4); }), look_and_add);
  EXPECT_EQ(keys(), "7, 2026-11-23T06:00:00, (nil), (nil)");
  EXPECT_EQ(sales_.current(), (Period{six, 7}));
}

TEST_F(RollingCounterTest, PeriodBegunByAClockThatLeadsIsJoined) {
  sales_.add(3);
  redis_.command("RENAME", "stats:web:sales", "stats:web:sales:last");
  redis_.command("RENAME", "stats:web:sales:start", "stats:web:sales:pstart");
  redis_.command("MSET", "stats:web:sales:start", "2026-11-23T07:00:00", "stats:web:sales", 10);
  EXPECT_EQ(sales_.add(), 11);
  EXPECT_EQ((RollingCounter{redis_, "web", "sales"}.add()), 12);
  EXPECT_EQ(sales_.current(), (Period{six + 1h, 12}));
  EXPECT_EQ(sales_.last(), (Period{six, 3}));
  pass(1h);
  EXPECT_EQ(sales_.add(), 13);
  EXPECT_EQ(keys(), "13, 2026-11-23T07:00:00, 3, 2026-11-23T06:00:00");
}

TEST_F(RollingCounterTest, StartInTheFarFutureIsJoinedToo) {
  redis_.command("MSET", "stats:web:sales:start", "9999-12-31T23:59:59", "stats:web:sales", 10);
  EXPECT_EQ(sales_.add(), 11);
  EXPECT_EQ(commands_of(redis_, [&] { sales_.add(); }), "incrby 1");
}

TEST_F(RollingCounterTest, AddsOverARealChangeOfPeriodAreAllCounted) {
  stands_still = false;
  for (int round = 0;; ++round) {
    clock_.go_on_from(std::chrono::system_clock::now());
    RollingCounter counter{redis_, "real", std::to_string(round), {.period = 2s}};
    // Begins in the second half of a period, so as not to take long.
    do counter.add(0);
    while (redis_.command("TIME")[0].as<std::int64_t>() % 2 == 0);
    auto const start = counter.current().start;
    std::atomic<std::int64_t> added = 0;
    std::array<std::thread, 4> threads;
    for (auto& thread : threads) {
      thread =
          std::thread{[&, mine = RollingCounter{
                              redis_, "real", std::to_string(round), {.period = 2s}}]() mutable {
            while (mine.current().start == start) {
              for (int n = 0; n < 10; ++n) mine.add(2), added += 2;
            }
            mine.add(2), added += 2;
          }};
    }
    for (auto& thread : threads) thread.join();
    auto const now = counter.current();
    auto const before = counter.last().value();
    if ((now.start != start + 2s || before.start != start) && round < 10)
      continue;  // the machine stalled
    EXPECT_EQ(before.start, start);
    EXPECT_GT(now.count, 0);
    EXPECT_EQ(before.count + now.count, added);
    return;
  }
}

// ---- What others did to the keys ----

TEST_F(RollingCounterTest, MissingCountIsZeroWhenItIsMoved) {
  sales_.add(3);
  redis_.command("MSET", "stats:web:sales:last", 99, "stats:web:sales:pstart",
                 "2026-11-23T05:00:00");
  redis_.command("DEL", "stats:web:sales");
  pass(1h);
  EXPECT_EQ(sales_.last(), (Period{six, 0}));
  sales_.add(4);
  EXPECT_EQ(keys(), "4, 2026-11-23T07:00:00, 0, 2026-11-23T06:00:00");
}

TEST_F(RollingCounterTest, CountWithoutAStartIsTakenForTheCurrentPeriods) {
  redis_.command("SET", "stats:web:sales", 10);
  EXPECT_EQ(sales_.current(), (Period{six, 10}));
  EXPECT_EQ(sales_.last(), std::nullopt);
  EXPECT_EQ(sales_.add(), 11);
  EXPECT_EQ(keys(), "11, 2026-11-23T06:00:00, (nil), (nil)");
}

TEST_F(RollingCounterTest, StartIsWrittenAgainWhenTheKeysAreGone) {
  sales_.add(3);
  redis_.command("FLUSHALL");
  EXPECT_EQ(commands_of(redis_, [&] { EXPECT_EQ(sales_.add(2), 2); }),
            "evalsha 1, exec 1, get 2, incrby 1, multi 1, set 1, time 1, watch 1");
  EXPECT_EQ(keys(), "2, 2026-11-23T06:00:00, (nil), (nil)");
  EXPECT_EQ(commands_of(redis_, [&] { EXPECT_EQ(sales_.add(2), 4); }), "incrby 1");
}

TEST_F(RollingCounterTest, StartThatIsThereIsLeftWhenTheCountAloneWasGone) {
  sales_.add(3);
  redis_.command("DEL", "stats:web:sales");
  EXPECT_EQ(commands_of(redis_, [&] { EXPECT_EQ(sales_.add(2), 2); }),
            "evalsha 1, get 2, incrby 1, time 1, unwatch 1, watch 1");
  EXPECT_EQ(keys(), "2, 2026-11-23T06:00:00, (nil), (nil)");
  EXPECT_EQ(commands_of(redis_, [&] { EXPECT_EQ(sales_.add(2), 4); }), "incrby 1");
}

TEST_F(RollingCounterTest, CountThatWasGoneIsMovedByTheNextAddWhenItsPeriodIsOver) {
  sales_.add(3);
  set_server_clock(
      six + 1h);  // the clock here lags, as if the change had come between the add and the look
  redis_.command("DEL", "stats:web:sales");
  EXPECT_EQ(sales_.add(2), 2);
  EXPECT_EQ(keys(), "2, 2026-11-23T06:00:00, (nil), (nil)");
  EXPECT_EQ(sales_.add(4), 4);
  EXPECT_EQ(keys(), "4, 2026-11-23T07:00:00, 2, 2026-11-23T06:00:00");
}

TEST_F(RollingCounterTest, AddThatCannotWriteTheMissingStartIsAcknowledgedAndTheNextOneTriesAgain) {
  redis_.command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all");
  auto options = Options::from_url(server_.url());
  options.user = "app";
  options.password = "pw";
  RollingCounter sales{Client{options}, "web", "sales"};
  sales.add(3);
  redis_.command("FLUSHALL");
  redis_.command("ACL", "SETUSER", "app", "-watch");
  EXPECT_EQ(sales.add(2), 2);
  EXPECT_EQ(keys(), "2, (nil), (nil), (nil)");
  EXPECT_EQ(code_of([&] { sales.add(2); }), "NOPERM");
  redis_.command("ACL", "SETUSER", "app", "+watch");
  EXPECT_EQ(sales.add(2), 4);
  EXPECT_EQ(keys(), "4, 2026-11-23T06:00:00, (nil), (nil)");
}

TEST_F(RollingCounterTest, MissingLastCountIsZeroWhereItsStartIsThere) {
  redis_.command("MSET", "stats:web:sales", 1, "stats:web:sales:start", "2026-11-23T06:00:00",
                 "stats:web:sales:pstart", "2026-11-23T04:00:00");
  EXPECT_EQ(sales_.last(), (Period{six - 2h, 0}));
}

TEST_F(RollingCounterTest, StartThatIsNoTimeIsACodecErrorNamingItsKeyAndNothingIsChanged) {
  for (auto const* text : {"", "today", "2026-11-23T06:00", "2026-11-23 06:00:00",
                           "2026-11-23T06:00:00.5", "2026-13-01T00:00:00", "2026-02-29T00:00:00",
                           "2026-11-00T00:00:00", "2026-11-23T24:00:00", "2026-11-23T06:60:00",
                           "2026-11-23T06:00:60", "2026-11-23T06:00:0x", "+026-11-23T06:00:00"}) {
    redis_.command("MSET", "stats:web:sales", 1, "stats:web:sales:start", text);
    EXPECT_THAT(text_of<CodecError>([&] { sales_.add(); }), HasSubstr("stats:web:sales:start"))
        << text;
    EXPECT_THROW((void)sales_.current(), CodecError) << text;
    EXPECT_THROW((void)sales_.last(), CodecError) << text;
    EXPECT_EQ(keys(), "1, "s + text + ", (nil), (nil)");
  }
}

TEST_F(RollingCounterTest, CountThatIsNoNumberIsRefusedAndIsNotMoved) {
  sales_.add(3);
  redis_.command("SET", "stats:web:sales", "many");
  EXPECT_EQ(code_of([&] { sales_.add(); }), "ERR");
  pass(1h);
  EXPECT_THAT(text_of<CodecError>([&] { sales_.add(); }), HasSubstr("stats:web:sales:"));
  EXPECT_THROW((void)sales_.current(), CodecError);
  EXPECT_EQ(keys(), "many, 2026-11-23T06:00:00, (nil), (nil)");
}

// ---- What the server refuses ----

TEST_F(RollingCounterTest, KeyOfAnotherTypeIsWrongtypeAndNothingIsChanged) {
  sales_.add(3);
  redis_.command("DEL", "stats:web:sales");
  redis_.command("RPUSH", "stats:web:sales", "a");
  EXPECT_EQ(code_of([&] { sales_.add(); }), "WRONGTYPE");
  pass(1h);
  EXPECT_EQ(code_of([&] { sales_.add(); }), "WRONGTYPE");
  EXPECT_THAT(text_of<ServerError>([&] { sales_.add(); }),
              HasSubstr("adding to stats:web:sales: WRONGTYPE"));
  EXPECT_EQ(code_of([&] { (void)sales_.current(); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)sales_.last(); }), "WRONGTYPE");
  EXPECT_EQ(redis_.command("LLEN", "stats:web:sales").as<int>(), 1);
  EXPECT_EQ(get("stats:web:sales:start"), "2026-11-23T06:00:00");

  redis_.command("RPUSH", "stats:ERR: a:WRONGTYPE b", "a");
  EXPECT_EQ(code_of([&] { (RollingCounter{redis_, "ERR: a", "WRONGTYPE b"}.add()); }), "WRONGTYPE");

  redis_.command("RPUSH", "stats:web:hits:start", "a");
  RollingCounter hits{redis_, "web", "hits"};
  EXPECT_EQ(code_of([&] { hits.add(); }), "WRONGTYPE");
  EXPECT_EQ(get("stats:web:hits"), "(nil)");
  EXPECT_EQ(redis_.command("LLEN", "stats:web:hits:start").as<int>(), 1);
}

TEST_F(RollingCounterTest, OverflowIsTheServersErrorAndTheCountStaysWhatItWas) {
  sales_.add(highest - 1);
  EXPECT_THAT(text_of<ServerError>([&] { sales_.add(2); }), HasSubstr("overflow"));
  RollingCounter another{redis_, "web", "sales"};
  EXPECT_THAT(text_of<ServerError>([&] { another.add(2); }),
              HasSubstr("adding to stats:web:sales: ERR"));
  EXPECT_EQ(sales_.current(), (Period{six, highest - 1}));
  EXPECT_EQ(sales_.add(), highest);
}

TEST_F(RollingCounterTest, FullServerRefusesAddsAndMovesNothing) {
  sales_.add(3);
  redis_.command("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(code_of([&] { sales_.add(); }), "OOM");
  pass(1h);
  EXPECT_EQ(code_of([&] { sales_.add(); }), "OOM");
  EXPECT_EQ(sales_.last(), (Period{six, 3}));
  EXPECT_EQ(keys(), "3, 2026-11-23T06:00:00, (nil), (nil)");
  redis_.command("CONFIG", "SET", "maxmemory", 0);
  EXPECT_EQ(sales_.add(), 1);
}

TEST_F(RollingCounterTest, ReplicaRefusesAddsWithReadonlyAndMovesNothing) {
  sales_.add(3);
  redis_.command("REPLICAOF", "127.0.0.1", 1);
  EXPECT_EQ(code_of([&] { sales_.add(); }), "READONLY");
  pass(1h);
  EXPECT_EQ(code_of([&] { sales_.add(); }), "READONLY");
  EXPECT_EQ(sales_.last(), (Period{six, 3}));
  redis_.command("REPLICAOF", "NO", "ONE");
  EXPECT_EQ(keys(), "3, 2026-11-23T06:00:00, (nil), (nil)");
}

TEST_F(RollingCounterTest, ForbiddenCommandIsNopermAndNothingIsMoved) {
  sales_.add(3);
  pass(1h);
  redis_.command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-rename");
  auto options = Options::from_url(server_.url());
  options.user = "app";
  options.password = "pw";
  EXPECT_EQ(code_of([&] { RollingCounter{Client{options}, "web", "sales"}.add(); }), "NOPERM");
  EXPECT_EQ(keys(), "3, 2026-11-23T06:00:00, (nil), (nil)");
}

// ---- What the network does ----

TEST_F(RollingCounterTest, AddWhoseReplyIsLostIsInDoubtAndCountedOnce) {
  FaultProxy proxy{server_};
  Client far{proxy.url()};
  know_all_connections(far);
  RollingCounter sales{far, "web", "sales"};
  sales.add(10);
  proxy.next("INCRBY", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW(sales.add(), InDoubt);
  EXPECT_EQ(sales_.current(), (Period{six, 11}));
  // What follows a fault takes a look first: another server may have another data set.
  EXPECT_EQ(commands_of(redis_, [&] { sales.add(); }), look_and_add);
  pass(1h);
  proxy.next("EXEC", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW(sales.add(5), InDoubt);
  EXPECT_EQ(keys(), "5, 2026-11-23T07:00:00, 12, 2026-11-23T06:00:00");
}

TEST_F(RollingCounterTest, TransactionThatIsSentAndNeverArrivesIsInDoubtAndMovesNothing) {
  FaultProxy proxy{server_};
  RollingCounter sales{Client{proxy.url()}, "web", "sales"};
  sales.add(10);
  pass(1h);
  proxy.next("MULTI", FaultProxy::Fault::cut_before_request);
  EXPECT_THROW(sales.add(5), InDoubt);
  EXPECT_EQ(keys(), "10, 2026-11-23T06:00:00, (nil), (nil)");
}

TEST_F(RollingCounterTest, FaultBeforeTheTransactionIsExecutedIsOvercomeAndCountedOnce) {
  FaultProxy proxy{server_};
  RollingCounter sales{Client{proxy.url()}, "web", "sales"};
  sales.add(10);
  for (auto const* command : {"WATCH", "EVALSHA"}) {
    pass(1h);
    proxy.next(command, FaultProxy::Fault::cut_before_request);
    EXPECT_EQ(sales.add(5), 5) << command;
  }
  pass(1h);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_in_reply);
  EXPECT_EQ(sales.add(7), 7);
  EXPECT_EQ(keys(), "7, 2026-11-23T09:00:00, 5, 2026-11-23T08:00:00");
}

TEST_F(RollingCounterTest, ReadWhoseReplyIsLostIsAskedAgain) {
  FaultProxy proxy{server_};
  RollingCounter sales{Client{proxy.url()}, "web", "sales"};
  sales.add(3);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_EQ(sales.current(), (Period{six, 3}));
  proxy.next("EVALSHA", FaultProxy::Fault::cut_in_reply);
  EXPECT_EQ(sales.last(), std::nullopt);
}

TEST_F(RollingCounterTest, SilentServerEndsACallAtItsDeadline) {
  Client impatient{with_timeout(server_.url(), 300ms)};
  RollingCounter known{impatient, "web", "sales"};
  RollingCounter unknown{impatient, "web", "sales"};
  ASSERT_TRUE(support::eventually(
      [&] { return code_of([&] { known.add(), known.add(); }) == "none"; }));  // or it stalls
  auto const before = sales_.current().count;
  server_.pause();
  EXPECT_LT(support::time_of([&] { EXPECT_THROW(known.add(), InDoubt); }), 300ms + support::stall);
  EXPECT_LT(support::time_of([&] { EXPECT_THROW(unknown.add(), Unreachable); }),
            300ms + support::stall);
  EXPECT_LT(support::time_of([&] { EXPECT_THROW((void)known.current(), Error); }),
            300ms + support::stall);
  server_.resume();
  EXPECT_TRUE(support::eventually(
      [&] { return sales_.current().count == before + 1; }));  // executed late, and once
}

TEST_F(RollingCounterTest, CounterWorksAgainWhenTheServerDoes) {
  auto options = Options::from_url(server_.url());
  options.connect_timeout = 50ms;
  RollingCounter sales{Client{options}, "web", "sales"};
  ASSERT_TRUE(support::eventually(
      [&] { return code_of([&] { sales.add(5); }) == "none"; }));  // in those 50 ms
  server_.kill();
  EXPECT_THROW(sales.add(), Unreachable);
  EXPECT_THROW((void)sales.current(), Unreachable);
  server_.restart();
  EXPECT_TRUE(
      support::eventually([&] { return code_of([&] { EXPECT_EQ(sales.add(), 1); }) == "none"; }));
  EXPECT_EQ(keys(), "1, 2026-11-23T06:00:00, (nil), (nil)");
}

TEST_F(RollingCounterTest, RestartThatNobodyNoticedLeavesNoCountWithoutAStart) {
  sales_.add(5);
  server_.restart();  // with nothing in it
  EXPECT_EQ(sales_.add(), 1);
  EXPECT_EQ(keys(), "1, 2026-11-23T06:00:00, (nil), (nil)");
}

TEST_F(RollingCounterTest,
       AcknowledgedAddsAreCountedOnceWhileConnectionsAreKilledAndTheHourChanges) {
  std::atomic<std::int64_t> acknowledged = 0;
  std::atomic<std::int64_t> in_doubt = 0;
  std::atomic<bool> done = false;
  std::array<std::thread, 4> threads;
  for (auto& thread : threads) {
    thread = std::thread{[&] {
      for (int n = 0; !done; ++n) {
        RollingCounter fresh{redis_, "web", "sales"};
        try {
          (n % 2 == 0 ? sales_ : fresh).add();
          ++acknowledged;
        } catch (Unreachable const&) {
          // not applied
        } catch (InDoubt const&) {
          ++in_doubt;
        }
      }
    }};
  }
  Client killer{server_.url()};
  for (int round = 0; round < 100 || (in_doubt == 0 && round < 2000); ++round) {
    killer.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    std::this_thread::sleep_for(1ms);  // so that some adds get through
    if (round == 50) pass(1h);
  }
  done = true;
  for (auto& thread : threads) thread.join();
  auto const counted = sales_.last().value().count + sales_.current().count;
  EXPECT_EQ(sales_.last().value().start, six);
  EXPECT_GE(counted, acknowledged.load());
  EXPECT_LE(counted, acknowledged + in_doubt);
}

TEST_F(RollingCounterTest, OneObjectServesManyThreadsOverAChangeOfPeriod) {
  std::array<std::thread, 8> threads;
  std::atomic<int> halfway = 0;
  for (auto& thread : threads) {
    thread = std::thread{[&] {
      for (int n = 0; n < 200; ++n) {
        sales_.add();
        if (n == 100) ++halfway;
      }
    }};
  }
  while (halfway < 4) std::this_thread::yield();
  pass(1h);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(sales_.last().value().count + sales_.current().count, 1600);
  EXPECT_EQ(sales_.last().value().start, six);
}

}  // namespace
}  // namespace tandem
