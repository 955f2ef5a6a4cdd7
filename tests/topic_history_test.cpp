#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/topic.hpp>

#include "support/fault_proxy.hpp"
#include "support/topic_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::commands_of;
using support::eventually;
using support::FaultProxy;
using support::Gate;
using support::Told;
using Fault = support::FaultProxy::Fault;
using Lines = Told::Lines;

constexpr auto channel = "tandem:{news}:history";
constexpr auto stream = "{news}:history";

Lines numbers(int first, int end) {
  Lines out;
  for (int i = first; i < end; ++i) out.push_back(std::to_string(i));
  return out;
}

class TopicHistoryTest : public support::TopicScene {
 protected:
  explicit TopicHistoryTest(testing::RedisServerOptions const& options = {})
      : TopicScene{options} {}

  using TopicScene::topic;
  [[nodiscard]] Topic<std::string> topic(std::size_t history) {
    return topic(TopicOptions{.history = history});
  }
  /// Of a client that goes through the proxy.
  [[nodiscard]] Topic<std::string> proxied(std::size_t history) {
    return {client(proxy_.url(), "?command_timeout=20s"), "news", {.history = history}};
  }
  static void publish(Topic<std::string>& news, int first, int end) {
    for (auto const& each : numbers(first, end)) news.publish(each);
  }
  /// Nothing is heard any more until proxy_.refuse(false).
  [[nodiscard]] bool deafen() {
    proxy_.refuse(true);
    kill_listening();
    return eventually([&] { return listeners(channel) == 0; });
  }

  /// By the server's clock, and of what was published last.
  [[nodiscard]] long long milliseconds() {
    auto const time = redis_.command("TIME");
    return time[0].as<long long>() * 1000 + time[1].as<long long>() / 1000;
  }
  [[nodiscard]] long long milliseconds_of_last() {
    return std::stoll(
        redis_.command("XREVRANGE", stream, "+", "-", "COUNT", "1")[0][0].as<std::string>());
  }

  FaultProxy proxy_{server_};
};

// ---- what is kept ----

TEST_P(TopicHistoryTest, LateSubscriptionIsToldWhatWasPublishedBeforeIt) {
  auto news = topic(100);
  publish(news, 0, 5);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  publish(news, 5, 10);
  EXPECT_TRUE(told.become(numbers(0, 10)));
}

TEST_P(TopicHistoryTest, SubscriptionMayBeginWithSoManyOrNoneOfTheLatest) {
  auto news = topic(1000);
  publish(news, 0, 450);
  for (int const replay : {0, 1, 2, 99, 100, 101, 102, 200, 449, 450, 451}) {
    Told told;
    auto const subscription =
        news.subscribe(told.handler(), told.options({.replay = static_cast<std::size_t>(replay)}));
    news.publish("end");
    auto expected = numbers(std::max(0, 450 - replay), 450);
    expected.emplace_back("end");
    EXPECT_TRUE(told.become(expected)) << replay;
    redis_.command(
        "XDEL", stream,
        redis_.command("XREVRANGE", stream, "+", "-", "COUNT", "1")[0][0].as<std::string>());
  }
}

TEST_P(TopicHistoryTest, KeepsExactlySoManyAndForEver) {
  auto news = topic(7);
  publish(news, 0, 100);
  EXPECT_EQ(redis_.command("XLEN", stream).as<int>(), 7);
  EXPECT_EQ(redis_.command("PTTL", stream).as<int>(), -1);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  EXPECT_TRUE(told.become(numbers(93, 100)));
}

