#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using support::code_of;
using support::commands_of;
using support::FaultProxy;
using support::text_of;
using ::testing::HasSubstr;

constexpr auto highest = std::numeric_limits<std::int64_t>::max();
constexpr auto lowest = std::numeric_limits<std::int64_t>::min();

static_assert(std::is_copy_constructible_v<Counter> &&
              std::is_nothrow_move_constructible_v<Counter>);
static_assert(!std::is_constructible_v<Counter, std::string, Client>, "a name is not a client");

class CounterTest : public ::testing::Test {
 protected:
  static Options with_timeout(std::string const& url, std::chrono::milliseconds timeout) {
    auto options = Options::from_url(url);
    options.command_timeout = timeout;
    return options;
  }

  std::string get(std::string const& key) {
    return redis_.command("GET", key).as<std::optional<std::string>>().value_or("(nil)");
  }

  testing::RedisServer server_{};
  Client redis_{server_.url()};
  Counter hits_{redis_, "hits"};
};

// ---- The number ----

TEST_F(CounterTest, BeginsAtZeroWithoutAKey) {
  EXPECT_EQ(hits_.value(), 0);
  EXPECT_EQ(get("hits"), "(nil)");
}

TEST_F(CounterTest, AddReturnsTheNewValue) {
  EXPECT_EQ(hits_.add(), 1);
  EXPECT_EQ(hits_.add(41), 42);
  EXPECT_EQ(hits_.add(-50), -8);
  EXPECT_EQ(hits_.value(), -8);
}

TEST_F(CounterTest, OperatorsReturnTheNewValue) {
  EXPECT_EQ(++hits_, 1);
  EXPECT_EQ(hits_ += 5, 6);
  EXPECT_EQ(--hits_, 5);
  EXPECT_EQ(hits_ -= 7, -2);
}

TEST_F(CounterTest, IsReadAndChangedByAnyClientAsDecimalText) {
  hits_ += 12;
  EXPECT_EQ(get("hits"), "12");
  redis_.command("INCR", "hits");
  EXPECT_EQ(hits_.value(), 13);
  EXPECT_EQ((Counter{Client{server_.url()}, "hits"}.add()), 14);
}

TEST_F(CounterTest, ExchangeReturnsTheOldValue) {
  EXPECT_EQ(hits_.exchange(7), 0);
  EXPECT_EQ(hits_.exchange(-1), 7);
  EXPECT_EQ(hits_.value(), -1);
}

TEST_F(CounterTest, CompareExchangeSetsOnlyInPlaceOfTheExpectedValue) {
  hits_.exchange(7);
  EXPECT_FALSE(hits_.compare_exchange(6, 8));
  EXPECT_EQ(hits_.value(), 7);
  EXPECT_TRUE(hits_.compare_exchange(7, 8));
  EXPECT_EQ(hits_.value(), 8);
}

TEST_F(CounterTest, AbsentKeyIsZeroForCompareExchange) {
  EXPECT_FALSE(hits_.compare_exchange(1, 2));
  EXPECT_EQ(get("hits"), "(nil)");
  EXPECT_TRUE(hits_.compare_exchange(0, 2));
  EXPECT_EQ(hits_.value(), 2);
}

TEST_F(CounterTest, AllSixtyFourBitsAreExact) {
  for (auto const number :
       {highest, highest - 1, lowest, lowest + 1, (std::int64_t{1} << 53) + 1}) {
    hits_.exchange(number);
    EXPECT_EQ(hits_.value(), number);
    EXPECT_EQ(hits_.exchange(0), number);
    EXPECT_EQ(hits_.add(number), number);
    EXPECT_TRUE(hits_.compare_exchange(number, 0));
  }
}

TEST_F(CounterTest, NameIsBytes) {
  Counter strange{redis_, "a\0\r\n\xff {b}"s};
  EXPECT_EQ(++strange, 1);
  EXPECT_EQ(strange.exchange(3), 1);
  EXPECT_EQ(get("a\0\r\n\xff {b}"s), "3");
}

