// Threads of one process, and what their process keeps for them.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/lock.hpp>

#include "support/limited_resource.hpp"
#include "support/lock_scene.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::LockSceneTest;
using support::Waiting;

class LockLocalTest : public LockSceneTest {
 protected:
  /// Of a client that listens already.
  Lock warm(LockOptions const& options = {}) {
    auto const listening = scene_.count().listening;
    auto client = scene_.client();
    scene_.redis("SET", "warm-up", "a stranger");
    Waiting waiting{Lock{client, "warm-up"}};
    scene_.await_waiters("warm-up", 1);
    waiting.stop();
    EXPECT_FALSE(waiting.get());
    scene_.await_listening(listening + 1);
    return Lock{client, "orders", options};
  }
};

INSTANTIATE_TEST_SUITE_P(Protocol, LockLocalTest, ::testing::Values(3, 2), support::protocol_name);

// ---- passing on ----

TEST_P(LockLocalTest, ThreadsOfOneProcessPassTheLockOnWithoutACommand) {
  auto const lock = warm({.local_passes = 1'000'000, .local_time = 1h});
  constexpr int threads = 8, times = 50;
  scene_.reset_count();
  support::on_threads(threads, [&](int) {
    for (int i = 0; i < times; ++i) {
      auto const hold = lock.acquire();
      EXPECT_TRUE(hold.held());
    }
  });
  // A thread that comes when nobody waits, because the others were slow to wake, goes to the server.
  EXPECT_LT(scene_.count().all, threads * times / 2);
}

TEST_P(LockLocalTest, OneThreadIsInsideAtATimeAndFencesIncrease) {
  auto const lock = warm();
  support::LimitedResource resource;
  std::uint64_t last = 0;
  support::on_threads(8, [&](int) {
    for (int i = 0; i < 200; ++i) {
      auto const hold = lock.acquire();
      resource.use(0us);
      EXPECT_GT(hold.fence(), last);
      last = hold.fence();
    }
  });
  EXPECT_EQ(resource.collisions(), 0);
}

TEST_P(LockLocalTest, EachHoldOfALeaseHasAFenceOfItsOwn) {
  auto const lock = warm();
  auto hold = lock.acquire();
  auto const first = hold.fence();
  Waiting next{lock};
  std::this_thread::sleep_for(20ms);  // whether or not it stands in the line, its fence is higher
  hold.release();
  EXPECT_GT(next.get()->fence(), first);
}

TEST_P(LockLocalTest, TryWhileAnotherThreadHoldsCostsNothing) {
  auto const lock = warm();
  auto const hold = lock.acquire();
  scene_.reset_count();
  EXPECT_FALSE(lock.try_acquire());
  EXPECT_FALSE(lock.try_acquire_for(1ms));
  EXPECT_EQ(scene_.count().all, 0);
}

TEST_P(LockLocalTest, ProcessStandsInTheQueueOnceForAllItsThreads) {
  auto const holder = warm();
  auto const lock = warm();
  auto hold = std::make_optional(holder.acquire());
  std::vector<std::jthread> threads;
  for (int i = 0; i < 5; ++i) {
    std::atomic<pid_t> id = 0;
    threads.emplace_back([&] {
      id = ::gettid();
      id.notify_one();
      EXPECT_TRUE(lock.try_acquire_for(support::long_enough));
    });
    id.wait(0);
    ASSERT_TRUE(support::falls_asleep(id));
  }
  EXPECT_EQ(scene_.waiters("orders"), 1);
  hold.reset();
  threads.clear();
  EXPECT_EQ(scene_.waiters("orders"), 0);
}

TEST_P(LockLocalTest, NextThreadGoesOnInThePlaceOfOneThatGaveUp) {
  auto const holder = warm();
  auto const lock = warm();
  auto const behind = warm();
  auto hold = std::make_optional(holder.acquire());
  auto first = std::make_optional<Waiting>(lock);
  scene_.await_waiters("orders", 1);
  auto const place = lock.waiters().front().token;
  std::atomic<pid_t> id = 0;
  std::optional<Hold> mine;
  std::jthread second{[&] {
    id = ::gettid();
    id.notify_one();
    mine = lock.try_acquire_for(20s);
  }};
  id.wait(0);
  ASSERT_TRUE(support::falls_asleep(id));
  Waiting other{behind};
  scene_.await_waiters("orders", 2);
  first->stop();
  EXPECT_FALSE(first->get());
  EXPECT_EQ(lock.waiters().front().token, place) << "before the one that came later";
  hold.reset();
  second.join();
  ASSERT_TRUE(mine);
  EXPECT_FALSE(other.over());
  mine.reset();
  EXPECT_TRUE(other.get());
}