TEST_P(TopicHistoryTest, MessagesOfAnySizeAndBytesAreReplayedInParts) {
  auto news = topic(1000);
  Lines all{"", std::string{"\0\n\r\n 1 2\n", 9}};
  for (int i = 0; i < 40; ++i) all.emplace_back(200'000, static_cast<char>('a' + i % 26));
  for (int i = 0; i < 300; ++i) all.push_back("small " + std::to_string(i));
  for (auto const& each : all) news.publish(each);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  EXPECT_TRUE(eventually([&] { return told.lines() == all; })) << told.count();
}

TEST_P(TopicHistoryTest, WhoWantsNoHistoryHearsTheMessagesAlone) {
  auto const redis = client();
  Told plain;
  Told pattern;
  auto one = Topic<std::string>{redis, "news"}.subscribe(plain.handler());
  auto const two = TopicPattern<std::string>{redis, "n*"}.subscribe(pattern.pattern_handler());
  Told told;
  auto three = topic(10).subscribe(told.handler());
  EXPECT_EQ(topic(10).publish("a"), 3U);
  EXPECT_TRUE(plain.become({"a"}));
  EXPECT_TRUE(pattern.become({"news: a"}));
  EXPECT_TRUE(told.become({"a"}));
}

TEST_P(TopicHistoryTest, WhatStrangersPublishAtItsChannelIsReportedAndWhatTheyAddIsSkipped) {
  auto news = topic(10);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  news.publish("listens");  // no more by reading only, which would not notice
  ASSERT_TRUE(told.become({"listens"}));
  for (auto const* const text : {"", "hello", "1-1 2 3", "1-1 2\nx", "a-1 2 3\nx", "1-1 2 x\nx"})
    redis_.command("PUBLISH", channel, text);
  EXPECT_TRUE(eventually([&] { return reports_.texts().size() == 6; }));
  EXPECT_TRUE(reports_.have("topic \"news\": no message of a topic with a history"));
  news.publish("a");
  redis_.command("XADD", stream, "*", "field", "theirs");
  news.publish("b");
  EXPECT_TRUE(told.become({"listens", "a", "(lost)", "b"}));
}

TEST_P(TopicHistoryTest, StrangersNumbersThatAreTooLargeAreNotGoneOnFrom) {
  auto news = topic(10);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  news.publish("a");
  EXPECT_TRUE(told.become({"a"}));
  redis_.command("XADD", stream, "*", "1 99999999999999999999", "theirs");
  news.publish("b");
  EXPECT_TRUE(told.become({"a", "(lost)", "b"}));
  redis_.command("XADD", stream, "*", "99999999999999999999 5", "theirs");
  news.publish("c");
  EXPECT_TRUE(told.become({"a", "(lost)", "b", "(lost)", "c"}));
}

TEST_P(TopicHistoryTest, NothingOfAnEarlierHistoryIsToldAgainWhereStrangersBeginNewOnes) {
  auto news = topic(10);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  Lines expected;
  for (auto const* const each : {"a", "b", "c", "d"}) {
    if (!expected.empty()) expected.emplace_back("(lost)");
    expected.emplace_back(each);
    news.publish(each);
    EXPECT_TRUE(told.become(expected));
    redis_.command("XADD", stream, "*", "field", "theirs");
  }
}

TEST_P(TopicHistoryTest, StrangersIdMayBeTheLastOfItsMillisecond) {
  auto news = topic(100);
  publish(news, 0, 9);
  auto const id = std::to_string(milliseconds_of_last() + 1000) + "-18446744073709551615";
  redis_.command("XADD", stream, id, "field", "theirs");
  news.publish("b");
  Told told;
  auto const subscription = news.subscribe(told.handler());
  auto expected = numbers(0, 9);
  expected.emplace_back("b");
  EXPECT_TRUE(told.become(expected));
}

TEST_P(TopicHistoryTest, EachDatabaseHasItsOwn) {
  auto in_another = options(server_.url());
  in_another.database = 1;
  auto here = topic(10);
  Topic<std::string> there{Client{in_another}, "news", {.history = 10}};
  Told told_here;
  Told told_there;
  auto const one = here.subscribe(told_here.handler(), told_here.options());
  auto const two = there.subscribe(told_there.handler(), told_there.options());
  there.publish("there");
  EXPECT_TRUE(told_there.become({"there"}));
  here.publish("here");
  EXPECT_TRUE(told_here.become({"here"}));
  EXPECT_TRUE(told_there.become({"there"}));
}

// ---- connections that are lost ----

TEST_P(TopicHistoryTest, WhatWasPublishedWhileItWasCutOffIsToldAfterwardsInOrder) {
  auto news = proxied(1000);
  auto elsewhere = topic(1000);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  publish(elsewhere, 0, 5);
  EXPECT_TRUE(told.become(numbers(0, 5)));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(deafen());
    publish(elsewhere, 5 + i * 100, 5 + (i + 1) * 100);
    proxy_.refuse(false);
    EXPECT_TRUE(told.become(numbers(0, 5 + (i + 1) * 100)));
  }
}

