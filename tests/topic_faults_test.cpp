#include <atomic>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/lock.hpp>
#include <tandem/topic.hpp>

#include "support/fault_proxy.hpp"
#include "support/forked.hpp"
#include "support/sanitized.hpp"
#include "support/shared_memory.hpp"
#include "support/threads.hpp"
#include "support/topic_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::eventually;
using support::FaultProxy;
using support::Gate;
using support::Told;
using Fault = support::FaultProxy::Fault;
using ::testing::HasSubstr;
using ::testing::Lt;

class TopicFaultsTest : public support::TopicScene {
 protected:
  FaultProxy proxy_{server_};
};

// ---- connections that are lost ----

TEST_P(TopicFaultsTest, SubscriptionComesBackAfterALossAndSaysThatSomethingMayBeMissing) {
  auto const redis = client();
  Topic<std::string> news{redis, "news"};
  Told told;
  Told all;
  auto const one = news.subscribe(told.handler(), told.options());
  auto const two =
      TopicPattern<std::string>{redis, "n*"}.subscribe(all.pattern_handler(), all.options());
  news.publish("a");
  EXPECT_TRUE(told.become({"a"}));
  EXPECT_TRUE(all.become({"news: a"}));
  ASSERT_TRUE(cut("news"));
  EXPECT_TRUE(told.become({"a", "(disconnected)"}));
  EXPECT_TRUE(all.become({"news: a", "(disconnected)"}));
  news.publish("b");
  EXPECT_TRUE(told.become({"a", "(disconnected)", "b"}));
  EXPECT_TRUE(all.become({"news: a", "(disconnected)", "news: b"}));
}

TEST_P(TopicFaultsTest, GapStandsBetweenWhatWaitsAndWhatCameAfterIt) {
  auto news = topic();
  Told told;
  Gate gate;
  auto const subscription = news.subscribe(
      [&](std::string const& message) {
        told.write(message);
        if (message == "a") gate.pass();
      },
      told.options());
  news.publish("a");
  news.publish("b");
  ASSERT_TRUE(gate.is_reached());
  ASSERT_TRUE(cut("news"));
  EXPECT_EQ(news.publish("c"), 1U);
  gate.open();
  EXPECT_TRUE(told.become({"a", "b", "(disconnected)", "c"}));
}

TEST_P(TopicFaultsTest, SubscriptionComesBackAfterARestartOfTheServer) {
  auto news = topic();
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  server_.kill();
  server_.restart();
  EXPECT_TRUE(told.become({"(disconnected)"}));
  EXPECT_EQ(news.publish("a"), 1U);
  EXPECT_TRUE(told.become({"(disconnected)", "a"}));
}

TEST_P(TopicFaultsTest, EveryLossIsFollowedByAGapAndNothingIsToldTwice) {
  auto news = topic();
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options({.buffer = 1'000'000}));
  std::atomic<bool> over = false;
  std::thread publishes{[&] {
    for (int i = 0; !over; ++i) news.publish(std::to_string(i));
  }};
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(cut("news"));
  over = true;
  publishes.join();
  news.publish("end");
  ASSERT_TRUE(eventually([&] { return told.has("end"); }));
  int last = -1;
  bool gap = false;
  for (auto const& line : told.lines()) {
    if (line == "(disconnected)" || line == "end") {
      gap = true;
      continue;
    }
    auto const number = std::stoi(line);
    ASSERT_TRUE(number == last + 1 || (gap && number > last)) << line << " after " << last;
    last = number;
    gap = false;
  }
  auto const lines = told.lines();
  EXPECT_GE(std::count(lines.begin(), lines.end(), "(disconnected)"), 10);
}

TEST_P(TopicFaultsTest, WhatComesByteByByteIsUnderstood) {
  Topic<std::string> news{client(proxy_.url(), "?command_timeout=20s"), "news"};
  proxy_.trickle(1);
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  for (auto const* const each : {"a", "", "c"}) redis_.command("PUBLISH", "news", each);
  EXPECT_TRUE(told.become({"a", "", "c"}));
  proxy_.trickle(0);
}

TEST_P(TopicFaultsTest, PublishWhoseAnswerIsLostIsInDoubtAndSentOnce) {
  Told told;
  auto subscription = topic().subscribe(told.handler());
  for (std::size_t const history : {0U, 10U}) {
    Topic<std::string> news{client(proxy_.url()), "news", {.history = history}};
    auto const* const command = history == 0 ? "PUBLISH" : "EVALSHA";
    if (history > 0) news.publish("teach the script");
    proxy_.next(command, Fault::cut_before_request);
    EXPECT_THROW(news.publish("not told, but who knows"), InDoubt);
    proxy_.next(command, Fault::cut_after_request);
    EXPECT_THROW(news.publish("told"), InDoubt);
  }
  EXPECT_TRUE(told.become({"told", "teach the script", "told"}));
}

