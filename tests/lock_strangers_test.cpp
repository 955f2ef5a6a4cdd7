// One key, used as a lock by tandem and by programs that know nothing of it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/lock.hpp>

#include "support/forked.hpp"
#include "support/limited_resource.hpp"
#include "support/lock_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using support::Forked;
using support::LockSceneTest;
using support::long_enough;
using support::Waiting;

class LockStrangersTest : public LockSceneTest {
 protected:
  /// SET NX PX, as most libraries take a lock.
  bool set(std::chrono::milliseconds lease = 60s) {
    return !scene_.redis("SET", "orders", "stranger", "NX", "PX", lease.count()).is_nil();
  }
  /// SETNX, as the classic code begins.
  bool setnx() { return scene_.redis("SETNX", "orders", 1).as<bool>(); }

  Lock const lock_{scene_.client(), "orders"};
};

INSTANTIATE_TEST_SUITE_P(Protocol, LockStrangersTest, ::testing::Values(3, 2),
                         support::protocol_name);

TEST_P(LockStrangersTest, TheirLockIsRespected) {
  ASSERT_TRUE(set());
  EXPECT_FALSE(lock_.try_acquire());
  EXPECT_FALSE(lock_.try_acquire_for(50ms));
  EXPECT_EQ(scene_.value("orders"), "stranger");
  scene_.redis("DEL", "orders");
  ASSERT_TRUE(setnx());
  EXPECT_FALSE(lock_.try_acquire());
  scene_.redis("DEL", "orders");
  EXPECT_TRUE(lock_.try_acquire());
}

TEST_P(LockStrangersTest, OurLockIsRespectedByThem) {
  auto hold = lock_.try_acquire();
  EXPECT_FALSE(set());
  EXPECT_FALSE(setnx());
  EXPECT_GT(scene_.redis("TTL", "orders").as<int>(), 0)
      << "or the classic code would shorten its lease";
  hold.reset();
  EXPECT_TRUE(setnx());
}

TEST_P(LockStrangersTest, TheirReleaseIsNoticedByAWaiterWithoutPolling) {
  std::vector<std::chrono::microseconds> took;
  for (int i = 0; i < 9; ++i) {
    scene_.reset_count();
    ASSERT_TRUE(set());
    Waiting later{lock_};
    scene_.await_waiters("orders", 1);
    scene_.await_tracking();
    scene_.reset_count();
    auto const released = steady_clock::now();
    scene_.redis("DEL", "orders");
    auto const hold = later.get();
    took.push_back(
        std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - released));
    ASSERT_TRUE(hold);
    EXPECT_LE(scene_.count().all, 1 + 3 + 1) << "a look at the key, and the acquisition";
  }
  std::nth_element(took.begin(), took.begin() + 4, took.end());
  std::printf("median of 9: %lld us\n", static_cast<long long>(took[4].count()));
  // The target is 50 ms. Without notice it would be the lease of a minute.
  EXPECT_LE(took[4], 1s);
}

TEST_P(LockStrangersTest, EndOfTheirLeaseIsNoticedByAWaiter) {
  ASSERT_TRUE(set(300ms));
  auto const hold = lock_.try_acquire_for(long_enough);
  EXPECT_TRUE(hold);
}

TEST_P(LockStrangersTest, TheirReleaseIsNoticedWhenTheyHadLengthenedTheirLease) {
  ASSERT_TRUE(set(1s));
  Waiting later{lock_};
  scene_.await_waiters("orders", 1);
  scene_.await_tracking();
  scene_.redis("EXPIRE", "orders", 3600);
  scene_.await_tracking();
  scene_.redis("DEL", "orders");
  EXPECT_TRUE(later.get());
}

TEST_P(LockStrangersTest, EndOfALeaseThatTheyShortenedIsNoticed) {
  ASSERT_TRUE(set(1h));
  Waiting later{lock_};
  scene_.await_waiters("orders", 1);
  scene_.await_tracking();
  scene_.redis("PEXPIRE", "orders", 100);
  EXPECT_TRUE(later.over(5s)) << "sooner than it would look anyway";
  EXPECT_TRUE(later.get());
}