TEST_P(TopicHistoryTest, NothingIsMissedAndNothingToldTwiceWhileConnectionsAreKilled) {
  auto const redis = client();
  Topic<std::string> news{redis, "news", {.history = 100'000}};
  Told told;
  Told late;
  auto const subscription = news.subscribe(told.handler(), told.options({.buffer = 5}));
  std::optional<Subscription> other;
  std::atomic<int> published = 0;
  std::atomic<bool> over = false;
  std::thread publishes{[&] {
    while (!over) news.publish(std::to_string(published++));
  }};
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(cut(channel));
    if (i == 5) other.emplace(news.subscribe(late.handler(), late.options()));
  }
  over = true;
  publishes.join();
  auto const all = numbers(0, published);
  EXPECT_TRUE(eventually([&] { return told.lines() == all; })) << told.count();
  EXPECT_TRUE(eventually([&] { return late.lines() == all; })) << late.count();
}

TEST_P(TopicHistoryTest, ReadThatIsCutOffIsMadeAgain) {
  auto elsewhere = topic(1000);
  publish(elsewhere, 0, 300);
  auto news = proxied(1000);
  for (int i = 0; i < 3; ++i) {
    Told told;
    proxy_.next("EVALSHA", Fault::cut_after_request);
    proxy_.next("EVALSHA", Fault::cut_in_reply);
    proxy_.next("EVALSHA", Fault::cut_before_request);
    auto const subscription = news.subscribe(told.handler(), told.options());
    EXPECT_TRUE(told.become(numbers(0, 300)));
  }
  EXPECT_EQ(proxy_.met(), 9);
}

TEST_P(TopicHistoryTest, TrimmedMessagesAreCounted) {
  auto news = proxied(10);
  auto elsewhere = topic(10);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  publish(elsewhere, 0, 3);
  EXPECT_TRUE(told.become(numbers(0, 3)));
  ASSERT_TRUE(deafen());
  publish(elsewhere, 3, 30);
  proxy_.refuse(false);
  auto expected = numbers(0, 3);
  expected.emplace_back("(trimmed 17)");
  for (auto const& each : numbers(20, 30)) expected.push_back(each);
  EXPECT_TRUE(told.become(expected));
}

TEST_P(TopicHistoryTest, MessageOfTheMiddleThatIsDeletedIsCounted) {
  auto news = topic(10);
  publish(news, 0, 4);
  auto const ids = redis_.command("XRANGE", stream, "-", "+");
  redis_.command("XDEL", stream, ids[1][0].as<std::string>(), ids[2][0].as<std::string>());
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  EXPECT_TRUE(told.become({"0", "(trimmed 2)", "3"}));
}

// ---- slow handlers ----

TEST_P(TopicHistoryTest, SlowHandlerMissesNothingHoweverSmallItsBuffer) {
  auto news = topic(1000);
  Told told;
  Gate gate;
  auto const subscription = news.subscribe(
      [&](std::string const& message) {
        told.write(message);
        if (message == "0") gate.pass();
      },
      told.options({.buffer = 1, .when_full = SubscriptionOptions::WhenFull::fail}));
  publish(news, 0, 1);
  ASSERT_TRUE(gate.is_reached());
  publish(news, 1, 500);
  gate.open();
  EXPECT_TRUE(told.become(numbers(0, 500)));
  publish(news, 500, 510);
  EXPECT_TRUE(told.become(numbers(0, 510)));
}

TEST_P(TopicHistoryTest, SlowHandlerIsToldHowManyTheHistoryKeepsNoMore) {
  auto news = topic(10);
  Told told;
  Gate gate;
  auto const subscription = news.subscribe(
      [&](std::string const& message) {
        told.write(message);
        if (message == "0") gate.pass();
      },
      told.options({.buffer = 2}));
  publish(news, 0, 1);
  ASSERT_TRUE(gate.is_reached());
  publish(news, 1, 100);
  gate.open();
  EXPECT_TRUE(eventually([&] { return told.has("99"); }));
  // How many came into the buffer before it was full is not known here.
  auto const lines = told.lines();
  int told_now = 0;
  int missing = 0;
  for (auto const& line : lines) {
    if (line.starts_with("(trimmed ")) {
      missing += std::stoi(line.substr(9));
    } else {
      ++told_now;
      EXPECT_EQ(std::stoi(line) + 1, told_now + missing);
    }
  }
  EXPECT_EQ(told_now + missing, 100);
  EXPECT_GE(missing, 80);
}

// ---- histories that are lost ----

TEST_P(TopicHistoryTest, DeletedHistoryIsAGapAndWhatFollowsIsTold) {
  auto news = topic(10);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  publish(news, 0, 3);
  EXPECT_TRUE(told.become(numbers(0, 3)));
  redis_.command("DEL", stream);
  publish(news, 3, 6);
  EXPECT_TRUE(told.become({"0", "1", "2", "(lost)", "3", "4", "5"}));
}

TEST_P(TopicHistoryTest, ServerThatHasForgottenEverythingIsAGapAndLaterMessagesAreTold) {
  auto news = proxied(10);
  auto elsewhere =
      Topic<std::string>{client(server_.url(), "?command_timeout=20s"), "news", {.history = 10}};
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  publish(elsewhere, 0, 3);
  EXPECT_TRUE(told.become(numbers(0, 3)));
  proxy_.refuse(true);
  server_.kill();
  server_.restart();
  // Also where there are as many as it has been told, which a number alone would not show.
  publish(elsewhere, 3, 7);
  proxy_.refuse(false);
  EXPECT_TRUE(told.become({"0", "1", "2", "(lost)", "3", "4", "5", "6"}));
}

TEST_P(TopicHistoryTest, EmptyServerAfterARestartWaitsForTheNextMessage) {
  auto news =
      Topic<std::string>{client(server_.url(), "?command_timeout=20s"), "news", {.history = 10}};
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  publish(news, 0, 3);
  EXPECT_TRUE(told.become(numbers(0, 3)));
  server_.kill();
  server_.restart();
  publish(news, 3, 5);
  EXPECT_TRUE(told.become({"0", "1", "2", "(lost)", "3", "4"}));
}

TEST_P(TopicHistoryTest, HistoryThatBeginsAnewIsToldAlsoWhereTheClockWasSetBack) {
  auto news = topic(10);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  publish(news, 0, 2);
  EXPECT_TRUE(told.become(numbers(0, 2)));
  auto const field =
      redis_.command("XREVRANGE", stream, "+", "-", "COUNT", "1")[0][1][0].as<std::string>();
  auto const later = std::to_string(milliseconds() + 3'600'000) + "-0";
  redis_.command("XADD", stream, later, field.substr(0, field.find(' ')) + " 3", "2");
  publish(news, 3, 4);  // by which the one before it is noticed
  EXPECT_TRUE(told.become(numbers(0, 4)));
  redis_.command("DEL", stream);
  publish(news, 4, 6);
  EXPECT_TRUE(told.become({"0", "1", "2", "3", "(lost)", "4", "5"}));
}

TEST_P(TopicHistoryTest, HistoryOfAnEarlierMomentIsAGapAndNothingIsToldAgain) {
  auto news = proxied(100);
  auto elsewhere = topic(100);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  publish(elsewhere, 0, 5);
  auto const earlier = redis_.command("DUMP", stream).as<std::string>();
  publish(elsewhere, 5, 8);
  EXPECT_TRUE(told.become(numbers(0, 8)));
  // As after the restart of a server that saves every now and then, which takes more than the
  // millisecond of an id: once with nothing new ...
  ASSERT_TRUE(deafen());
  EXPECT_TRUE(eventually([&] { return milliseconds() > milliseconds_of_last(); }));
  redis_.command("RESTORE", stream, "0", earlier, "REPLACE");
  proxy_.refuse(false);
  auto expected = numbers(0, 8);
  expected.emplace_back("(lost)");
  EXPECT_TRUE(told.become(expected));
  publish(elsewhere, 8, 10);
  for (auto const& each : numbers(8, 10)) expected.push_back(each);
  EXPECT_TRUE(told.become(expected));
  // ... and once with more than was told before.
  ASSERT_TRUE(deafen());
  EXPECT_TRUE(eventually([&] { return milliseconds() > milliseconds_of_last(); }));
  redis_.command("RESTORE", stream, "0", earlier, "REPLACE");
  publish(elsewhere, 10, 20);
  proxy_.refuse(false);
  expected.emplace_back("(lost)");
  for (auto const& each : numbers(10, 20)) expected.push_back(each);
  EXPECT_TRUE(told.become(expected));
}

TEST_P(TopicHistoryTest, ForgottenMessagesAreAGapAlsoWhereTheNextNumberSeemsToFit) {
  auto news = proxied(100);
  auto elsewhere = topic(100);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  publish(elsewhere, 0, 3);
  auto const earlier = redis_.command("DUMP", stream).as<std::string>();
  auto const field =
      redis_.command("XREVRANGE", stream, "+", "-", "COUNT", "1")[0][1][0].as<std::string>();
  auto const milliseconds_then = milliseconds_of_last();
  EXPECT_TRUE(eventually([&] { return milliseconds() > milliseconds_then + 1; }));
  publish(elsewhere, 3, 5);
  EXPECT_TRUE(told.become(numbers(0, 5)));
  // As after a failover to a replica that had three of them, and whose clock is behind.
  ASSERT_TRUE(deafen());
  EXPECT_TRUE(eventually([&] { return milliseconds() > milliseconds_of_last(); }));
  redis_.command("RESTORE", stream, "0", earlier, "REPLACE");
  for (auto const* const number : {"4", "5"}) {
    redis_.command("XADD", stream, std::to_string(milliseconds_then + 1) + "-" + number,
                   field.substr(0, field.find(' ') + 1) + number, "never told");
  }
  publish(elsewhere, 5, 6);
  proxy_.refuse(false);
  auto expected = numbers(0, 5);
  expected.emplace_back("(lost)");
  expected.emplace_back("5");
  EXPECT_TRUE(told.become(expected));
}

// ---- what is refused, and what it costs ----

TEST_P(TopicHistoryTest, KeyThatIsNoStreamIsTold) {
  redis_.command("SET", stream, "x");
  auto news = topic(10);
  EXPECT_EQ(code_of([&] { news.publish("a"); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)news.subscribe([](auto const&) {}); }), "WRONGTYPE");
  EXPECT_TRUE(eventually([&] { return listeners(channel) == 0; }));
  EXPECT_EQ(redis_.command("GET", stream).as<std::string>(), "x");
}