TEST_F(CounterTest, ExpirySetByOthersStaysThroughAddAndEndsWithExchange) {
  hits_.add();
  redis_.command("EXPIRE", "hits", 1000);
  hits_.add();
  EXPECT_GT(redis_.command("TTL", "hits").as<int>(), 0);
  hits_.exchange(0);
  EXPECT_EQ(redis_.command("TTL", "hits").as<int>(), -1);
}

TEST_F(CounterTest, CopiesAreTheSameCounter) {
  auto copy = hits_;
  ++copy;
  EXPECT_EQ(hits_.value(), 1);
}

TEST_F(CounterTest, EmptyNameIsRefusedBeforeAnyConversation) {
  Client nowhere{"unix:///nowhere.sock"};
  auto const make = [&] { Counter const counter{nowhere, ""}; };
  EXPECT_THAT(text_of<std::invalid_argument>(make),
              HasSubstr("a counter's name is empty; it is a key of 1 byte or more"));
}

// ---- What it costs ----

TEST_F(CounterTest, AddIsOneIncrby) {
  EXPECT_EQ(commands_of(redis_, [&] { hits_.add(3); }), "incrby 1");
  EXPECT_EQ(commands_of(redis_, [&] { ++hits_, --hits_, hits_ += 2; }), "incrby 3");
  EXPECT_EQ(commands_of(redis_, [&] { hits_ -= 2; }), "decrby 1");
}

TEST_F(CounterTest, OtherMembersAreOneCommandEach) {
  hits_.exchange(1);
  (void)hits_.compare_exchange(1, 2);
  EXPECT_EQ(commands_of(redis_, [&] { (void)hits_.value(); }), "get 1");
  // Inside the one script: its check, what it was, what it is.
  EXPECT_EQ(commands_of(redis_, [&] { hits_.exchange(3); }), "evalsha 1, get 1, incrby 1, set 1");
  EXPECT_EQ(commands_of(redis_, [&] { (void)hits_.compare_exchange(3, 4); }),
            "evalsha 1, get 1, set 1");
}

TEST_F(CounterTest, EachCallIsOneRoundTrip) {
  FaultProxy proxy{server_};
  Client far{proxy.url()};
  Counter hits{far, "hits"};
  hits.exchange(0);
  (void)hits.compare_exchange(0, 1);
  auto const round_trips_of = [&](std::function<void()> const& act) {
    auto const before = proxy.round_trips();
    act();
    return proxy.round_trips() - before;
  };
  EXPECT_EQ(round_trips_of([&] { hits.add(); }), 1);
  EXPECT_EQ(round_trips_of([&] { hits -= 1; }), 1);
  EXPECT_EQ(round_trips_of([&] { (void)hits.value(); }), 1);
  EXPECT_EQ(round_trips_of([&] { hits.exchange(5); }), 1);
  EXPECT_EQ(round_trips_of([&] { (void)hits.compare_exchange(5, 6); }), 1);
}

// ---- What the server refuses ----

TEST_F(CounterTest, OverflowIsTheServersErrorAndChangesNothing) {
  hits_.exchange(highest - 1);
  EXPECT_THAT(text_of<ServerError>([&] { hits_.add(2); }), HasSubstr("overflow"));
  EXPECT_EQ(hits_.value(), highest - 1);
  hits_.exchange(lowest + 1);
  EXPECT_THAT(text_of<ServerError>([&] { hits_ -= 2; }), HasSubstr("overflow"));
  EXPECT_THAT(text_of<ServerError>([&] { hits_ -= lowest; }), HasSubstr("overflow"));
  EXPECT_EQ(hits_.value(), lowest + 1);
}