TEST_P(LockLocalTest, LastThreadThatGivesUpLeavesTheQueue) {
  auto const holder = warm();
  auto const lock = warm();
  auto const hold = holder.acquire();
  Waiting first{lock};
  scene_.await_waiters("orders", 1);
  Waiting second{lock};
  first.stop();
  EXPECT_FALSE(first.get());
  second.stop();
  EXPECT_FALSE(second.get());
  EXPECT_EQ(scene_.waiters("orders"), 0);
}

TEST_P(LockLocalTest, OtherProcessesHaveTheirTurnAfterTheBound) {
  auto const ours = warm({.local_passes = 10, .local_time = 1h});
  auto const theirs = warm();
  std::atomic<bool> over = false;
  std::atomic<int> holds = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!over) {
        auto const hold = ours.acquire();
        ++holds;
      }
    });
  }
  ASSERT_TRUE(eventually([&] { return holds > 100; }));
  int most = 0;
  for (int i = 0; i < 20; ++i) {
    Waiting turn{theirs};
    if (!eventually([&] { return scene_.waiters("orders") > 0 || turn.over(); })) break;
    auto const before = holds.load();
    auto const hold = turn.get();
    ASSERT_TRUE(hold);
    most = std::max(most, holds - before);  // before it is given back: this thread may be late
  }
  over = true;
  // What was passed on before it came, and two turns of the others: the one it met, and, where its
  // word came after that one's return, the next.
  EXPECT_LE(most, 3 * (10 + 1));
}

TEST_P(LockLocalTest, LineGoesOnWhenTheLeaseIsLost) {
  Lock const lock = warm({.lease = 300ms, .renew = false});
  auto const hold = lock.acquire();
  Waiting next{lock};
  EXPECT_TRUE(next.get()) << "when the lease ends, though its holder never gave it back";
  EXPECT_FALSE(hold.held());
}

TEST_P(LockLocalTest, LineGoesOnAtOnceWhenTheLossBecomesKnown) {
  Lock const lock = warm({.lease = 1h});
  auto const hold = lock.acquire();
  std::atomic<pid_t> id = 0;
  std::optional<Hold> mine;
  std::jthread next{[&] {
    id = ::gettid();
    id.notify_one();
    mine = lock.try_acquire_for(support::long_enough);
  }};
  id.wait(0);
  ASSERT_TRUE(support::falls_asleep(id));
  scene_.redis("DEL", "orders");
  EXPECT_THROW(hold.commit([](Transaction& tx) { tx.queue("PING"); }), LockLost);
  next.join();
  EXPECT_TRUE(mine);
  EXPECT_FALSE(hold.held());
}

TEST_P(LockLocalTest, LineGoesOnWhenTheFirstOfItMeetsAFault) {
  auto const lock = warm();
  scene_.redis("HSET", "orders", "not", "a lock");
  constexpr int threads = 4;
  std::atomic<int> refused = 0;
  support::on_threads(threads, [&](int) {
    try {
      (void)lock.acquire();
    } catch (ServerError const& error) {
      EXPECT_EQ(error.code(), "WRONGTYPE");
      ++refused;
    }
  });
  EXPECT_EQ(refused, threads);
}

TEST_P(LockLocalTest, WithOtherOptionsThreadsMeetAtTheServer) {
  auto const client = scene_.client();
  Lock const brief{client, "orders", {.lease = 2s}};
  Lock const usual{client, "orders"};
  auto hold = std::make_optional(brief.acquire());
  EXPECT_FALSE(usual.try_acquire());
  Waiting next{usual};
  scene_.await_waiters("orders", 1);
  hold.reset();
  EXPECT_TRUE(next.get());
}

TEST_P(LockLocalTest, StopTokenBelongsToOneHoldOfALease) {
  auto const lock = warm({.lease = 1s});
  auto hold = lock.acquire();
  auto const first = hold.stop_token();
  Waiting waiting{lock};
  hold.release();
  auto const next = waiting.get();
  ASSERT_TRUE(next);
  auto const second = next->stop_token();
  scene_.redis("SET", "orders", "a stranger");
  EXPECT_TRUE(eventually([&] { return second.stop_requested(); }));
  EXPECT_FALSE(first.stop_requested()) << "it was released in time";
}

// ---- linger ----

