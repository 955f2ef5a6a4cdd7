#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::commands_of;
using support::FaultProxy;
using support::text_of;
using ::testing::HasSubstr;

constexpr auto highest = std::numeric_limits<std::int64_t>::max();
constexpr auto lowest = std::numeric_limits<std::int64_t>::min();

/// CounterOptions::exactly_once: `far_` behind a network that fails, `near_` for a look.
class CounterOnceTest : public ::testing::Test {
 protected:
  std::vector<std::string> records() {
    return redis_.command("KEYS", "{hits}:once:*").as<std::vector<std::string>>();
  }

  /// The one that was delayed; returns when the server has executed it.
  void deliver_delayed() {
    redis_.command("CONFIG", "RESETSTAT");
    proxy_.deliver_delayed();
    EXPECT_TRUE(support::eventually([&] {
      return redis_.command("INFO", "commandstats").as<std::string>().find("cmdstat_evalsha:") !=
             std::string::npos;
    }));
  }

  testing::RedisServer server_{{.persistent = true}};
  Client redis_{server_.url()};
  FaultProxy proxy_{server_};
  Counter far_{Client{proxy_.url() + "?command_timeout=20s&connect_timeout=20s"},
               "hits",
               {.exactly_once = true}};
  Counter near_{redis_, "hits"};
};

/// Every change, with the number that it makes of 10 and what it answers.
struct Change {
  std::function<std::int64_t(Counter&)> make;
  std::int64_t answer, result;
};
std::vector<Change> const changes{
    {[](Counter& hits) { return hits.add(5); }, 15, 15},
    {[](Counter& hits) { return ++hits; }, 11, 11},
    {[](Counter& hits) { return --hits; }, 9, 9},
    {[](Counter& hits) { return hits += 7; }, 17, 17},
    {[](Counter& hits) { return hits -= 7; }, 3, 3},
    {[](Counter& hits) { return hits.add_within(2, 0, 12).value_or(-1); }, 12, 12},
    {[](Counter& hits) { return hits.add_within(3, 0, 12).value_or(-1); }, -1, 10},
    {[](Counter& hits) { return hits.exchange(4); }, 10, 4},
    {[](Counter& hits) { return std::int64_t{hits.compare_exchange(10, 4)}; }, 1, 4},
    {[](Counter& hits) { return std::int64_t{hits.compare_exchange(11, 4)}; }, 0, 10}};

// ---- The number ----

TEST_F(CounterOnceTest, DoesWhatThePlainOneDoes) {
  for (auto const& change : changes) {
    near_.exchange(10);
    EXPECT_EQ(change.make(far_), change.answer);
    EXPECT_EQ(near_.value(), change.result);
  }
}

TEST_F(CounterOnceTest, AllSixtyFourBitsAreExact) {
  for (auto const number :
       {highest, highest - 1, lowest, lowest + 1, (std::int64_t{1} << 53) + 1}) {
    far_.exchange(number);
    EXPECT_EQ(far_.value(), number);
    EXPECT_EQ(far_.exchange(0), number);
    EXPECT_EQ(far_.add(number), number);
    EXPECT_EQ(far_.add(number < 0 ? 1 : -1), number + (number < 0 ? 1 : -1));
    EXPECT_EQ(far_ -= (number < 0 ? 1 : -1), number);
    EXPECT_TRUE(far_.compare_exchange(number, 0));
  }
}

TEST_F(CounterOnceTest, NumberIsEverybodysAsBefore) {
  redis_.command("INCRBY", "hits", 5);
  EXPECT_EQ(++far_, 6);
  redis_.command("INCR", "hits");
  EXPECT_EQ(++near_, 8);
  redis_.command("EXPIRE", "hits", 1000);
  EXPECT_EQ(far_.add(2), 10);
  EXPECT_GT(redis_.command("TTL", "hits").as<int>(), 0);
  EXPECT_EQ(redis_.command("GET", "hits").as<std::string>(), "10");
}

// ---- What the network does ----

TEST_F(CounterOnceTest, EveryChangeIsAppliedOnceWhereverTheConnectionBreaks) {
  using Fault = FaultProxy::Fault;
  for (auto const fault : {Fault::cut_before_request, Fault::cut_in_request,
                           Fault::cut_after_request, Fault::cut_in_reply}) {
    for (auto const& change : changes) {
      near_.exchange(10);
      proxy_.next("EVALSHA", fault);
      proxy_.next("EVALSHA", Fault::cut_after_request);
      EXPECT_EQ(change.make(far_), change.answer) << static_cast<int>(fault);
      EXPECT_EQ(near_.value(), change.result) << static_cast<int>(fault);
    }
  }
}