TEST_P(TopicFaultsTest, SubscriptionIsNotToldWhatWasSaidToOneBeforeIt) {
  auto const redis = client(proxy_.url(), "?command_timeout=20s");
  Topic<std::string> news{redis, "news"};
  Told told;
  auto first = news.subscribe([](auto const&) {});
  proxy_.delay(2s);
  redis_.command("PUBLISH", "news", "under way to the first");
  first.unsubscribe();
  EXPECT_TRUE(eventually([&] { return listeners("news") == 0; }));
  redis_.command("PUBLISH", "news", "to nobody, and no gap would say so");
  auto const second = news.subscribe(told.handler(), told.options());
  redis_.command("PUBLISH", "news", "to the second");
  EXPECT_TRUE(told.become({"to the second"}));
}

// ---- subscriptions that cannot be had ----

TEST_P(TopicFaultsTest, SubscribeEndsInTimeWhereThereIsNoServer) {
  Topic<std::string> news{client(server_.url(), "?command_timeout=300ms"), "news"};
  server_.kill();
  auto const subscribe = [&] { (void)news.subscribe([](auto const&) {}); };
  EXPECT_THAT(support::time_of([&] {
                EXPECT_THAT(support::text_of<Unreachable>(subscribe),
                            HasSubstr("topic \"news\" was not confirmed in time"));
              }),
              Lt(300ms + support::stall));
  server_.restart();
  Told told;
  std::optional<Subscription> subscription;
  EXPECT_TRUE(eventually([&] {
    try {
      subscription.emplace(news.subscribe(told.handler(), told.options()));
      return true;
    } catch (Unreachable const&) {
      return false;
    }
  }));
  news.publish("a");
  EXPECT_TRUE(told.become({"a"}));
}

TEST_P(TopicFaultsTest, SubscribeEndsInTimeWhereTheServerIsSilent) {
  Topic<std::string> news{client(server_.url(), "?command_timeout=300ms"), "news"};
  Told told;
  auto const before = news.subscribe(told.handler());
  server_.pause();
  Topic<std::string> other{client(server_.url(), "?command_timeout=300ms"), "other"};
  for (auto const* const each : {&news, &other}) {
    EXPECT_THAT(support::time_of([&] {
                  try {
                    (void)each->subscribe([](auto const&) {});
                  } catch (Unreachable const&) {
                  }
                }),
                Lt(300ms + support::stall));
  }
  server_.resume();
  EXPECT_TRUE(eventually([&] { return listeners("news") == 1 && listeners("other") == 0; }));
}

class TopicPermissionsTest : public TopicFaultsTest {
 protected:
  [[nodiscard]] Client user(std::string const& rules) {
    redis_.command("ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "resetchannels");
    allow(rules);
    auto out = options(server_.url());
    out.user = "u";
    out.password = "p";
    return Client{out};
  }
  void allow(std::string const& rule) { redis_.command("ACL", "SETUSER", "u", rule); }
};

TEST_P(TopicPermissionsTest, WhatTheUserMayNotHearIsRefusedAndHindersNothingElse) {
  auto const redis = user("&news");
  Told told;
  auto subscription = Topic<std::string>{redis, "news"}.subscribe(told.handler());
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(support::text_of<ServerError>([&] {
                  (void)Topic<std::string>{redis, "secret"}.subscribe([](auto const&) {});
                }),
                AllOf(HasSubstr("NOPERM"), HasSubstr("SUBSCRIBE on secret")));
  }
  EXPECT_EQ(
      code_of([&] {
        (void)TopicPattern<std::string>{redis, "*"}.subscribe([](auto const&, auto const&) {});
      }),
      "NOPERM");
  EXPECT_EQ(code_of([&] { Topic<std::string>(redis, "secret").publish("a"); }), "NOPERM");
  Topic<std::string>(redis, "news").publish("a");
  EXPECT_TRUE(told.become({"a"}));
}

TEST_P(TopicPermissionsTest, RefusedTopicLeavesTheLocksOfTheClientTheirHandOff) {
  auto const redis = user("&tandem:*");
  Topic<std::string> secret{redis, "secret"};
  EXPECT_EQ(code_of([&] { (void)secret.subscribe([](auto const&) {}); }), "NOPERM");
  kill_listening();
  Lock const lock{redis, "lock"};
  auto hold = Lock{client(), "lock"}.try_acquire();
  ASSERT_TRUE(hold);
  std::thread waits{[&] { EXPECT_TRUE(lock.try_acquire_for(20s)); }};
  EXPECT_TRUE(eventually([&] { return redis_.command("ZCARD", "{lock}:waiters").as<int>() == 1; }));
  hold->release();
  waits.join();
}

