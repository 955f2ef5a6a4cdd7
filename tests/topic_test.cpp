#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/lock.hpp>
#include <tandem/topic.hpp>

#include "support/threads.hpp"
#include "support/topic_scene.hpp"
#include "support/wire.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::commands_of;
using support::eventually;
using support::Gate;
using support::Told;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Lines = Told::Lines;
using WhenFull = SubscriptionOptions::WhenFull;

class TopicTest : public support::TopicScene {};

/// "0", "1", ... of so many.
Lines numbers(int first, int end) {
  Lines out;
  for (int i = first; i < end; ++i) out.push_back(std::to_string(i));
  return out;
}

// ---- publishing and subscribing ----

TEST_P(TopicTest, TellsAllSubscriptionsWhatIsPublishedInOrder) {
  auto here = topic();
  auto elsewhere = topic();
  Told one;
  Told two;
  Told three;
  auto const first = here.subscribe(one.handler());
  auto const second = here.subscribe(two.handler());
  auto const third = elsewhere.subscribe(three.handler());
  for (auto const& each : numbers(0, 200)) here.publish(each);
  EXPECT_TRUE(one.become(numbers(0, 200)));
  EXPECT_TRUE(two.become(numbers(0, 200)));
  EXPECT_TRUE(three.become(numbers(0, 200)));
}

TEST_P(TopicTest, TellsWhatIsPublishedAsSoonAsSubscribeHasReturned) {
  auto const publisher = client();
  for (int i = 0; i < 50; ++i) {
    auto const name = "news" + std::to_string(i);
    Told told;
    auto subscription = Topic<std::string>{client(), name}.subscribe(told.handler());
    EXPECT_EQ(Topic<std::string>(publisher, name).publish("at once"), 1U);
    ASSERT_TRUE(told.become({"at once"})) << i;
  }
}

TEST_P(TopicTest, PublishSaysToHowManyConnectionsItWasTold) {
  auto here = topic();
  EXPECT_EQ(here.publish("to nobody"), 0U);
  auto const redis = client();
  Topic<std::string> shared{redis, "news"};
  Told told;
  auto const one = shared.subscribe(told.handler());
  auto const two = shared.subscribe(told.handler());
  EXPECT_EQ(here.publish("a"), 1U);
  auto other = topic().subscribe(told.handler());
  EXPECT_EQ(here.publish("b"), 2U);
  auto const all = TopicPattern<std::string>{redis, "ne*"}.subscribe(told.pattern_handler());
  EXPECT_EQ(here.publish("c"), 3U);
}

TEST_P(TopicTest, IsAPlainChannelThatAnybodyMayUse) {
  auto here = topic();
  Told told;
  auto const subscription = here.subscribe(told.handler());
  redis_.command("PUBLISH", "news", "by hand");
  EXPECT_TRUE(told.become({"by hand"}));
  support::Wire const wire{server_};
  wire.send("SUBSCRIBE news");
  EXPECT_THAT(wire.receive(), HasSubstr("subscribe"));
  here.publish("to all");
  EXPECT_EQ(wire.receive(), "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$6\r\nto all\r\n");
}

TEST_P(TopicTest, MessagesAreOfAnyTypeThatHasACodecAndOfAnyBytes) {
  auto const redis = client();
  Topic<std::pair<std::string, std::int64_t>> pairs{redis, "pairs"};
  Told told;
  auto const subscription = pairs.subscribe(
      [&](auto const& each) { told.write(each.first + "=" + std::to_string(each.second)); });
  pairs.publish({"a", -1});
  EXPECT_TRUE(told.become({"a=-1"}));
  Told bytes;
  auto here = topic();
  auto const other = here.subscribe(bytes.handler());
  std::string const large(5'000'000, '\xff');
  Lines const all{std::string{"\0\r\n", 3}, "", large};
  for (auto const& each : all) here.publish(each);
  EXPECT_TRUE(eventually([&] { return bytes.lines() == all; }));
}

TEST_P(TopicTest, MessageThatCannotBeReadIsReportedAndTheNextOneTold) {
  Topic<int> numbers{client(), "numbers"};
  Told told;
  auto const subscription =
      numbers.subscribe([&](int number) { told.write(std::to_string(number)); });
  redis_.command("PUBLISH", "numbers", "seven");
  numbers.publish(8);
  EXPECT_TRUE(told.become({"8"}));
  EXPECT_TRUE(reports_.have("topic \"numbers\""));
}