TEST_P(LockStrangersTest, TheirReleaseIsNoticedAfterConnectionsBroke) {
  ASSERT_TRUE(set());
  Waiting later{lock_};
  scene_.await_waiters("orders", 1);
  scene_.await_tracking();
  scene_.kill_connections();
  scene_.await_waiters("orders", 1);
  scene_.await_tracking();
  scene_.redis("DEL", "orders");
  EXPECT_TRUE(later.over(5s)) << "sooner than it would look anyway";
  EXPECT_TRUE(later.get());
}

TEST_P(LockStrangersTest, OurLockThatTheyDeleteGoesToTheFirstWaiter) {
  auto hold = lock_.try_acquire();
  Lock const other{scene_.client(), "orders"};
  Waiting first{other};
  scene_.await_waiters("orders", 1);
  scene_.await_tracking();
  scene_.redis("DEL", "orders");
  EXPECT_TRUE(first.over(5s)) << "sooner than its lease would have ended";
  EXPECT_TRUE(first.get());
  EXPECT_NE(hold->release(), Release::released);
}

TEST_P(LockStrangersTest, TheirKeyWithoutExpiryIsGivenOurLeaseByTheFirstWaiter) {
  ASSERT_TRUE(setnx());
  EXPECT_FALSE(lock_.try_acquire());
  EXPECT_EQ(scene_.redis("PTTL", "orders").as<int>(), -1) << "who does not wait has no say in it";
  Lock const brief{scene_.client(), "orders", {.lease = 300ms}};
  EXPECT_TRUE(brief.try_acquire_for(long_enough)) << "its owner died between SETNX and EXPIRE";
}

TEST_P(LockStrangersTest, TheirKeyWithoutExpiryIsReportedOnce) {
  ASSERT_TRUE(setnx());
  auto options = scene_.options();
  std::mutex mutex;
  std::vector<std::string> lines;
  options.on_warning = [&](std::string const& line) {
    std::lock_guard const guard{mutex};
    lines.push_back(line);
  };
  Lock const brief{Client{options}, "orders", {.lease = 300ms}};
  EXPECT_TRUE(brief.try_acquire_for(long_enough));
  std::erase_if(lines, [](auto const& line) { return line.find("\"orders\"") == line.npos; });
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("without an expiry"), std::string::npos) << lines[0];
}

TEST_P(LockStrangersTest, TheirKeyWithoutExpiryIsGivenOurLeaseAlsoWhenItCameWhileWeWaited) {
  ASSERT_TRUE(set(1h));
  Lock const brief{scene_.client(), "orders", {.lease = 300ms}};
  Waiting later{brief};
  scene_.await_waiters("orders", 1);
  scene_.await_tracking();
  scene_.redis("SET", "orders", "another");
  EXPECT_TRUE(later.over(5s)) << "sooner than it would look anyway";
  EXPECT_TRUE(later.get());
}

TEST_P(LockStrangersTest, WaiterAsksOnceASecondWhereItMayNotHaveKeysTracked) {
  scene_.redis("ACL", "SETUSER", "default", "-client|tracking");
  ASSERT_TRUE(set());
  Lock const untracked{scene_.client(), "orders"};
  Waiting later{untracked};
  scene_.await_waiters("orders", 1);
  scene_.redis("DEL", "orders");
  EXPECT_TRUE(later.over(5s)) << "long before the minute of their lease";
  EXPECT_TRUE(later.get());
}

TEST_P(LockStrangersTest, FirstWaiterThatDiedIsFollowedAsTheirLookoutByTheNext) {
  ASSERT_TRUE(set());
  auto first = std::make_optional<Forked>([&] {
    return Lock{scene_.client(), "orders"}.acquire().held() ? "held" : "lost";
  });
  scene_.await_waiters("orders", 1);
  Waiting second{lock_};
  scene_.await_waiters("orders", 2);
  first.reset();  // SIGKILL
  scene_.await_waiters("orders", 1);
  ASSERT_FALSE(second.over());
  scene_.redis("DEL", "orders");
  EXPECT_TRUE(second.over(5s)) << "sooner than it would look anyway";
  EXPECT_TRUE(second.get());
}

// ---- Those who poll ----

