#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
using support::code_of;
using support::commands_of;
using support::FaultProxy;
using support::text_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Period = RollingCounter::Period;

/// RollingCounter::history. Time stands still and passes when a test says so; it begins at half
/// past six.
class RollingCounterHistoryTest : public ::testing::Test {
 protected:
  RollingCounterHistoryTest() {
    support::stands_still = true;
    clock_.stand_still_at(now_);
  }
  ~RollingCounterHistoryTest() override { support::stands_still = false; }

  void pass(std::chrono::nanoseconds time) {
    support::extra_nanoseconds += time.count();
    clock_.stand_still_at(now_ += time);
  }
  std::string get(std::string const& part) {
    return redis_.command("GET", "stats:web:sales" + part)
        .as<std::optional<std::string>>()
        .value_or("(nil)");
  }
  std::vector<std::string> kept() {
    return redis_.command("ZRANGE", "stats:web:sales:history", 0, -1)
        .as<std::vector<std::string>>();
  }
  /// What the classic Python function does at the change of the hour.
  void move_as_python(std::string const& start, int count) {
    redis_.command("RENAME", "stats:web:sales", "stats:web:sales:last");
    redis_.command("RENAME", "stats:web:sales:start", "stats:web:sales:pstart");
    redis_.command("MSET", "stats:web:sales:start", start, "stats:web:sales", count);
  }

  static constexpr std::chrono::sys_seconds six =
      std::chrono::sys_days{std::chrono::year{2026} / 11 / 23} + 6h;
  std::chrono::sys_time<std::chrono::nanoseconds> now_ = six + 30min;
  support::ShiftedClock clock_{};
  testing::RedisServer server_{{.persistent = true}};
  Client redis_{server_.url()};
  RollingCounter sales_{redis_, "web", "sales", {.keep = 3}};
};

// ---- What is kept ----

TEST_F(RollingCounterHistoryTest, IsEmptyBeforeAPeriodHasEnded) {
  EXPECT_THAT(sales_.history(10), IsEmpty());
  sales_.add(3);
  EXPECT_THAT(sales_.history(10), IsEmpty());
  EXPECT_THAT(kept(), IsEmpty());
}

TEST_F(RollingCounterHistoryTest, IsNewestFirstAndBounded) {
  for (int hour = 0; hour < 6; ++hour) {
    sales_.add(10 + hour);
    pass(1h);
  }
  sales_.add(99);
  EXPECT_THAT(sales_.history(10),
              ElementsAre(Period{six + 5h, 15}, Period{six + 4h, 14}, Period{six + 3h, 13}));
  EXPECT_THAT(sales_.history(2), ElementsAre(Period{six + 5h, 15}, Period{six + 4h, 14}));
  EXPECT_THAT(sales_.history(0), IsEmpty());
  EXPECT_THAT(kept(), ElementsAre("2026-11-23T09:00:00 13", "2026-11-23T10:00:00 14",
                                  "2026-11-23T11:00:00 15"));
  EXPECT_EQ(sales_.history(1)[0], sales_.last());
}

TEST_F(RollingCounterHistoryTest, ClassicKeysAreWhatTheyAreWithoutIt) {
  RollingCounter plain{redis_, "web", "plain"};
  for (int hour = 0; hour < 3; ++hour) {
    sales_.add(hour), plain.add(hour);
    pass(1h);
  }
  sales_.add(7), plain.add(7);
  for (auto const* part : {"", ":start", ":last", ":pstart"}) {
    auto const of_plain = redis_.command("GET", std::string{"stats:web:plain"} + part);
    EXPECT_EQ(get(part), of_plain.as<std::string>()) << part;
  }
  EXPECT_EQ(redis_.command("EXISTS", "stats:web:plain:history").as<int>(), 0);
  EXPECT_EQ(redis_.command("DBSIZE").as<int>(), 9);
  EXPECT_THAT(plain.history(10), ElementsAre(Period{six + 2h, 2}));  // :last is always there
}

TEST_F(RollingCounterHistoryTest, PeriodThatHasEndedIsTheFirstBeforeAnybodyMovesIt) {
  sales_.add(3);
  pass(1h);
  sales_.add(4);
  pass(1h);
  EXPECT_THAT(sales_.history(10), ElementsAre(Period{six + 1h, 4}, Period{six, 3}));
  EXPECT_EQ(sales_.history(1)[0], sales_.last());
}

