#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/testing/redis_server.hpp>
#include <tandem/topic.hpp>

#include "support/forked.hpp"
#include "support/patience.hpp"
#include "support/shared_memory.hpp"
#include "support/topic_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::Forked;
using support::Shared;
using support::Told;

constexpr int publishers = 8;
constexpr int subscribers = 8;
constexpr int messages = 1000;  // of each publisher
constexpr auto patience = 90s;

/// Eight processes publish, eight others subscribe, some of them late, and connections are killed.
class TopicProcessesTest : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] Topic<std::string> topic(std::size_t history) const {
    auto options = Options::from_url(server_.url() + "?command_timeout=20s&connect_timeout=20s");
    options.protocol = GetParam();
    options.on_error = [](Error const&) {};  // of connections that are killed
    return {Client{options}, "news", {.history = history}};
  }

  [[nodiscard]] std::string publish(int number) const {
    auto news = topic(1'000'000);
    while (!*begun_) std::this_thread::yield();
    for (int i = 0; i < messages; ++i) {
      try {
        news.publish(std::to_string(number) + "/" + std::to_string(i));
      } catch (InDoubt const&) {  // published or not: the stream has the truth
      }
      ++*published_;
    }
    return "";
  }

  /// What is wrong with what it is told: it is to be all that is in the stream, in its order.
  [[nodiscard]] std::string subscribe(int number) const {
    auto news = topic(1'000'000);
    Told told;
    while (*published_ < (number % 4) * messages) std::this_thread::yield();
    auto const subscription =
        news.subscribe(told.handler(), told.options({.buffer = number % 2 == 0 ? 3U : 1'000'000U}));
    ++*subscribed_;
    if (!eventually([&] { return told.has("end"); }, patience))
      return "was told " + std::to_string(told.count()) + " and no end";
    Client redis{server_.url()};
    auto const all = redis.command("XRANGE", "{news}:history", "-", "+");
    auto const lines = told.lines();
    for (std::size_t i = 0; i < std::min(lines.size(), all.size()); ++i) {
      auto const truth = all[i][1][1].as<std::string>();
      if (lines[i] != truth)
        return "message " + std::to_string(i) + " was " + lines[i] + " and not " + truth;
    }
    if (lines.size() != all.size())
      return std::to_string(lines.size()) + " messages of " + std::to_string(all.size());
    return "";
  }

  /// Each connection but this one, with a chance of one in eight.
  void kill_some(Client& redis, std::minstd_rand& random) const {
    for (auto const* const type : {"pubsub", "normal"}) {
      auto const list = redis.command("CLIENT", "LIST", "TYPE", type).as<std::string>();
      for (auto at = list.find("id="); at != std::string::npos; at = list.find("\nid=", at)) {
        at = list.find("id=", at) + 3;
        auto const id = list.substr(at, list.find(' ', at) - at);
        bool const is_own =
            list.substr(at, list.find('\n', at) - at).find("cmd=client|list") != std::string::npos;
        if (!is_own && random() % 8 == 0) redis.command("CLIENT", "KILL", "ID", id);
      }
    }
  }

  testing::RedisServer server_{};
  Shared<std::atomic<bool>> begun_{};
  Shared<std::atomic<int>> published_{};
  Shared<std::atomic<int>> subscribed_{};
};

TEST_P(TopicProcessesTest, EverySubscriberIsToldEveryMessageOnceInOrderThoughConnectionsAreKilled) {
  std::vector<std::unique_ptr<Forked>> all;
  for (int i = 0; i < subscribers; ++i) {
    all.push_back(std::make_unique<Forked>([this, i] { return subscribe(i); }));
  }
  for (int i = 0; i < publishers; ++i) {
    all.push_back(std::make_unique<Forked>([this, i] { return publish(i); }));
  }
  *begun_ = true;
  Client redis{server_.url()};
  std::minstd_rand random{7};
  EXPECT_TRUE(eventually(
      [&] {
        kill_some(redis, random);
        std::this_thread::sleep_for(5ms);  // so that something comes about in between
        return *published_ == publishers * messages && *subscribed_ == subscribers;
      },
      patience));
  topic(1'000'000).publish("end");
  for (auto const& each : all) EXPECT_EQ(each->told(patience), "");
  EXPECT_GE(redis.command("XLEN", "{news}:history").as<int>(), publishers * messages / 2);
}

TEST_P(TopicProcessesTest, KilledSubscriberHindersNobody) {
  std::vector<std::unique_ptr<Forked>> all;
  for (int i = 0; i < 2; ++i) {
    all.push_back(std::make_unique<Forked>([this, i]() -> std::string {
      Told told;
      auto subscription = topic(0).subscribe(told.handler(), told.options());
      ++*subscribed_;
      if (i == 0) {
        for (;;) ::pause();
      }
      return told.become({"a", "b"}) ? "" : "was told something else";
    }));
  }
  ASSERT_TRUE(eventually([&] { return *subscribed_ == 2; }));
  auto news = topic(0);
  EXPECT_EQ(news.publish("a"), 2U);
  ::kill(all[0]->pid(), SIGKILL);
  (void)all[0]->told();
  Client redis{server_.url()};
  EXPECT_TRUE(
      eventually([&] { return redis.command("PUBSUB", "NUMSUB", "news")[1].as<int>() == 1; }));
  EXPECT_EQ(news.publish("b"), 1U);
  EXPECT_EQ(all[1]->told(), "");
}

INSTANTIATE_TEST_SUITE_P(Protocol, TopicProcessesTest, ::testing::Values(3, 2),
                         [](auto const& each) { return "Resp" + std::to_string(each.param); });

}  // namespace
}  // namespace tandem