TEST_F(CounterOnceTest, ChangeThatComesLateIsNotAppliedAgain) {
  for (auto const& change : changes) {
    near_.exchange(10);
    (void)change.make(far_);  // the script is known, and the asker has a record
    near_.exchange(10);
    proxy_.next("EVALSHA", FaultProxy::Fault::cut_and_delay);
    EXPECT_EQ(change.make(far_), change.answer);
    near_.exchange(10);
    deliver_delayed();  // its asker has not gone on
    EXPECT_EQ(near_.value(), 10);
    proxy_.next("EVALSHA", FaultProxy::Fault::cut_and_delay);
    EXPECT_EQ(change.make(far_), change.answer);
    EXPECT_EQ(far_.exchange(10), change.result);
    deliver_delayed();  // it has
    EXPECT_EQ(near_.value(), 10);
  }
}

TEST_F(CounterOnceTest, RefusalAndErrorAreRememberedToo) {
  far_.add(0);  // the script is known
  near_.exchange(highest);
  proxy_.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_THAT(text_of<ServerError>([&] { far_.add(1); }), HasSubstr("overflow"));
  proxy_.next("EVALSHA", FaultProxy::Fault::cut_and_delay);
  EXPECT_THAT(text_of<ServerError>([&] { far_.add(1); }), HasSubstr("overflow"));
  near_.exchange(5);
  deliver_delayed();
  EXPECT_EQ(near_.value(), 5);
  proxy_.next("EVALSHA", FaultProxy::Fault::cut_and_delay);
  EXPECT_FALSE(far_.compare_exchange(6, 100));
  near_.exchange(6);
  deliver_delayed();
  EXPECT_EQ(near_.value(), 6);
}

TEST_F(CounterOnceTest, ForgottenScriptsAreNoFaultInDoubtEither) {
  EXPECT_EQ(++far_, 1);
  redis_.command("SCRIPT", "FLUSH");
  proxy_.next("EVAL", FaultProxy::Fault::cut_after_request);
  EXPECT_EQ(++far_, 2);
  redis_.command("SCRIPT", "FLUSH");
  proxy_.next("EVAL", FaultProxy::Fault::cut_in_reply);
  proxy_.next("EVALSHA", FaultProxy::Fault::cut_in_reply);
  EXPECT_EQ(++far_, 3);
  EXPECT_EQ(near_.value(), 3);
}

TEST_F(CounterOnceTest, ServerThatIsRestartedWithItsDataHasForgottenNothing) {
  EXPECT_EQ(++far_, 1);
  for (int round = 0; round < 3; ++round) {
    proxy_.next("EVALSHA", FaultProxy::Fault::swallow_reply);
    std::atomic<std::int64_t> answer = 0;
    std::thread adder{[&] { answer = ++far_; }};
    EXPECT_TRUE(support::eventually([&] { return near_.value() == round + 2; }));  // applied
    server_.restart();
    adder.join();
    EXPECT_EQ(answer, round + 2);
    EXPECT_EQ(near_.value(), round + 2);
  }
}

TEST_F(CounterOnceTest, SilentServerIsInDoubtAtTheDeadlineAndTheChangeIsAppliedAtMostOnce) {
  Counter hits{Client{server_.url() + "?command_timeout=300ms"}, "hits", {.exactly_once = true}};
  ASSERT_TRUE(support::eventually([&] { return code_of([&] { ++hits; }) == "none"; }));
  auto const before = near_.value();
  server_.pause();
  EXPECT_LT(support::time_of([&] { EXPECT_THROW(++hits, InDoubt); }), 300ms + support::stall);
  server_.resume();
  EXPECT_TRUE(support::eventually([&] { return code_of([&] { hits.add(0); }) == "none"; }));
  EXPECT_THAT(near_.value() - before, ::testing::AnyOf(0, 1));
  auto const settled = near_.value();
  EXPECT_EQ(hits.add(1), settled + 1);
}

TEST_F(CounterOnceTest, AddsOfManyThreadsAreCountedOnceWhileConnectionsAreKilled) {
  Counter hits{Client{server_.url() + "?command_timeout=20s&connect_timeout=20s"},
               "hits",
               {.exactly_once = true}};
  std::atomic<bool> done = false;
  std::thread killer{[&] {
    while (!done) {
      redis_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      std::this_thread::sleep_for(1ms);  // so that some adds get through
    }
  }};
  support::on_threads(6, [&](int) {
    for (int n = 0; n < 150; ++n) ++hits;
  });
  done = true;
  killer.join();
  EXPECT_EQ(near_.value(), 900);
  EXPECT_LE(records().size(), 6U);
}