TEST_F(CounterTest, KeyOfAnotherTypeIsWrongtypeForEveryMemberAndIsLeftAlone) {
  redis_.command("RPUSH", "hits", "a");
  for (auto const& act : std::vector<std::function<void()>>{
           [&] { hits_.add(); }, [&] { hits_ -= 1; }, [&] { (void)hits_.value(); },
           [&] { hits_.exchange(1); }, [&] { (void)hits_.compare_exchange(0, 1); }}) {
    EXPECT_EQ(code_of(act), "WRONGTYPE");
    EXPECT_THAT(text_of<ServerError>(act), HasSubstr("hits"));
  }
  EXPECT_EQ(redis_.command("LLEN", "hits").as<int>(), 1);
}

TEST_F(CounterTest, TextThatIsNoNumberIsRefusedAndIsLeftAlone) {
  for (auto const* text : {"seven", "07", "1.5", "", "9223372036854775808"}) {
    redis_.command("SET", "hits", text);
    EXPECT_EQ(code_of([&] { hits_.add(); }), "ERR");
    EXPECT_EQ(code_of([&] { hits_.exchange(1); }), "ERR");
    EXPECT_FALSE(hits_.compare_exchange(0, 1));
    EXPECT_EQ(get("hits"), text);
  }
  EXPECT_THAT(text_of<ShapeError>([&] { (void)hits_.value(); }), HasSubstr("hits"));
}