// ---- patterns ----

TEST_P(TopicTest, PatternIsToldTheTopicAndTheMessage) {
  auto const redis = client();
  Told told;
  auto const subscription =
      TopicPattern<std::string>{redis, "news.*"}.subscribe(told.pattern_handler());
  Topic<std::string>(redis, "news.at").publish("a");
  Topic<std::string>(redis, "news").publish("none of it");
  Topic<std::string>(redis, "news.de").publish("b");
  EXPECT_TRUE(told.become({"news.at: a", "news.de: b"}));
}

TEST_P(TopicTest, TopicAndPatternsTogetherAreEachToldOnce) {
  auto const redis = client();
  Topic<std::string> news{redis, "news.at"};
  Told plain;
  Told wide;
  Told narrow;
  auto const one = news.subscribe(plain.handler());
  auto const two = TopicPattern<std::string>{redis, "news.*"}.subscribe(wide.pattern_handler());
  auto const three = TopicPattern<std::string>{redis, "*.at"}.subscribe(narrow.pattern_handler());
  news.publish("a");
  news.publish("b");
  EXPECT_TRUE(plain.become({"a", "b"}));
  EXPECT_TRUE(wide.become({"news.at: a", "news.at: b"}));
  EXPECT_TRUE(narrow.become({"news.at: a", "news.at: b"}));
}

TEST_P(TopicTest, PatternOfAllTopicsLeavesOutWhatTandemSaysToItself) {
  auto const redis = client();
  Told told;
  auto const subscription = TopicPattern<std::string>{redis, "*"}.subscribe(told.pattern_handler());
  redis_.command("PUBLISH", "tandem:somebody", "grant");
  Topic<std::string>(redis, "news", {.history = 1}).publish("a");
  EXPECT_TRUE(told.become({"news: a"}));
}

// ---- ends ----

TEST_P(TopicTest, EndedSubscriptionIsToldNothingAndTheServerIsTold) {
  auto const redis = client();
  Topic<std::string> news{redis, "news"};
  Told goes;
  Told stays;
  auto ends = news.subscribe(goes.handler());
  {
    auto const also_ends = news.subscribe(stays.handler());
    EXPECT_TRUE(ends.is_active());
    ends.unsubscribe();
    ends.unsubscribe();
    EXPECT_FALSE(ends.is_active());
    news.publish("a");
    EXPECT_TRUE(stays.become({"a"}));
    EXPECT_EQ(listeners("news"), 1);
  }
  EXPECT_TRUE(eventually([&] { return listeners("news") == 0; }));
  auto const again = news.subscribe(stays.handler());
  news.publish("b");
  EXPECT_TRUE(stays.become({"a", "b"}));
  EXPECT_THAT(goes.lines(), SizeIs(0));
  auto pattern = TopicPattern<std::string>{redis, "n*"}.subscribe(stays.pattern_handler());
  pattern.unsubscribe();
  EXPECT_TRUE(eventually([&] { return redis_.command("PUBSUB", "NUMPAT").as<int>() == 0; }));
}

TEST_P(TopicTest, EndWaitsForTheHandlerThatRuns) {
  auto news = topic();
  Gate gate;
  std::atomic<bool> done = false;
  std::optional<Subscription> subscription{news.subscribe([&](std::string const&) {
    gate.pass();
    done = true;
  })};
  news.publish("a");
  news.publish("is not told any more");
  ASSERT_TRUE(gate.is_reached());
  std::thread opens{[&] {
    // Only then is it certain that the end waits: it has told the server.
    EXPECT_TRUE(eventually([&] { return listeners("news") == 0; }));
    gate.open();
  }};
  subscription.reset();
  EXPECT_TRUE(done);
  opens.join();
}

TEST_P(TopicTest, HandlerMayEndItsOwnSubscription) {
  auto news = topic();
  Told told;
  std::optional<Subscription> ends;
  std::atomic<bool> may_begin = false;
  ends.emplace(news.subscribe([&](std::string const& message) {
    (void)eventually([&] { return may_begin.load(); });
    told.write(message);
    ends->unsubscribe();
  }));
  may_begin = true;
  news.publish("a");
  news.publish("b");
  EXPECT_TRUE(eventually([&] { return listeners("news") == 0; }));
  ends.reset();
  EXPECT_TRUE(told.become({"a"}));
}

