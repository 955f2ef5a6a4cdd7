// What becomes of values when the server refuses them or the network loses them. What statistics
// have in common with buffered counters is in buffered_counter_faults_test.cpp.
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/statistics.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/reports.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::eventually;
using support::FaultProxy;
using support::text_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Fault = FaultProxy::Fault;

// A period that no test sees the end of.
constexpr StatisticsOptions by_hand{.period = 24h * 366, .flush_interval = 12h, .resend_for = 24h};
constexpr StatisticsOptions often{.period = 24h * 366, .flush_interval = 5ms};

class StatisticsFaultsTest : public ::testing::Test {
 protected:
  [[nodiscard]] Client client(std::string const& url, std::string const& parameters = "") {
    auto options = Options::from_url(url + parameters);
    options.on_error = reports_.hook();
    return Client{options};
  }
  /// Of a user who may do all but this.
  [[nodiscard]] Client client_without(std::string const& command) {
    redis_.command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-" + command);
    auto options = Options::from_url(server_.url() + "?command_timeout=20s");
    options.user = "app";
    options.password = "pw";
    return Client{options};
  }
  void expect(long long count, double sum) {
    auto const now = seen_.current();
    EXPECT_EQ(now.count(), count);
    EXPECT_EQ(now.sum(), sum);
    EXPECT_EQ(now.quantile(0.5), now.quantile(0.5));
  }

  support::Reports reports_{};
  testing::RedisServer server_{{.persistent = true}};
  Client redis_{server_.url() + "?command_timeout=20s"};
  Statistics seen_{redis_, "web", "latency", by_hand};
};

