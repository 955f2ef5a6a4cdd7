#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>

#include <tandem/counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/forked.hpp"
#include "support/patience.hpp"

namespace tandem {
namespace {

using support::Forked;

TEST(CounterProcessesTest, IncrementsOfEightProcessesAreExact) {
  constexpr int processes = 8;
  constexpr int increments = 1000;
  testing::RedisServer const server;
  std::array<std::unique_ptr<Forked>, processes> children;
  for (auto& child : children) {
    child = std::make_unique<Forked>([&] {
      Counter hits{Client{server.url()}, "hits"};
      for (int n = 0; n < increments; ++n) ++hits;
      return std::string{"done"};
    });
  }
  for (auto const& child : children) EXPECT_EQ(child->told(), "done");
  EXPECT_EQ((Counter{Client{server.url()}, "hits"}.value()), processes * increments);
}

TEST(CounterProcessesTest, NumbersTakenByEightProcessesAreTakenOnce) {
  constexpr int processes = 8;
  constexpr int taken = 200;
  testing::RedisServer const server;
  std::array<std::unique_ptr<Forked>, processes> children;
  for (auto& child : children) {
    child = std::make_unique<Forked>([&] {
      Counter next{Client{server.url()}, "next"};
      std::string out;
      for (int n = 0; n < taken; ++n) out += std::to_string(next.add()) + ' ';
      return out;
    });
  }
  std::vector<int> times(processes * taken + 1);
  for (auto const& child : children) {
    std::istringstream numbers{child->told()};
    int last = 0;
    for (int number = 0; numbers >> number; last = number) {
      EXPECT_GT(number, last);
      ++times.at(static_cast<std::size_t>(number));
    }
  }
  for (std::size_t number = 1; number < times.size(); ++number)
    EXPECT_EQ(times[number], 1) << number;
}

TEST(CounterProcessesTest, ProcessKilledInMidAddCountsAtMostOneMoreThanItKnewOf) {
  testing::RedisServer const server;
  Client redis{server.url()};
  Counter hits{redis, "hits"};
  for (int round = 0; round < 5; ++round) {
    hits.exchange(0);
    redis.command("SET", "known", 0);
    Forked const child{[&]() -> std::string {
      Client own{server.url()};
      Counter mine{own, "hits"};
      for (;;) own.command("SET", "known", mine.add());
    }};
    EXPECT_TRUE(support::eventually([&] { return hits.value() > 20; }));
    ::kill(child.pid(), SIGKILL);
    // Its last command may still be on its way through the server: ask until two answers agree.
    std::int64_t counted = -1;
    EXPECT_TRUE(
        support::eventually([&] { return counted == std::exchange(counted, hits.value()); }));
    auto const known = redis.command("GET", "known").as<std::int64_t>();
    EXPECT_TRUE(counted == known || counted == known + 1)
        << counted << " counted, " << known << " known";
  }
}

void forget_scripts(Client& redis) {
  try {
    redis.command("SCRIPT", "FLUSH");
  } catch (Error const&) {
    // The server is just being restarted.
  }
}

/// So many adds of 1, over a network of its own that breaks at random places; the last answer.
std::string add_over_a_bad_network(testing::RedisServer const& server, unsigned seed, int adds) {
  support::FaultProxy proxy{server};
  Client redis{proxy.url() + "?command_timeout=60s&connect_timeout=60s"};
  Counter hits{redis, "hits", {.exactly_once = true}};
  std::minstd_rand random{seed};
  constexpr std::array faults{
      support::FaultProxy::Fault::cut_before_request, support::FaultProxy::Fault::cut_in_request,
      support::FaultProxy::Fault::cut_after_request, support::FaultProxy::Fault::cut_in_reply,
      support::FaultProxy::Fault::cut_and_delay};
  for (int n = 0; n < adds; ++n) {
    if (random() % 4 == 0) proxy.next("EVALSHA", faults[random() % faults.size()]);
    if (random() % 16 == 0) proxy.deliver_delayed();
    if (random() % 64 == 0) forget_scripts(redis);
    for (bool added = false; !added;) {
      try {
        ++hits;
        added = true;
      } catch (ServerError const& fault) {
        if (fault.code() != "LOADING") throw;  // it has just been restarted; nothing was added
      }
    }
  }
  proxy.forget();
  proxy.deliver_delayed();
  return "done";
}

TEST(CounterProcessesTest, ExactlyOnceIsExactInEightProcessesOverABadNetwork) {
  constexpr int processes = 8;
  constexpr int adds = 200;
  testing::RedisServer server{{.persistent = true}};
  std::array<std::unique_ptr<Forked>, processes> children;
  unsigned seed = 20261123;
  for (auto& child : children) {
    ++seed;
    child = std::make_unique<Forked>(
        [&server, seed] { return add_over_a_bad_network(server, seed, adds); });
  }
  Counter hits{Client{server.url() + "?command_timeout=60s&connect_timeout=60s"}, "hits"};
  for (int part = 1; part <= 3; ++part) {  // the server is killed meanwhile, and keeps its data
    EXPECT_TRUE(support::eventually([&] { return hits.value() >= part * processes * adds / 4; },
                                    std::chrono::minutes{1}));
    server.restart();
  }
  for (auto const& child : children) EXPECT_EQ(child->told(std::chrono::minutes{1}), "done");
  std::int64_t counted = -1;  // what was delayed may come even now: ask until two answers agree
  EXPECT_TRUE(support::eventually([&] { return counted == std::exchange(counted, hits.value()); }));
  EXPECT_EQ(counted, processes * adds);
}

TEST(CounterProcessesTest, ChildOfAForkAsksInItsOwnName) {
  testing::RedisServer const server;
  Client redis{server.url()};
  Counter hits{redis, "hits", {.exactly_once = true}};
  ++hits;
  ++hits;
  EXPECT_EQ(support::in_child([&] { return std::to_string(++hits); }), "3");
  EXPECT_EQ(++hits, 4);
  auto const records = redis.command("KEYS", "{hits}:once:*").as<std::vector<std::string>>();
  EXPECT_EQ(records.size(), 2U);
}

TEST(CounterProcessesTest, ChildOfAForkGoesOnWithTheSameObject) {
  testing::RedisServer const server;
  Counter hits{Client{server.url()}, "hits"};
  ++hits;
  EXPECT_EQ(support::in_child([&] { return std::to_string(++hits); }), "2");
  EXPECT_EQ(++hits, 3);
}

}  // namespace
}  // namespace tandem
