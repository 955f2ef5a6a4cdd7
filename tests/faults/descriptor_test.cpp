// Descriptors exhausted: whoever needs one is told so at once, and all goes on when there are some
// again.
#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/lock.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/open_descriptors.hpp"
#include "support/patience.hpp"
#include "support/sanitized.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::NoMoreDescriptors;
using support::on_threads;
using support::stall;
using support::time_of;
using ::testing::HasSubstr;
using testing::RedisServer;

/// What `act` threw; null for nothing.
std::exception_ptr fault_of(std::function<void()> const& act) {
  try {
    act();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

/// UBSan opens a pipe to look at a type it has not seen: it sees here, where nobody listens, what it
/// would see below.
void let_ubsan_see_it_all() {
  for (std::string const url : {"unix:///no/such/redis.sock", "redis://localhost:1"}) {
    Client redis{url + "?connect_timeout=50ms"};
    on_threads(2, [&](int) { EXPECT_TRUE(fault_of([&] { redis.command("PING"); })); });
    EXPECT_TRUE(fault_of([&] { redis.transaction({}, [](Transaction&) {}); }));
    EXPECT_TRUE(fault_of([&] { (void)Lock{redis, "orders"}.acquire(); }));
  }
}

/// What `act` threw without descriptors, and how long it took.
struct Outcome {
  std::exception_ptr fault;
  std::chrono::milliseconds took;
};
Outcome without_descriptors(std::function<void()> const& act) {
  let_ubsan_see_it_all();
  Outcome out{nullptr, 0ms};
  NoMoreDescriptors const for_a_while;
  out.took = time_of([&] { out.fault = fault_of(act); });
  return out;
}

void expect_too_many_open_files(std::exception_ptr const& fault) {
  ASSERT_TRUE(fault) << "it needed no descriptor";
  try {
    std::rethrow_exception(fault);
  } catch (Unreachable const& unreachable) {
    EXPECT_THAT(unreachable.what(), HasSubstr("Too many open files"));
  }
}

void kill_connections(Connection& own) {
  own.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  own.command("CLIENT", "KILL", "TYPE", "pubsub");
}

class DescriptorTest : public ::testing::Test {
 protected:
  DescriptorTest() { kill_connections(own_); }  // seen once, see above

  RedisServer server_{{.tcp = true}};
  Connection own_{server_.url()};
  std::string url_ = server_.url() + "?connect_timeout=200ms&command_timeout=20s";
  std::string name_url_ = "redis://localhost:" + std::to_string(server_.port()) +
                          "?connect_timeout=200ms&command_timeout=20s";
};

TEST_F(DescriptorTest, FirstCallIsUnreachableAndThenItWorks) {
  for (auto const& url : {url_, name_url_}) {
    Client redis{url};
    auto const outcome = without_descriptors([&] { redis.command("PING"); });
    expect_too_many_open_files(outcome.fault);
    EXPECT_LT(outcome.took, 200ms + stall);
    EXPECT_EQ(redis.command("PING").as<std::string>(), "PONG");
  }
}

TEST_F(DescriptorTest, FirstCallsOfSixteenThreadsAreAllUnreachableInTimeAndThenTheyWork) {
  Client redis{url_};
  std::vector<Outcome> outcomes(16);
  auto const all = without_descriptors([&] {
    on_threads(16, [&](int thread) {
      auto& mine = outcomes[static_cast<std::size_t>(thread)];
      mine.took = time_of([&] { mine.fault = fault_of([&] { redis.command("PING"); }); });
    });
  });
  EXPECT_FALSE(all.fault);
  for (auto const& outcome : outcomes) {
    expect_too_many_open_files(outcome.fault);
    EXPECT_LT(outcome.took, 200ms + stall);
  }
  on_threads(16, [&](int thread) { EXPECT_EQ(redis.command("ECHO", thread).as<int>(), thread); });
}

TEST_F(DescriptorTest, LineThatStandsGoesOnAndReconnectingIsUnreachableAndThenWorks) {
  Client redis{url_};
  redis.command("PING");
  std::exception_ptr while_it_stood;
  auto const outcome = without_descriptors([&, &own = own_] {
    while_it_stood = fault_of([&] {
      for (int i = 0; i < 100; ++i) redis.command("INCR", "n");
    });
    kill_connections(own);
    redis.command("INCR", "n");
  });
  EXPECT_FALSE(while_it_stood);
  expect_too_many_open_files(outcome.fault);
  EXPECT_EQ(redis.command("INCR", "n").as<int>(), 101);
}

TEST_F(DescriptorTest, ConnectionOfThePoolIsUnreachableAndThenItWorks) {
  auto bounded = Options::from_url(url_);
  bounded.max_connections = 1;
  Client redis{bounded};
  redis.command("PING");
  auto const count = [&] {
    redis.transaction({"n"}, [](Transaction& tx) { tx.queue("INCR", "n"); });
  };
  count();
  kill_connections(own_);
  count();                       // it has seen one go, and been given another
  for (int i = 0; i < 3; ++i) {  // and what failed uses up none of those that may be open
    auto const outcome = without_descriptors([&, &own = own_] {
      kill_connections(own);
      count();
    });
    expect_too_many_open_files(outcome.fault);
    count();
  }
  EXPECT_EQ(redis.command("GET", "n").as<int>(), 5);
}

TEST_F(DescriptorTest, EventThreadThatCannotBeStartedIsUnreachableAndThenItIsStarted) {
  Client redis{url_};
  redis.command("PING");
  Lock const lock{redis, "orders"};
  for (int i = 0; i < 3; ++i) {
    auto const outcome = without_descriptors([&] { (void)lock.acquire(); });
    expect_too_many_open_files(outcome.fault);
  }
  auto hold = lock.acquire();
  EXPECT_TRUE(hold.held());
  EXPECT_EQ(hold.release(), Release::released);
}

TEST_F(DescriptorTest, HoldIsRenewedWhenTheEventThreadCanConnectAgain) {
  if (support::types_need_a_descriptor) GTEST_SKIP() << "the sanitizer's fault";
  Client redis{url_};
  Lock const lock{redis, "orders", {.lease = 5s}};
  auto hold = lock.acquire();
  ASSERT_TRUE(hold.held());
  kill_connections(own_);
  redis.command("PING");
  ASSERT_TRUE(eventually([&] {  // ours, the line, the event thread's: it has seen one go
    auto const list = own_.command("CLIENT", "LIST").as<std::string>();
    return std::count(list.begin(), list.end(), '\n') == 3;
  }));
  auto const outcome = without_descriptors([&, &own = own_] {
    kill_connections(own);
    redis.command("PING");
  });
  expect_too_many_open_files(outcome.fault);
  auto const first_lease_ends = hold.valid_until();
  EXPECT_TRUE(eventually([&] { return hold.valid_until() > first_lease_ends; }));
  EXPECT_TRUE(hold.held());
  EXPECT_EQ(hold.release(), Release::released);
}

}  // namespace
}  // namespace tandem
