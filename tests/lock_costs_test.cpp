// What a lock costs the server, counted by the server.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <latch>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/lock.hpp>

#include "locking/times.hpp"
#include "support/fault_proxy.hpp"
#include "support/lock_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::LockSceneTest;
using support::Waiting;

class LockCostsTest : public LockSceneTest {
 protected:
  /// Of a client of its own that has its connections, and knows that it is listened to: it has
  /// waited before.
  Lock warm() {
    auto const listening = scene_.count().listening;
    auto client = scene_.client();
    Lock lock{client, "orders"};
    lock.acquire().release();
    scene_.redis("SET", "warm-up", "a stranger");
    Waiting waiting{Lock{client, "warm-up"}};
    scene_.await_waiters("warm-up", 1);
    waiting.stop();
    EXPECT_FALSE(waiting.get());
    scene_.await_listening(listening + 1);
    return lock;
  }
};

INSTANTIATE_TEST_SUITE_P(Protocol, LockCostsTest, ::testing::Values(3, 2), support::protocol_name);

TEST_P(LockCostsTest, AcquireAndReleaseAreOneCommandEach) {
  auto const lock = warm();
  scene_.reset_count();
  for (int i = 0; i < 10; ++i) {
    auto hold = lock.acquire();
    EXPECT_EQ(hold.release(), Release::released);
  }
  EXPECT_EQ(scene_.count().scripts, 20);
  EXPECT_EQ(scene_.count().all, 20);
}

TEST_P(LockCostsTest, TryThatIsRefusedIsOneCommand) {
  auto const lock = warm();
  auto const other = warm();
  auto const hold = lock.acquire();
  scene_.reset_count();
  EXPECT_FALSE(other.try_acquire());
  EXPECT_FALSE(other.try_acquire_for(0ms));
  EXPECT_EQ(scene_.count().scripts, 2);
}

TEST_P(LockCostsTest, OwnerIsOneCommand) {
  auto const lock = warm();
  (void)lock.owner();
  scene_.reset_count();
  EXPECT_FALSE(lock.owner());
  EXPECT_EQ(scene_.count().scripts, 1);
}

TEST_P(LockCostsTest, AcquireAndReleaseAreOneRoundTripEach) {
  support::FaultProxy const proxy{scene_.server};
  auto options = scene_.options();
  options.unix_socket = proxy.url().substr(std::string{"unix://"}.size());
  Lock const lock{Client{options}, "orders", {.renew = false}};  // no other connection
  lock.try_acquire()->release();
  auto const before = proxy.round_trips();
  lock.try_acquire()->release();
  EXPECT_EQ(proxy.round_trips() - before, 2);
}

TEST_P(LockCostsTest, ClientThatNeitherWaitsNorRenewsOpensOneConnectionAndNoThread) {
  support::FaultProxy const proxy{scene_.server};
  auto options = scene_.options();
  options.unix_socket = proxy.url().substr(std::string{"unix://"}.size());
  Lock const lock{Client{options}, "orders", {.renew = false}};
  auto const hold = lock.try_acquire();
  EXPECT_FALSE(lock.try_acquire());
  EXPECT_EQ(proxy.connections(), 1);
}

TEST_P(LockCostsTest, AcquireAfterWaitingIsOneCommand) {
  auto const lock = warm();
  auto const other = warm();
  long long least = std::numeric_limits<long long>::max();
  for (int i = 0; i < 10; ++i) {  // a section that a stall makes long is renewed, which is one more
    auto hold = std::make_optional(lock.acquire());
    scene_.reset_count();
    Waiting later{[&](std::stop_token stop) {
      auto its = other.acquire(stop);
      if (its) its->release();
      return its;
    }};
    scene_.await_waiters("orders", 1);
    hold.reset();
    ASSERT_TRUE(later.get());
    least = std::min(least, scene_.count().scripts);
  }
  EXPECT_EQ(least, 1 + 2) << "to join; and the two releases";
}

TEST_P(LockCostsTest, AcquireAfterALongWaitAsksOnceMore) {
  auto const lock = warm();
  auto const other = warm();
  auto hold = std::make_optional(lock.acquire());
  Waiting later{other};
  scene_.await_waiters("orders", 1);
  // What a grant is worth is counted from the last question.
  std::this_thread::sleep_for(detail::grant_time);
  scene_.reset_count();
  hold.reset();
  auto const its = later.get();
  ASSERT_TRUE(its);
  EXPECT_GT(its->valid_until(), std::chrono::steady_clock::now() + detail::grant_time);
  EXPECT_GE(scene_.count().scripts, 2);
}

TEST_P(LockCostsTest, ContendedAcquisitionTakesAtMostFourCommandsWithAnyNumberOfWaiters) {
  std::vector<Lock> locks;
  for (int const waiters : {2, 8, 32}) {
    while (locks.size() < static_cast<std::size_t>(waiters)) locks.push_back(warm());
    scene_.reset_count();
    constexpr int times = 15;
    {
      std::latch together{waiters};
      std::vector<std::jthread> threads;
      for (auto const& lock : locks) {
        threads.emplace_back([&] {
          together.arrive_and_wait();
          for (int i = 0; i < times; ++i) {
            auto const hold = lock.acquire();
            std::this_thread::sleep_for(200us);  // the section
          }
        });
      }
    }
    auto const each = static_cast<double>(scene_.count().all) / (waiters * times);
    std::printf("%d waiters: %.2f commands for each acquisition\n", waiters, each);
    EXPECT_LE(each, 4);
  }
}

TEST_P(LockCostsTest, IdleWaiterSendsAtMostOneCommandASecond) {
  constexpr int waiters = 16;
  auto const holder = warm();
  std::vector<Lock> locks;
  for (int i = 0; i < waiters; ++i) locks.push_back(warm());
  auto hold = std::make_optional(holder.acquire());
  std::vector<std::unique_ptr<Waiting>> waiting;
  for (auto const& lock : locks) waiting.push_back(std::make_unique<Waiting>(lock));
  scene_.await_waiters("orders", waiters);
  scene_.await_tracking();

  // The least of several: what the last of them says as it begins may come late.
  double each = 2;
  for (int window = 0; window < 3 && each > 1; ++window) {
    scene_.reset_count();
    auto const begin = std::chrono::steady_clock::now();
    std::this_thread::sleep_for(3s);  // of idleness
    auto const all = scene_.count().all;
    std::chrono::duration<double> const idle = std::chrono::steady_clock::now() - begin;
    each = static_cast<double>(all) / waiters / idle.count();
    std::printf("%lld commands of %d waiters: %.2f for each and second\n", all, waiters, each);
  }
  EXPECT_LE(each, 1);
}

TEST_P(LockCostsTest, WaitersOfManyLocksShareOneConnectionThatListens) {
  auto const client = scene_.client();
  std::vector<std::unique_ptr<Waiting>> waiting;
  for (int i = 0; i < 20; ++i) {
    auto const name = "orders:" + std::to_string(i);
    scene_.redis("SET", name, "a stranger");
    waiting.push_back(std::make_unique<Waiting>(Lock{client, name}));
    scene_.await_waiters(name, 1);
  }
  EXPECT_EQ(scene_.redis("PUBSUB", "CHANNELS", "tandem:*").as<std::vector<std::string>>().size(),
            1U);
}

}  // namespace
}  // namespace tandem