TEST_F(RollingCounterHistoryTest, PeriodsWithoutTrafficLeaveNoTrace) {
  sales_.add(3);
  pass(400 * 24h);
  sales_.add(4);
  pass(5h);
  EXPECT_THAT(sales_.history(10), ElementsAre(Period{six + 400 * 24h, 4}, Period{six, 3}));
}

TEST_F(RollingCounterHistoryTest, AllSixtyFourBitsAreExact) {
  constexpr auto highest = std::numeric_limits<std::int64_t>::max();
  constexpr auto lowest = std::numeric_limits<std::int64_t>::min();
  for (auto const count : {highest, lowest, (std::int64_t{1} << 53) + 1}) {
    sales_.add(count);
    pass(1h);
  }
  sales_.add(0);
  EXPECT_THAT(sales_.history(10), ElementsAre(Period{six + 2h, (std::int64_t{1} << 53) + 1},
                                              Period{six + 1h, lowest}, Period{six, highest}));
}

TEST_F(RollingCounterHistoryTest, SmallerKeepForgetsAtTheNextLook) {
  for (int hour = 0; hour < 5; ++hour) {
    sales_.add(hour);
    pass(1h);
  }
  RollingCounter{redis_, "web", "sales", {.keep = 1}}.add(9);
  EXPECT_THAT(kept(), ElementsAre("2026-11-23T10:00:00 4"));
}

// ---- Beside the classic Python function, and those who keep nothing ----

TEST_F(RollingCounterHistoryTest, WhatOthersMovedIsKeptAtTheNextLook) {
  sales_.add(3);
  pass(1h);
  move_as_python("2026-11-23T07:00:00", 10);
  EXPECT_THAT(sales_.history(10), ElementsAre(Period{six, 3}));
  EXPECT_EQ(sales_.add(), 11);
  EXPECT_THAT(kept(), ElementsAre("2026-11-23T06:00:00 3"));
  pass(1h);
  move_as_python("2026-11-23T08:00:00", 20);
  EXPECT_THAT(sales_.history(10), ElementsAre(Period{six + 1h, 11}, Period{six, 3}));
}

TEST_F(RollingCounterHistoryTest, WhatOthersMovedIsKeptBeforeItIsOverwritten) {
  sales_.add(3);
  pass(1h);
  RollingCounter{redis_, "web", "sales"}.add(10);  // keeps none
  pass(1h);
  EXPECT_EQ(sales_.add(5), 5);
  EXPECT_THAT(kept(), ElementsAre("2026-11-23T06:00:00 3", "2026-11-23T07:00:00 10"));
  EXPECT_EQ(get(":last"), "10");
}

TEST_F(RollingCounterHistoryTest, PeriodBegunByAClockThatLeadsByADayIsToldWhenItHasEnded) {
  sales_.add(3);
  move_as_python("2026-11-24T06:00:00", 10);
  pass(1min);
  EXPECT_EQ(sales_.add(), 11);
  EXPECT_THAT(sales_.history(10), ElementsAre(Period{six, 3}));
  pass(25h);
  EXPECT_EQ(sales_.add(), 1);
  EXPECT_THAT(sales_.history(10), ElementsAre(Period{six + 24h, 11}, Period{six, 3}));
}

TEST_F(RollingCounterHistoryTest, ForeignTextsInTheClassicKeysAreNotKept) {
  redis_.command("MSET", "stats:web:sales:last", "many", "stats:web:sales:pstart",
                 "2026-11-23T04:00:00");
  sales_.add(3);
  redis_.command("MSET", "stats:web:sales:last", 5, "stats:web:sales:pstart", "yesterday");
  pass(1h);
  sales_.add(4);
  EXPECT_THAT(kept(), ElementsAre("2026-11-23T06:00:00 3"));
}

// ---- What it costs ----

TEST_F(RollingCounterHistoryTest, WithinAPeriodAnAddIsOneCommandAndElseTheRoundTripsStayTwo) {
  FaultProxy proxy{server_};
  Client far{proxy.url()};
  far.command("PING");
  RollingCounter{far, "any", "other"}.add();
  RollingCounter sales{far, "web", "sales", {.keep = 3}};
  sales.add();
  auto round_trips = [&, before = proxy.round_trips()]() mutable {
    return proxy.round_trips() - std::exchange(before, proxy.round_trips());
  };
  (void)round_trips();
  EXPECT_EQ(commands_of(redis_, [&] { sales.add(), sales.add(); }), "incrby 2");
  EXPECT_EQ(round_trips(), 2);
  pass(1h);
  EXPECT_EQ(
      commands_of(redis_, [&] { sales.add(); }),
      "eval 1, evalsha 1, exec 1, get 6, incrby 1, multi 1, rename 2, set 2, time 1, watch 1, "
      "zadd 1, zcard 1, zrangebyscore 1");
  EXPECT_EQ(round_trips(), 2);
  (void)sales.history(10);
  (void)round_trips();
  EXPECT_EQ(commands_of(redis_, [&] { (void)sales.history(10); }),
            "evalsha 1, get 4, time 1, zrange 1");
  EXPECT_EQ(round_trips(), 1);
}