TEST_F(StatisticsFaultsTest, FlushMergesOnceWhateverTheNetworkDoes) {
  FaultProxy proxy{server_};
  Statistics far{client(proxy.url(), "?command_timeout=20s&connect_timeout=20s"), "web", "latency",
                 by_hand};
  int count = 0;
  for (auto const fault : {Fault::cut_before_request, Fault::cut_in_request,
                           Fault::cut_after_request, Fault::cut_in_reply, Fault::cut_and_delay}) {
    for (int i = 0; i < 3; ++i) {
      far.add(2);
      far.add(3);
      count += 2;
      proxy.next("EVALSHA", fault);
      far.flush();
      expect(count, count * 2.5);
    }
  }
  proxy.deliver_delayed();
  far.add(0);
  far.flush();
  expect(count + 1, count * 2.5);
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(StatisticsFaultsTest, BackgroundMergesOnceWhateverTheNetworkDoes) {
  FaultProxy proxy{server_};
  Statistics far{client(proxy.url(), "?command_timeout=300ms"), "web", "latency", often};
  int count = 0;
  for (auto const fault : {Fault::cut_before_request, Fault::cut_after_request, Fault::cut_in_reply,
                           Fault::cut_and_delay, Fault::swallow_reply}) {
    proxy.next(count == 0 ? "EVAL" : "EVALSHA", fault);
    far.add(2);
    ++count;
    ASSERT_TRUE(eventually([&] { return far.pending() == 0; }));
    expect(count, count * 2);
    proxy.forget();
  }
  proxy.deliver_delayed();
  expect(count, count * 2);
}

TEST_F(StatisticsFaultsTest, WhatIsRefusedIsKeptUntilTheReasonIsGone) {
  redis_.command("SET", "statistics:web:latency", "mine");
  Statistics own{client(server_.url()), "web", "latency", by_hand};
  for (auto const value : {1.0, 2.0, 2.01}) {
    own.add(value);
    EXPECT_EQ(code_of([&] { own.flush(); }), "WRONGTYPE");
  }
  EXPECT_EQ(code_of([&] { (void)seen_.current(); }), "WRONGTYPE");
  EXPECT_EQ(own.pending(), 3);
  redis_.command("DEL", "statistics:web:latency");
  own.flush();
  expect(3, 5.01);
  EXPECT_NEAR(seen_.current().stddev(), std::sqrt(0.6734 / 3), 1e-14);
}

TEST_F(StatisticsFaultsTest, HashOfSomebodyElseIsLeftAloneAndNamed) {
  for (auto const& field : {"count", "start", "colour"}) {
    redis_.command("DEL", "statistics:web:latency");
    redis_.command("HSET", "statistics:web:latency", field, "red");
    EXPECT_THAT(text_of<CodecError>([&] { (void)seen_.current(); }),
                HasSubstr("statistics:web:latency"));
  }
  redis_.command("DEL", "statistics:web:latency");
  redis_.command("HSET", "statistics:web:latency", "start", 1, "count", "red");
  redis_.command("HSET", "statistics:web:latency", "start", "99999999999");  // not an old one
  Statistics own{client(server_.url()), "web", "latency", by_hand};
  own.add(1);
  EXPECT_NE(code_of([&] { own.flush(); }), "none");
  EXPECT_EQ(own.pending(), 1);
  EXPECT_EQ(redis_.command("HLEN", "statistics:web:latency").as<int>(), 2);
  redis_.command("DEL", "statistics:web:latency");
  own.flush();
  expect(1, 1);
}

TEST_F(StatisticsFaultsTest, UserWhoMayNotIsToldSoAndNothingIsHalfDone) {
  Statistics own{client_without("hset"), "web", "latency", by_hand};
  own.add(2);
  EXPECT_NE(code_of([&] { own.flush(); }), "none");
  EXPECT_EQ(own.pending(), 1);
  EXPECT_EQ(redis_.command("EXISTS", "statistics:web:latency").as<int>(), 0);
  redis_.command("ACL", "SETUSER", "app", "+hset");
  own.flush();
  expect(1, 2);
}

TEST_F(StatisticsFaultsTest, PeriodThatMayNotBeMovedStaysWhatItIs) {
  seen_.add(7);
  seen_.flush();
  redis_.command("HINCRBY", "statistics:web:latency", "start", -24 * 366 * 3600);  // the one before
  Statistics own{client_without("rename"), "web", "latency", by_hand};
  own.add(2);
  EXPECT_NE(code_of([&] { own.flush(); }), "none");
  EXPECT_EQ(own.pending(), 1);
  EXPECT_EQ(seen_.last()->sum(), 7);
  EXPECT_EQ(redis_.command("EXISTS", "{statistics:web:latency}:last").as<int>(), 0);
  redis_.command("ACL", "SETUSER", "app", "+rename");
  own.flush();
  expect(1, 2);
  EXPECT_EQ(seen_.last()->sum(), 7);
}

TEST_F(StatisticsFaultsTest, WhatMayNotExpireIsMergedOnceAllTheSame) {
  Statistics own{client_without("pexpire"), "web", "latency", by_hand};
  own.add(2);
  EXPECT_EQ(code_of([&] { own.flush(); }), "none");
  EXPECT_EQ(own.pending(), 0);
  own.add(2);
  own.flush();
  expect(2, 4);
}

TEST_F(StatisticsFaultsTest, FullServerGetsItLater) {
  Statistics own{client(server_.url()), "web", "latency", by_hand};
  redis_.command("CONFIG", "SET", "maxmemory", 1);
  own.add(2);
  EXPECT_EQ(code_of([&] { own.flush(); }), "OOM");
  redis_.command("CONFIG", "SET", "maxmemory", 0);
  own.add(3);
  own.flush();
  expect(2, 5);
}

TEST_F(StatisticsFaultsTest, ValuesAreKeptWhileTheServerIsAwayAndMergedOnceWhenItIsBack) {
  Statistics own{client(server_.url(), "?connect_timeout=50ms"), "web", "latency", often};
  own.add(1);
  ASSERT_TRUE(eventually([&] { return own.pending() == 0; }));
  server_.kill();
  for (int i = 0; i < 100; ++i) own.add(2);
  EXPECT_THROW(own.flush(), Unreachable);
  EXPECT_EQ(own.pending(), 100);
  server_.restart();
  ASSERT_TRUE(eventually([&] { return own.pending() == 0; }));
  ASSERT_TRUE(eventually([&] { return code_of([&] { (void)seen_.current(); }) == "none"; }));
  expect(101, 201);
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(StatisticsFaultsTest, WhatCannotBeConfirmedInTimeIsToldAndNotSentAgain) {
  Statistics own{client(server_.url(), "?command_timeout=100ms&connect_timeout=100ms"),
                 "web",
                 "latency",
                 {.period = 24h * 366, .flush_interval = 5ms, .resend_for = 200ms}};
  own.add(1);
  ASSERT_TRUE(eventually([&] { return own.pending() == 0; }));
  server_.pause();
  own.add(2);
  own.add(3);
  EXPECT_TRUE(eventually([&] { return own.unconfirmed() >= 2; }));
  EXPECT_EQ(own.pending(), 0);
  EXPECT_TRUE(eventually([&] { return reports_.have("statistics:web:latency: whether "); }));
  server_.resume();
}

}  // namespace
}  // namespace tandem