TEST_F(CounterTest, FullServerRefusesChangesAndStillAnswersReads) {
  hits_.exchange(5);
  redis_.command("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(code_of([&] { hits_.add(); }), "OOM");
  EXPECT_EQ(code_of([&] { hits_.exchange(1); }), "OOM");
  EXPECT_EQ(code_of([&] { (void)hits_.compare_exchange(5, 1); }), "OOM");
  EXPECT_EQ(hits_.value(), 5);
}

TEST_F(CounterTest, ReplicaRefusesChangesWithReadonly) {
  hits_.exchange(5);
  redis_.command("REPLICAOF", "127.0.0.1", 1);
  EXPECT_EQ(code_of([&] { hits_.add(); }), "READONLY");
  EXPECT_EQ(code_of([&] { hits_.exchange(1); }), "READONLY");
  EXPECT_EQ(hits_.value(), 5);
  redis_.command("REPLICAOF", "NO", "ONE");
  EXPECT_EQ(hits_.add(), 6);
}

TEST_F(CounterTest, ForbiddenCommandIsNoperm) {
  redis_.command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+get", "+hello");
  auto options = Options::from_url(server_.url());
  options.user = "reader";
  options.password = "pw";
  Counter hits{Client{options}, "hits"};
  EXPECT_EQ(hits.value(), 0);
  EXPECT_EQ(code_of([&] { hits.add(); }), "NOPERM");
  EXPECT_EQ(code_of([&] { hits.exchange(1); }), "NOPERM");
}

TEST_F(CounterTest, ForgottenScriptsAreNoFault) {
  hits_.exchange(3);
  redis_.command("SCRIPT", "FLUSH");
  EXPECT_EQ(hits_.exchange(4), 3);
  redis_.command("SCRIPT", "FLUSH");
  EXPECT_TRUE(hits_.compare_exchange(4, 5));
}

// ---- What the network does ----

TEST_F(CounterTest, ChangeWhoseReplyIsLostIsInDoubtAndIsNotSentAgain) {
  FaultProxy proxy{server_};
  Counter hits{Client{proxy.url()}, "hits"};
  hits.exchange(10);
  (void)hits.compare_exchange(10, 10);
  proxy.next("INCRBY", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW(hits.add(), InDoubt);
  EXPECT_EQ(hits_.value(), 11);
  proxy.next("DECRBY", FaultProxy::Fault::cut_in_reply);
  EXPECT_THROW(hits -= 1, InDoubt);
  EXPECT_EQ(hits_.value(), 10);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW(hits.exchange(20), InDoubt);
  EXPECT_EQ(hits_.value(), 20);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW((void)hits.compare_exchange(20, 30), InDoubt);
  EXPECT_EQ(hits_.value(), 30);
  EXPECT_EQ(hits.add(), 31);
}

TEST_F(CounterTest, ReadWhoseReplyIsLostIsAskedAgain) {
  FaultProxy proxy{server_};
  Counter hits{Client{proxy.url()}, "hits"};
  hits.add(3);
  proxy.next("GET", FaultProxy::Fault::cut_after_request);
  proxy.next("GET", FaultProxy::Fault::cut_in_reply);
  EXPECT_EQ(hits.value(), 3);
}

// docs/counters.md
TEST_F(CounterTest, CountingInATransactionThatWritesAnIdMayBeRepeatedAfterDoubt) {
  FaultProxy proxy{server_};
  Client redis{proxy.url()};
  auto const count_order = [&](std::string const& id) {
    std::string const mark = "counted:" + id;
    return redis.transaction({mark}, [&](Transaction& tx) {
      if (tx.read("EXISTS", mark).as<bool>()) return false;
      tx.queue("SET", mark, 1, "EX", 86'400);
      tx.queue("INCRBY", "orders", 1);
      return true;
    });
  };
  EXPECT_TRUE(count_order("a"));
  proxy.next("EXEC", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW((void)count_order("b"), InDoubt);
  EXPECT_FALSE(count_order("b"));
  EXPECT_EQ((Counter{redis_, "orders"}.value()), 2);
}

TEST_F(CounterTest, SilentServerEndsACallAtItsDeadline) {
  Counter hits{Client{with_timeout(server_.url(), 300ms)}, "hits"};
  ASSERT_TRUE(support::eventually(
      [&] { return code_of([&] { hits.add(); }) == "none"; }));  // the machine may stall
  auto const before = hits_.value();
  server_.pause();
  EXPECT_LT(support::time_of([&] { EXPECT_THROW(hits.add(), InDoubt); }), 300ms + support::stall);
  // A read that found no answer has changed nothing; what is left of it is that the server did not
  // answer.
  EXPECT_LT(support::time_of([&] { EXPECT_THROW((void)hits.value(), Error); }),
            300ms + support::stall);
  server_.resume();
  EXPECT_TRUE(
      support::eventually([&] { return hits_.value() == before + 1; }));  // executed late, and once
}

TEST_F(CounterTest, CounterWorksAgainWhenTheServerDoes) {
  auto options = Options::from_url(server_.url());
  options.connect_timeout = 50ms;
  Counter hits{Client{options}, "hits"};
  ASSERT_TRUE(support::eventually(
      [&] { return code_of([&] { hits.add(5); }) == "none"; }));  // in those 50 ms
  server_.kill();
  EXPECT_THROW(hits.add(), Unreachable);
  EXPECT_THROW((void)hits.value(), Unreachable);
  server_.restart();
  EXPECT_TRUE(support::eventually([&] {
    return code_of([&] { EXPECT_EQ(hits.add(), 1); }) == "none";
  }));  // a server that keeps nothing begins anew
}

TEST_F(CounterTest, AcknowledgedAddsAreCountedOnceWhileConnectionsAreKilled) {
  std::atomic<std::int64_t> acknowledged = 0;
  std::atomic<std::int64_t> in_doubt = 0;
  std::atomic<bool> done = false;
  std::array<std::thread, 4> threads;
  for (auto& thread : threads) {
    thread = std::thread{[&, hits = hits_]() mutable {
      while (!done) {
        try {
          ++hits;
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
    auto const before = acknowledged.load();
    (void)support::eventually([&] { return acknowledged > before; },
                              1s);  // so that some adds get through
  }
  done = true;
  for (auto& thread : threads) thread.join();
  auto const counted = hits_.value();
  EXPECT_GT(acknowledged, 0);
  EXPECT_GE(counted, acknowledged.load());
  EXPECT_LE(counted, acknowledged + in_doubt);
}

TEST_F(CounterTest, OneObjectServesManyThreads) {
  std::array<std::thread, 8> threads;
  for (auto& thread : threads) {
    thread = std::thread{[this] {
      for (int n = 0; n < 200; ++n) ++hits_;
    }};
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(hits_.value(), 1600);
}

}  // namespace
}  // namespace tandem