/// Asks each millisecond, and holds for a moment when it has it, until the end of the scope.
class Poller {
 public:
  explicit Poller(Client redis)
      : thread_{[this, redis](std::stop_token const& stop) mutable { poll(redis, stop); }} {}

  [[nodiscard]] int turns() const { return turns_; }

 private:
  void poll(Client& redis, std::stop_token const& stop) {
    while (!stop.stop_requested()) {
      if (!redis.command("SET", "orders", "poller", "NX", "PX", 5'000).is_nil()) {
        ++turns_;
        redis.command("DEL", "orders");
      }
      std::this_thread::sleep_for(1ms);  // as the classic code polls
    }
  }

  std::atomic<int> turns_ = 0;
  std::jthread thread_;
};

/// Sixteen wait and hold for a moment each. What the poller had by the time when the last of them
/// held.
int turns_of_a_poller_among_sixteen(support::LockScene& scene, LockOptions const& options) {
  Lock const lock{scene.client(), "orders", options};
  auto hold = std::make_optional(lock.acquire());
  Poller const poller{scene.client()};
  int turns = -1;
  std::vector<std::jthread> waiters;
  for (int i = 0; i < 16; ++i) {
    waiters.emplace_back([&, i, lock = Lock{scene.client(), "orders", options}] {
      auto const mine = lock.try_acquire_for(long_enough);
      if (mine && i == 15) turns = poller.turns();
      std::this_thread::sleep_for(2ms);  // the section, twice as long as a poller's pause
    });
    scene.await_waiters("orders", i + 1);
  }
  hold.reset();
  waiters.clear();
  return turns;
}

TEST_P(LockStrangersTest, PollerNeverFindsTheKeyFreeWhileOthersWait) {
  EXPECT_EQ(turns_of_a_poller_among_sixteen(scene_, {}), 0);
}

TEST_P(LockStrangersTest, PollerGetsItsTurnAfterABoundedRunWhenAskedFor) {
  EXPECT_GE(turns_of_a_poller_among_sixteen(scene_, {.yield_to_foreign = 4, .yield_for = 500ms}),
            1);
}

TEST_P(LockStrangersTest, WaiterDoesNotPollAKeyThatIsLeftFreeForThem) {
  auto const yielding = [&] {
    return Lock{scene_.client(), "orders", {.yield_to_foreign = 1, .yield_for = 1s}};
  };
  auto hold = std::make_optional(yielding().acquire());
  Waiting first{yielding()};
  scene_.await_waiters("orders", 1);
  Waiting second{yielding()};
  scene_.await_waiters("orders", 2);
  hold->release();
  hold = first.get();
  ASSERT_TRUE(hold);
  scene_.reset_count();
  hold->release();
  EXPECT_FALSE(scene_.exists("orders")) << "left free for a second";
  auto const mine = second.get();
  auto const count = scene_.count();
  EXPECT_TRUE(mine);
  // Ours is the release. The waiter asks when it is told, looks at the key, and asks at the end;
  // and once more should words have crossed. A look each 20 ms would be fifty of each.
  EXPECT_LE(count.scripts, 1 + 3);
  EXPECT_LE(count.tracked, 3);
}

TEST_P(LockStrangersTest, PollerAndWaitersExcludeOneAnother) {
  support::LimitedResource resource;
  std::atomic<int> polled = 0;
  {
    std::vector<std::jthread> users;
    for (int i = 0; i < 4; ++i) {
      users.emplace_back(
          [&, lock = Lock{scene_.client(), "orders", {.yield_to_foreign = 5, .yield_for = 20ms}}] {
            while (polled < 5) {
              auto const hold = lock.acquire();
              resource.use();
            }
          });
    }
    users.emplace_back([&, redis = scene_.client()]() mutable {
      while (polled < 5) {
        if (!redis.command("SET", "orders", "poller", "NX", "PX", 60'000).is_nil()) {
          resource.use();
          redis.command("DEL", "orders");
          ++polled;
        }
        std::this_thread::sleep_for(1ms);  // as the classic code polls
      }
    });
  }
  EXPECT_EQ(resource.collisions(), 0);
  EXPECT_GT(resource.uses(), 5);
}

}  // namespace
}  // namespace tandem