TEST_P(TopicHistoryTest, KeyThatBecomesNoStreamIsReportedAndReadAgainWhenItIsOne) {
  auto news = topic(10);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  publish(news, 0, 2);
  EXPECT_TRUE(told.become(numbers(0, 2)));
  redis_.command("SET", stream, "x");
  ASSERT_TRUE(cut(channel));
  EXPECT_TRUE(eventually([&] { return reports_.have("WRONGTYPE"); }));
  redis_.command("DEL", stream);
  publish(news, 2, 4);
  EXPECT_TRUE(told.become({"0", "1", "(lost)", "2", "3"}));
}

TEST_P(TopicHistoryTest, ServerWithoutMemoryRefusesAMessageAndTellsNobody) {
  auto news = topic(10);
  Told told;
  Told plain;
  auto const one = news.subscribe(told.handler(), told.options());
  auto two = topic().subscribe(plain.handler());
  news.publish("a");
  redis_.command("CONFIG", "SET", "maxmemory", "1");
  EXPECT_EQ(code_of([&] { news.publish("b"); }), "OOM");
  redis_.command("CONFIG", "SET", "maxmemory", "0");
  news.publish("c");
  EXPECT_TRUE(told.become({"a", "c"}));
  EXPECT_TRUE(plain.become({"a", "c"}));
}