TEST_P(TopicTest, HandlerMayDestroyItsOwnSubscriptionAndTheLastHandleOfTheClient) {
  Told told;
  auto const held = std::make_shared<std::optional<Subscription>>();
  Gate gate;
  {
    auto news = topic();
    held->emplace(news.subscribe([&told, held = std::weak_ptr{held}, &gate](auto const& message) {
      gate.pass();
      held.lock()->reset();
      told.write(message);
    }));
    news.publish("a");
    news.publish("b");
  }
  gate.open();
  EXPECT_TRUE(told.become({"a"}));
  EXPECT_TRUE(eventually([&] { return listeners("news") == 0; }));
}

TEST_P(TopicTest, HandlerMayPublishAndSubscribe) {
  auto news = topic();
  Told told;
  std::optional<Subscription> second;
  auto const first = news.subscribe([&](std::string const& message) {
    if (message == "begin") {
      second.emplace(Topic<std::string>{client(), "other"}.subscribe(told.handler()));
      Topic<std::string>{client(), "other"}.publish("from the handler");
    }
  });
  news.publish("begin");
  EXPECT_TRUE(told.become({"from the handler"}));
}

TEST_P(TopicTest, WhatAHandlerThrowsIsReportedAndTheNextMessageTold) {
  auto news = topic();
  Told told;
  auto const subscription = news.subscribe([&](std::string const& message) {
    if (message == "a") throw std::runtime_error{"cannot show that"};
    if (message == "b") throw 7;  // NOLINT(hicpp-exception-baseclass): anybody's
    told.write(message);
  });
  for (auto const* const each : {"a", "b", "c"}) news.publish(each);
  EXPECT_TRUE(told.become({"c"}));
  EXPECT_TRUE(reports_.have("topic \"news\": cannot show that"));
  EXPECT_TRUE(reports_.have("an exception of unknown type"));
}

// ---- slow handlers ----

TEST_P(TopicTest, SlowHandlerDelaysNobodyElse) {
  auto const redis = client();
  Topic<std::string> news{redis, "news"};
  Gate gate;
  auto const slow = news.subscribe([&](std::string const&) { gate.pass(); });
  news.publish("a");
  ASSERT_TRUE(gate.is_reached());
  Told told;
  auto const quick = news.subscribe(told.handler());
  news.publish("b");
  EXPECT_TRUE(told.become({"b"}));
  // A hand-off of a lock is heard by the same thread.
  Lock const lock{redis, "lock"};
  Lock const other{client(), "lock"};
  auto hold = other.try_acquire();
  ASSERT_TRUE(hold);
  std::thread waits{[&] { EXPECT_TRUE(lock.try_acquire_for(20s)); }};
  EXPECT_TRUE(eventually([&] { return redis_.command("ZCARD", "{lock}:waiters").as<int>() == 1; }));
  hold->release();
  waits.join();
  gate.open();
}

/// A subscription whose handler stands at a gate with "first", and then was sent so many more.
class Flood {
 public:
  Flood(Topic<std::string>& news, SubscriptionOptions const& options, Lines const& messages)
      : subscription_{news.subscribe(
            [this](std::string const& message) {
              told_.write(message);
              if (message == "first") gate_.pass();
            },
            told_.options(options))} {
    Told all;
    auto const watch = news.subscribe(all.handler(), {.buffer = 1'000'000});
    news.publish("first");
    EXPECT_TRUE(gate_.is_reached());
    for (auto const& each : messages) news.publish(each);
    EXPECT_TRUE(eventually([&] { return all.count() == messages.size() + 1; }));
  }
  Told const& go_on() {
    gate_.open();
    return told_;
  }
  [[nodiscard]] Subscription const& subscription() const { return subscription_; }

 private:
  Told told_{};
  Gate gate_{};
  Subscription subscription_;
};

TEST_P(TopicTest, FullBufferDropsTheOldestAndSaysHowManyBeforeTheNext) {
  auto news = topic();
  Flood flood{news, {.buffer = 3}, numbers(0, 10)};
  auto const& told = flood.go_on();
  EXPECT_TRUE(told.become({"first", "(buffer full 7)", "7", "8", "9"}));
  news.publish("10");
  EXPECT_TRUE(told.become({"first", "(buffer full 7)", "7", "8", "9", "10"}));
}