TEST_P(TopicFaultsTest, MessageIsNoWordToTheLocksOfItsClient) {
  auto const redis = client();
  Lock const lock{redis, "lock", {.linger = 1h}};
  ASSERT_TRUE(eventually([&] {  // once it is told who else wants it
    lock.acquire().release();
    return redis_.command("EXISTS", "lock").as<int>() == 1;
  }));
  auto const token = redis_.command("GET", "lock").as<std::string>();
  Told told;
  Topic<std::string> news{redis, "news"};
  auto const subscription = news.subscribe(told.handler(), told.options());
  news.publish("wanted " + token);
  EXPECT_TRUE(told.become({"wanted " + token}));
  lock.acquire().release();
  EXPECT_EQ(redis_.command("GET", "lock").as<std::string>(), token) << "it lingers yet";
}

TEST_P(TopicPermissionsTest, PermissionThatIsTakenAwayIsReportedAndGivenBackIsUsed) {
  auto const redis = user("&news");
  Topic<std::string> news{redis, "news"};
  Told told;
  auto const subscription = news.subscribe(told.handler(), told.options());
  allow("resetchannels");  // which closes connections that listen
  EXPECT_TRUE(eventually([&] { return reports_.have("NOPERM"); }));
  EXPECT_THAT(told.lines(), ::testing::IsEmpty());
  allow("&news");
  EXPECT_TRUE(told.become({"(disconnected)"}));
  news.publish("a");
  EXPECT_TRUE(told.become({"(disconnected)", "a"}));
  EXPECT_TRUE(subscription.is_active());
}

TEST_P(TopicPermissionsTest, ConnectionThatIsRefusedIsReportedOnceToWhoWasHeardForBefore) {
  auto const redis = user("&news");
  Told told;
  auto const subscription =
      Topic<std::string>{redis, "news"}.subscribe(told.handler(), told.options());
  allow("resetpass");
  kill_listening();
  EXPECT_TRUE(eventually([&] {
    auto const log = redis_.command("ACL", "LOG");
    return log.size() > 0 && log[0][1].as<int>() >= 3;  // so often it has tried
  }));
  allow(">p");
  EXPECT_TRUE(told.become({"(disconnected)"}));
  EXPECT_TRUE(reports_.have("WRONGPASS"));
  EXPECT_EQ(reports_.texts().size(), 1U);
}

TEST_P(TopicPermissionsTest, SubscribeToAHistoryWaitsForNothingOnTheBackgroundThread) {
  (void)user("&news");
  topic({.history = 10}).publish("a");
  auto mine = options(server_.url(), "?command_timeout=2s");
  mine.user = "u";
  mine.password = "p";
  Told told;
  std::string thrown = "not called";
  std::atomic<bool> called = false;
  std::optional<Topic<std::string>> with_history;
  std::optional<Subscription> second;
  mine.on_error = [&](Error const&) {  // on that thread, as a channel was refused
    if (called) return;
    server_.pause();
    thrown = support::text_of<Error>(
        [&] { second.emplace(with_history->subscribe(told.handler(), told.options())); });
    server_.resume();
    called = true;
  };
  Client const redis{mine};
  with_history.emplace(redis, "news", TopicOptions{.history = 10});
  auto const first = Topic<std::string>{redis, "news"}.subscribe([](auto const&) {});
  redis_.command("ACL", "SETUSER", "u", "resetchannels", "&tandem:*");
  ASSERT_TRUE(eventually([&] { return called.load(); }));
  EXPECT_EQ(thrown, "none");
  EXPECT_TRUE(told.become({"a"}));
  topic({.history = 10}).publish("b");
  EXPECT_TRUE(told.become({"a", "b"}));
}

TEST_P(TopicPermissionsTest, RefusalThatNobodyWaitsForIsReported) {
  (void)user("&news");
  auto mine = options(server_.url());
  mine.user = "u";
  mine.password = "p";
  support::Reports reports;
  std::optional<Topic<std::string>> secret;
  std::optional<Subscription> second;
  mine.on_error = [&](Error const& error) {  // on the background thread, where subscribe returns
    if (!second) second.emplace(secret->subscribe([](auto const&) {}));
    reports.hook()(error);
  };
  Client const redis{mine};
  secret.emplace(redis, "secret");
  auto const first = Topic<std::string>{redis, "news"}.subscribe([](auto const&) {});
  allow("resetchannels");
  EXPECT_TRUE(eventually([&] { return reports.have("SUBSCRIBE on news"); }));
  EXPECT_TRUE(eventually([&] { return reports.have("SUBSCRIBE on secret"); }));
}