TEST_P(TopicHistoryTest, PublishIsOneCommandAndWhoListensAsksForNothing) {
  auto news = topic(10);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  news.publish("teach the script");
  EXPECT_TRUE(told.become({"teach the script"}));
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          for (int i = 0; i < 5; ++i) news.publish("a");
                          EXPECT_TRUE(eventually([&] { return told.count() == 6; }));
                        }),
            "evalsha 5, publish 10, xadd 5, xrevrange 5");
}

TEST_P(TopicHistoryTest, ReplayIsReadInPartsOfBoundedSize) {
  auto news = topic(10'000);
  publish(news, 0, 2100);
  Told told;
  auto const teaches = news.subscribe(told.handler());
  EXPECT_TRUE(eventually([&] { return told.count() == 2100; }));
  Told late;
  std::optional<Subscription> subscription;
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          subscription.emplace(news.subscribe(late.handler()));
                          EXPECT_TRUE(eventually([&] { return late.count() == 2100; }));
                        }),
            "evalsha 4, xlen 1, xrange 220, xrevrange 6");
}

TEST_P(TopicHistoryTest, LargeMessagesAreReadOneByOne) {
  auto news = topic(100);
  std::string const large(2U << 20U, 'x');
  for (int i = 0; i < 11; ++i) news.publish(large);
  news.publish("end");
  std::atomic<int> taught = 0;
  auto const teacher = news.subscribe([&](auto const&) { ++taught; });
  EXPECT_TRUE(eventually([&] { return taught == 12; }));
  std::atomic<int> told = 0;
  std::optional<Subscription> subscription;
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          subscription.emplace(
                              news.subscribe([&](auto const&) { ++told; }, {.replay = 10}));
                          EXPECT_TRUE(eventually([&] { return told == 10; }));
                        }),
            "evalsha 11, xlen 1, xrange 11, xrevrange 30");
}

INSTANTIATE_TEST_SUITE_P(Protocol, TopicHistoryTest, ::testing::Values(3, 2),
                         [](auto const& each) { return "Resp" + std::to_string(each.param); });

}  // namespace
}  // namespace tandem