// ---- What it costs ----

TEST_F(CounterOnceTest, ChangeIsOneCommandAndOneRoundTrip) {
  ++far_;
  auto const before = proxy_.round_trips();
  EXPECT_EQ(commands_of(redis_, [&] { ++far_; }), "evalsha 1, get 2, incrby 1, set 1");
  EXPECT_EQ(proxy_.round_trips() - before, 1);
  EXPECT_EQ(commands_of(redis_, [&] { (void)far_.add_within(9, 0, 5); }),
            "evalsha 1, get 2, set 1");
  EXPECT_EQ(commands_of(redis_, [&] { (void)far_.value(); }), "get 1");
}

TEST_F(CounterOnceTest, RecordIsOneForEachThreadAtOnceAndExpires) {
  for (int i = 0; i < 100; ++i) ++far_;
  auto copy = far_;
  ++copy;
  auto const keys = records();
  ASSERT_EQ(keys.size(), 1U);
  EXPECT_EQ(redis_.command("GET", keys[0]).as<std::string>(), "101 1 100");
  auto const left = std::chrono::milliseconds{redis_.command("PTTL", keys[0]).as<std::int64_t>()};
  EXPECT_GT(left, 59min);
  EXPECT_LE(left, 1h + 20s);
  support::on_threads(4, [&](int) {
    for (int i = 0; i < 50; ++i) ++far_;
  });
  EXPECT_LE(records().size(), 4U);
}

TEST_F(CounterOnceTest, RecordIsInTheNumbersSlot) {
  ++far_;
  EXPECT_TRUE(records().at(0).starts_with("{hits}:once:"));
  Counter tagged{redis_, "{web}:hits", {.exactly_once = true}};
  ++tagged;
  EXPECT_EQ(redis_.command("KEYS", "{web}:hits:once:*").as<std::vector<std::string>>().size(), 1U);
}

// ---- What the server refuses ----

TEST_F(CounterOnceTest, RefusalIsTheServersErrorAndChangesNothing) {
  near_.exchange(highest);
  EXPECT_THAT(text_of<ServerError>([&] { far_.add(1); }), HasSubstr("hits: ERR"));
  EXPECT_THAT(text_of<ServerError>([&] { far_ -= lowest; }), HasSubstr("overflow"));
  EXPECT_EQ(near_.value(), highest);
  redis_.command("SET", "hits", "seven");
  EXPECT_EQ(code_of([&] { ++far_; }), "ERR");
  EXPECT_EQ(code_of([&] { far_.exchange(1); }), "ERR");
  EXPECT_FALSE(far_.compare_exchange(0, 1));
  EXPECT_EQ(redis_.command("GET", "hits").as<std::string>(), "seven");
  redis_.command("DEL", "hits");
  redis_.command("RPUSH", "hits", "a");
  EXPECT_EQ(code_of([&] { ++far_; }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { far_.exchange(1); }), "WRONGTYPE");
  EXPECT_EQ(redis_.command("LLEN", "hits").as<int>(), 1);
}

TEST_F(CounterOnceTest, ServerThatTakesNoWritesChangesNothing) {
  EXPECT_EQ(++far_, 1);
  redis_.command("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(code_of([&] { ++far_; }), "OOM");
  redis_.command("CONFIG", "SET", "maxmemory", 0);
  redis_.command("REPLICAOF", "127.0.0.1", 1);
  EXPECT_EQ(code_of([&] { ++far_; }), "READONLY");
  redis_.command("REPLICAOF", "NO", "ONE");
  EXPECT_EQ(near_.value(), 1);
  EXPECT_EQ(++far_, 2);
}

TEST_F(CounterOnceTest, WhereTheRecordIsForbiddenNothingIsChanged) {
  redis_.command("ACL", "SETUSER", "app", "on", ">pw", "~hits", "~{hits}:*", "+@all", "-set");
  auto options = Options::from_url(server_.url());
  options.user = "app";
  options.password = "pw";
  Counter hits{Client{options}, "hits", {.exactly_once = true}};
  EXPECT_NE(code_of([&] { ++hits; }), "none");
  redis_.command("ACL", "SETUSER", "app", "+set", "-incrby");
  EXPECT_NE(code_of([&] { ++hits; }), "none");
  EXPECT_EQ(near_.value(), 0);
}

}  // namespace
}  // namespace tandem