TEST_P(TopicTest, FullBufferDropsTheNewestAndSaysHowManyAtTheirPlace) {
  auto news = topic();
  Flood flood{news, {.buffer = 3, .when_full = WhenFull::drop_newest}, numbers(0, 10)};
  auto const& told = flood.go_on();
  EXPECT_TRUE(told.become({"first", "0", "1", "2", "(buffer full 7)"}));
  news.publish("10");
  EXPECT_TRUE(told.become({"first", "0", "1", "2", "(buffer full 7)", "10"}));
}

TEST_P(TopicTest, FullBufferMayEndTheSubscriptionWhenWhatWaitsHasBeenTold) {
  auto news = topic();
  Flood flood{news, {.buffer = 3, .when_full = WhenFull::fail}, numbers(0, 10)};
  EXPECT_TRUE(flood.subscription().is_active());
  EXPECT_TRUE(flood.go_on().become({"first", "0", "1", "2", "(buffer full)"}));
  EXPECT_TRUE(eventually([&] { return !flood.subscription().is_active(); }));
  EXPECT_TRUE(reports_.have("the subscription to topic \"news\" has ended: its buffer was full"));
  EXPECT_TRUE(eventually([&] { return listeners("news") == 0; }));
}

TEST_P(TopicTest, BufferIsBoundedInBytesToo) {
  auto news = topic();
  std::string const large(600, 'x');
  Flood flood{news, {.buffer_bytes = 1024}, {large, "a", large, "b"}};
  EXPECT_TRUE(flood.go_on().become({"first", "(buffer full 1)", "a", large, "b"}));
}

TEST_P(TopicTest, SingleMessageMayBeLargerThanTheBuffer) {
  auto news = topic();
  std::string const large(5000, 'x');
  Flood flood{news, {.buffer_bytes = 1024}, {"a", large}};
  EXPECT_TRUE(flood.go_on().become({"first", "(buffer full 1)", large}));
}

// ---- costs, and what is refused ----

TEST_P(TopicTest, PublishIsOneCommandAndTwoSubscriptionsSubscribeOnce) {
  auto const redis = client();
  Topic<std::string> news{redis, "news"};
  Told told;
  redis_.command("CONFIG", "RESETSTAT");
  auto const one = news.subscribe(told.handler());
  auto const two = news.subscribe(told.handler());
  auto const stats = redis_.command("INFO", "commandstats").as<std::string>();
  auto const own = GetParam() == 2 ? 1 : 0;  // of the invalidations
  EXPECT_THAT(stats, HasSubstr("cmdstat_subscribe:calls=" + std::to_string(1 + own) + ","));
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          for (int i = 0; i < 5; ++i) news.publish("a");
                        }),
            "publish 5");
}

TEST_P(TopicTest, BadInputIsRefusedBeforeAnyIo) {
  Client const redis{"redis://127.0.0.1:1"};
  auto const refused = [](std::function<void()> const& act) {
    return support::text_of<std::invalid_argument>(act);
  };
  using Any = Topic<std::string>;
  EXPECT_THAT(refused([&] { Any(redis, ""); }), HasSubstr("is empty"));
  EXPECT_THAT(refused([&] { Any(redis, "tandem:x"); }), HasSubstr("\"tandem:x\""));
  EXPECT_THAT(refused([&] { Any(redis, "__redis__:invalidate"); }), HasSubstr("__redis__:"));
  EXPECT_THAT(refused([&] { Any(redis, "a", {.history = 1'000'001}); }), HasSubstr("1000001"));
  EXPECT_THAT(refused([&] { TopicPattern<int>(redis, ""); }), HasSubstr("is empty"));
  Any const news{redis, "news"};
  auto const subscribe = [&](SubscriptionOptions const& options) {
    return refused([&] { (void)news.subscribe([](auto const&) {}, options); });
  };
  EXPECT_THAT(subscribe({.buffer = 0}), HasSubstr("buffer is 0"));
  EXPECT_THAT(subscribe({.buffer = 10'000'001}), HasSubstr("10000001"));
  EXPECT_THAT(subscribe({.buffer_bytes = 1023}), HasSubstr("1023"));
  EXPECT_THAT(refused([&] { (void)news.subscribe(nullptr); }), HasSubstr("handler"));
  EXPECT_THAT(refused([&] { (void)TopicPattern<int>(redis, "n*").subscribe(nullptr); }),
              HasSubstr("handler"));
}

INSTANTIATE_TEST_SUITE_P(Protocol, TopicTest, ::testing::Values(3, 2),
                         [](auto const& each) { return "Resp" + std::to_string(each.param); });

}  // namespace
}  // namespace tandem