// ---- Faults ----

TEST_F(RollingCounterHistoryTest, BadKeepIsRefusedBeforeAnyConversation) {
  Client nowhere{"unix:///nowhere.sock"};
  for (int const keep : {-1, 100'001}) {
    auto const make = [&] { RollingCounter const counter{nowhere, "a", "b", {.keep = keep}}; };
    EXPECT_THAT(text_of<std::invalid_argument>(make),
                HasSubstr("told to keep " + std::to_string(keep) + " periods; accepted is 0 to"));
  }
}

TEST_F(RollingCounterHistoryTest, HistoryThatCannotBeWrittenIsReportedAndTheAddIsCounted) {
  std::vector<std::string> reported;
  auto options = Options::from_url(server_.url());
  options.on_error = [&](Error const& fault) { reported.emplace_back(fault.what()); };
  RollingCounter sales{Client{options}, "web", "sales", {.keep = 3}};
  redis_.command("SET", "stats:web:sales:history", "mine");
  sales.add(3);
  pass(1h);
  EXPECT_EQ(sales.add(4), 4);
  EXPECT_EQ(get(":last"), "3");
  EXPECT_EQ(get(":history"), "mine");
  ASSERT_THAT(reported, SizeIs(2));
  EXPECT_THAT(reported[1], HasSubstr("writing the history stats:web:sales:history: WRONGTYPE"));
  EXPECT_EQ(code_of([&] { (void)sales.history(1); }), "WRONGTYPE");
  redis_.command("DEL", "stats:web:sales:history");
  pass(1min);
  sales.add();
  EXPECT_THAT(sales.history(10), ElementsAre(Period{six, 3}));
  EXPECT_THAT(reported, SizeIs(2));
}

TEST_F(RollingCounterHistoryTest, EntryThatIsNoneIsACodecErrorNamingItsKey) {
  for (auto const* entry :
       {"", "2026-11-23T05:00:00", "2026-11-23T05:00:00 ", "x 1", "2026-11-23T05:00:00 1 2"}) {
    redis_.command("ZADD", "stats:web:sales:history", 20261123050000, entry);
    EXPECT_THAT(text_of<CodecError>([&] { (void)sales_.history(1); }),
                HasSubstr("stats:web:sales:history"))
        << entry;
    redis_.command("DEL", "stats:web:sales:history");
  }
}

TEST_F(RollingCounterHistoryTest, RestartInTheMiddleOfAChangeKeepsThePeriodOnce) {
  FaultProxy proxy{server_};
  Client far{proxy.url()};
  RollingCounter sales{far, "web", "sales", {.keep = 3}};
  sales.add(10);
  for (auto const* command : {"MULTI", "EXEC"}) {
    pass(1h);
    auto const fault = std::string{command} == "MULTI" ? FaultProxy::Fault::cut_before_request
                                                       : FaultProxy::Fault::cut_after_request;
    proxy.next(command, fault);
    EXPECT_THROW(sales.add(5), InDoubt);
    if (fault == FaultProxy::Fault::cut_after_request) {  // it is on its way through the server
      EXPECT_TRUE(support::eventually([&] { return sales_.current().count == 5; }));
    }
    server_.restart();
    sales.add(1);
  }
  EXPECT_THAT(sales.history(10), ElementsAre(Period{six + 1h, 1}, Period{six, 10}));
  EXPECT_THAT(kept(), ElementsAre("2026-11-23T06:00:00 10", "2026-11-23T07:00:00 1"));
  EXPECT_EQ(sales.current(), (Period{six + 2h, 6}));
}

TEST_F(RollingCounterHistoryTest, ReadWhoseReplyIsLostIsAskedAgain) {
  FaultProxy proxy{server_};
  RollingCounter sales{Client{proxy.url()}, "web", "sales"};
  sales_.add(3);
  pass(1h);
  EXPECT_THAT(sales.history(1), SizeIs(1));
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_THAT(sales.history(1), SizeIs(1));
}

}  // namespace
}  // namespace tandem