TEST_P(LockLocalTest, LockThatLingersIsTakenAgainWithoutACommand) {
  auto const lock = warm({.linger = 10s});
  lock.acquire().release();
  scene_.reset_count();
  std::uint64_t fence = 0;
  for (int i = 0; i < 1000; ++i) {
    auto hold = lock.acquire();
    EXPECT_GT(hold.fence(), fence);
    fence = hold.fence();
    EXPECT_EQ(hold.release(), Release::released);
  }
  EXPECT_EQ(scene_.count().scripts, 0);
  EXPECT_TRUE(scene_.exists("orders"));
}

TEST_P(LockLocalTest, FencesIncreaseBeyondTheHoldsOfOneLease) {
  auto const lock = warm({.linger = 10s});
  std::uint64_t fence = 0;
  for (int i = 0; i < 10'000; ++i) {
    auto const hold = lock.acquire();
    ASSERT_GT(hold.fence(), fence);
    fence = hold.fence();
  }
}

TEST_P(LockLocalTest, LockThatLingersIsGivenUpAtOnceWhenAnotherProcessWaits) {
  auto const ours = warm({.linger = 1h});
  auto const theirs = warm();
  for (int i = 0; i < 5; ++i) {
    ours.acquire().release();
    ASSERT_TRUE(scene_.exists("orders"));
    auto const hold = theirs.try_acquire_for(9s);  // sooner than the lease would end
    ASSERT_TRUE(hold) << "round " << i;
  }
}

TEST_P(LockLocalTest, LockThatLingersIsGivenUpAfterATryOfAnotherProcess) {
  auto const ours = warm({.linger = 1h});
  auto const theirs = warm();
  ours.acquire().release();
  EXPECT_TRUE(eventually([&] { return theirs.try_acquire().has_value(); }));
}

TEST_P(LockLocalTest, LockThatIsAskedForDuringTheSectionDoesNotLingerAfterIt) {
  auto const ours = warm({.linger = 1h});
  auto const theirs = warm();
  auto hold = std::make_optional(ours.acquire());
  Waiting other{theirs};
  scene_.await_waiters("orders", 1);
  hold.reset();
  EXPECT_TRUE(other.get());
}

TEST_P(LockLocalTest, LockThatIsHandedOverWhileOthersWaitDoesNotLinger) {
  auto const ours = warm();
  auto const keeps = warm({.linger = 1h});
  auto const theirs = warm();
  auto hold = std::make_optional(ours.acquire());
  Waiting next{keeps};
  scene_.await_waiters("orders", 1);
  Waiting last{theirs};
  scene_.await_waiters("orders", 2);
  hold.reset();
  auto its = next.get();
  ASSERT_TRUE(its);
  auto const token = scene_.value("orders");
  its->release();
  EXPECT_NE(scene_.value("orders"), token) << "it went on to the last one with the release";
  EXPECT_TRUE(last.get());
}

TEST_P(LockLocalTest, LockThatNobodyTakesAgainIsGivenBackWhenItHasLingered) {
  auto const lock = warm({.linger = 50ms});
  lock.acquire().release();
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders"); }));
}

TEST_P(LockLocalTest, LockThatLingersIsGivenBackAtTheEndOfTheClient) {
  {
    auto const lock = warm({.linger = 1h});
    lock.acquire().release();
    ASSERT_TRUE(scene_.exists("orders"));
  }
  EXPECT_FALSE(scene_.exists("orders"));
}

TEST_P(LockLocalTest, LockDoesNotLingerWhileNobodyWouldTellWhoWantsIt) {
  auto const lock = warm({.linger = 1h});
  lock.acquire().release();
  ASSERT_TRUE(scene_.exists("orders"));
  scene_.kill_connections();
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders"); }));
}

TEST_P(LockLocalTest, LeaseThatWasLostWhileItLingeredIsNotTakenAgain) {
  auto const lock = warm({.lease = 1s, .linger = 1h});
  lock.acquire().release();
  scene_.redis("SET", "orders", "a stranger", "PX", 60'000);
  EXPECT_TRUE(eventually([&] { return !lock.try_acquire(); })) << "known by the next renewal";
  EXPECT_EQ(scene_.value("orders"), "a stranger");
}

TEST(LockLingerArgumentsTest, LingerGoesNeitherWithoutRenewNorWithStrangersTurns) {
  Client const redis{"redis://localhost"};
  EXPECT_THROW((Lock{redis, "x", {.renew = false, .linger = 1ms}}), std::invalid_argument);
  EXPECT_THROW((Lock{redis, "x", {.linger = 1ms, .yield_to_foreign = 1}}), std::invalid_argument);
  EXPECT_THROW((Lock{redis, "x", {.linger = -1ms}}), std::invalid_argument);
  EXPECT_THROW((Lock{redis, "x", {.local_time = -1ms}}), std::invalid_argument);
}

}  // namespace
}  // namespace tandem