TEST_P(TopicPermissionsTest, WrongPasswordIsTold) {
  (void)user("&*");
  auto wrong = options(server_.url());
  wrong.user = "u";
  wrong.password = "q";
  Topic<std::string> news{Client{wrong}, "news"};
  EXPECT_EQ(code_of([&] { (void)news.subscribe([](auto const&) {}); }), "WRONGPASS");
}

TEST_P(TopicPermissionsTest, PublishWithAHistoryIsRefusedAsAWhole) {
  auto const redis = user("&news");
  Topic<std::string> news{redis, "news", {.history = 10}};
  EXPECT_EQ(code_of([&] { news.publish("a"); }), "NOPERM");
  EXPECT_EQ(redis_.command("EXISTS", "{news}:history").as<int>(), 0);
}

// ---- forks ----

TEST_P(TopicFaultsTest, ChildOfAForkIsToldNothingOfTheParentsAndMaySubscribeItself) {
  auto news = topic();
  Told told;
  auto subscription = std::make_optional(news.subscribe(told.handler(), told.options()));
  news.publish("a");
  ASSERT_TRUE(told.become({"a"}));
  auto const said = support::in_child([&]() -> std::string {
    if (subscription->is_active()) return "active";
    subscription->unsubscribe();
    Told own;
    auto const mine = news.subscribe(own.handler());
    news.publish("b");
    if (!own.become({"b"})) return "deaf";
    subscription.reset();
    return own.count() == 1 && told.count() == 1 ? "good" : "told";
  });
  EXPECT_EQ(said, "good");
  EXPECT_TRUE(told.become({"a", "b"}));
  news.publish("c");
  EXPECT_TRUE(told.become({"a", "b", "c"}));
}

TEST_P(TopicFaultsTest, HandlerThatForksGoesOnInTheParentOnly) {
  auto news = topic({.history = 10});
  Told told;
  support::Shared<std::atomic<int>> in_child;
  std::atomic<bool> all_published = false;
  std::atomic<bool> is_back = false;
  auto const subscription = news.subscribe([&](std::string const& message) {
    told.write(message);
    if (message != "fork") return;
    all_published.wait(false);
    if (support::child_may_find_malloc_locked) support::Forked::let_other_threads_come_to_rest();
    auto const child = ::fork();
    if (child == 0) {
      // At the end of a program sanitizers look for threads and leaks, which they cannot where it
      // ends by a thread that is not its first: g++ 12's for threads crashes, without tandem, too.
      std::atexit([] { ::_exit(0); });
      // Falls out of the handler: its thread, the only one there, ends, and so does the process.
      *in_child = 1;
      return;
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    told.write("child ended with " + std::to_string(status));
    is_back = true;
    is_back.notify_all();
  });
  news.publish("fork");
  news.publish("after");
  all_published = true;
  all_published.notify_all();
  is_back.wait(false);
  EXPECT_TRUE(told.become({"fork", "child ended with 0", "after"}));
  EXPECT_EQ(*in_child, 1);
}

// ---- many at once ----

TEST_P(TopicFaultsTest, SubscriptionsComeAndGoOnManyThreadsWhileConnectionsAreKilled) {
  auto const redis = client(server_.url(), "?command_timeout=20s");
  std::atomic<bool> over = false;
  std::thread kills{[&] {
    while (!over) {
      kill_listening();
      std::this_thread::sleep_for(20ms);  // so that something comes about in between
    }
  }};
  support::on_threads(4, [&](int number) {
    auto const name = "news" + std::to_string(number % 2);
    Topic<std::string> news{redis, name, {.history = number < 2 ? 0U : 1000U}};
    for (int i = 0; i < 25; ++i) {
      Told told;
      auto const subscription = news.subscribe(told.handler(), {.replay = 0});
      // Without a history it may be lost.
      EXPECT_TRUE(eventually([&] {
        try {
          news.publish("a");
        } catch (InDoubt const&) {
        }
        return told.has("a");
      }));
    }
  });
  over = true;
  kills.join();
  EXPECT_TRUE(eventually([&] {
    return redis_.command("PUBSUB", "CHANNELS", "*news*").as<std::vector<std::string>>().empty();
  }));
}

INSTANTIATE_TEST_SUITE_P(Protocol, TopicFaultsTest, ::testing::Values(3, 2),
                         [](auto const& each) { return "Resp" + std::to_string(each.param); });
INSTANTIATE_TEST_SUITE_P(Protocol, TopicPermissionsTest, ::testing::Values(3, 2),
                         [](auto const& each) { return "Resp" + std::to_string(each.param); });

}  // namespace
}  // namespace tandem
