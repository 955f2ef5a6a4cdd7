#include "tandem/recursive_lock.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "conformance/lease.hpp"
#include "conformance/mutual_exclusion.hpp"
#include "support/forked.hpp"
#include "support/limited_resource.hpp"
#include "support/lock_scene.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::long_enough;
using support::Waiting;
using ::testing::HasSubstr;

struct RecursiveLockSubject {
  using Inside = std::optional<Hold>;
  static constexpr bool is_recursive = true;
  static std::unique_ptr<RecursiveLock> make(Client const& client, std::string_view name) {
    return std::make_unique<RecursiveLock>(client, name);
  }
  static Inside try_enter(RecursiveLock& lock) { return lock.try_acquire(); }
  static Inside try_enter_for(RecursiveLock& lock, std::chrono::milliseconds longest) {
    return lock.try_acquire_for(longest);
  }
  static Inside enter(RecursiveLock& lock) { return lock.acquire(); }

  static Hold acquire(Client const& client, std::string_view name, LockOptions const& options) {
    return RecursiveLock{client, name, options}.acquire();
  }
  static bool taken(support::LockScene& scene, std::string_view name) {
    return scene.exists(std::string{name});
  }
};

}  // namespace

namespace conformance {
INSTANTIATE_TYPED_TEST_SUITE_P(RecursiveLock, MutualExclusion, RecursiveLockSubject);
INSTANTIATE_TYPED_TEST_SUITE_P(RecursiveLock, Leased, RecursiveLockSubject);
}  // namespace conformance

namespace {

std::string refusal_of(std::string_view name, LockOptions const& options = {}) {
  try {
    RecursiveLock const lock{Client{"unix:///no/such/socket"}, name, options};
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "accepted";
}

TEST(RecursiveLockArgumentsTest, WhatIsOutOfRangeIsRefusedSayingWhatWasGivenAndWhatIsAccepted) {
  EXPECT_THAT(refusal_of(""), HasSubstr("the name is empty"));
  EXPECT_THAT(refusal_of("orders", {.lease = 9ms}),
              HasSubstr("recursive lock \"orders\": the lease is 9 ms; accepted is 10 ms to 24 h"));
  EXPECT_THAT(refusal_of("orders", {.renew = false, .linger = 1ms}), HasSubstr("linger"));
  EXPECT_THAT(refusal_of("orders", {.local_time = -1ms}), HasSubstr("local_time is -1 ms"));
  EXPECT_THAT(refusal_of("orders", {.yield_for = 0ms}), HasSubstr("yield_for is 0 ms"));
  EXPECT_EQ(refusal_of("orders"), "accepted");
}

class RecursiveLockTest : public support::LockSceneTest {
 protected:
  [[nodiscard]] RecursiveLock make(LockOptions const& options) {
    return RecursiveLock{client_, "orders", options};
  }
  static Waiting waiting(RecursiveLock const& lock) {
    return Waiting{[lock](std::stop_token stop) { return lock.acquire(stop); }};
  }
  static std::vector<Hold> enter(RecursiveLock const& lock, int depth) {
    std::vector<Hold> out;
    for (int i = 0; i < depth; ++i) out.push_back(lock.acquire());
    return out;
  }

  Client const client_ = scene_.client("ours");
  // Nothing is renewed while commands are counted.
  RecursiveLock const ours_{client_, "orders", {.lease = 1h}};
  RecursiveLock const theirs_{scene_.client("theirs"), "orders", {.lease = 1h}};
};

INSTANTIATE_TEST_SUITE_P(Protocol, RecursiveLockTest, ::testing::Values(3, 2),
                         support::protocol_name);

// ---- To enter again ----

TEST_P(RecursiveLockTest, KnowsItsNameItsOwnerAndWhoWaits) {
  EXPECT_EQ(ours_.name(), "orders");
  EXPECT_FALSE(ours_.owner());
  auto const holds = enter(ours_, 2);
  EXPECT_EQ(theirs_.owner()->client_name, "ours");
  auto const later = waiting(theirs_);
  scene_.await_waiters("orders", 1);
  EXPECT_EQ(ours_.waiters().size(), 1U);
}

TEST_P(RecursiveLockTest, ThreadThatHoldsItEntersAgainAtOnceWithoutACommand) {
  auto const first = ours_.acquire();
  auto const later = waiting(theirs_);  // it does not wait behind others
  scene_.await_waiters("orders", 1);
  std::stop_source stop;
  stop.request_stop();
  RecursiveLock const copy = ours_;
  auto const another = make({.lease = 1h});
  scene_.reset_count();
  std::vector<std::optional<Hold>> holds;
  holds.push_back(ours_.try_acquire());
  holds.push_back(copy.try_acquire_for(1h));
  holds.push_back(another.try_acquire_until(Deadline::min()));
  holds.push_back(ours_.acquire());
  holds.push_back(another.acquire(stop.get_token()));
  for (auto const& each : holds) {
    ASSERT_TRUE(each);
    EXPECT_TRUE(each->held());
    EXPECT_EQ(each->fence(), first.fence());
    EXPECT_EQ(each->valid_until(), first.valid_until());
  }
  holds.clear();
  EXPECT_EQ(scene_.count().scripts, 0);
  EXPECT_TRUE(first.held());
}

TEST_P(RecursiveLockTest, LastOfItsHoldsGivesItBackInWhateverOrderTheyAreReleased) {
  std::vector<std::size_t> order{0, 1, 2};
  do {
    auto holds = enter(ours_, 3);
    scene_.reset_count();
    for (auto const at : {order[0], order[1]}) {
      EXPECT_EQ(holds[at].release(), Release::released);
      EXPECT_EQ(holds[at].release(), Release::released) << "the same again";
      EXPECT_FALSE(holds[at].held());
    }
    EXPECT_EQ(scene_.count().scripts, 0);
    EXPECT_TRUE(holds[order[2]].held());
    EXPECT_FALSE(theirs_.try_acquire());
    EXPECT_EQ(holds[order[2]].release(), Release::released);
    EXPECT_FALSE(scene_.exists("orders"));
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_P(RecursiveLockTest, HoldThatIsAcquiredOverItselfIsHeldOn) {
  auto hold = ours_.acquire();
  auto const fence = hold.fence();
  hold = ours_.acquire();
  EXPECT_TRUE(hold.held());
  EXPECT_EQ(hold.fence(), fence);
  hold.release();
  EXPECT_FALSE(scene_.exists("orders"));
}

TEST_P(RecursiveLockTest, NextHoldAfterTheLastReleaseHasAFenceOfItsOwn) {
  auto const fence = enter(ours_, 3).front().fence();
  EXPECT_GT(ours_.acquire().fence(), fence);
}

TEST_P(RecursiveLockTest, HoldsMayBeReleasedOnOtherThreads) {
  auto holds = enter(ours_, 8);
  support::on_threads(8, [&](int i) {
    EXPECT_EQ(holds[static_cast<std::size_t>(i)].release(), Release::released);
  });
  EXPECT_FALSE(scene_.exists("orders"));
}

TEST_P(RecursiveLockTest, OnlyTheThreadThatAcquiredEntersAgainWhereverItsHoldIs) {
  auto hold = std::make_optional(ours_.acquire());
  std::jthread{[&, moved = std::move(*hold)] {
    EXPECT_FALSE(ours_.try_acquire());
    hold = ours_.try_acquire();
  }}.join();
  EXPECT_FALSE(hold);
  EXPECT_TRUE(ours_.try_acquire());
  EXPECT_FALSE(scene_.exists("orders"));
}

// ---- Others ----

TEST_P(RecursiveLockTest, OtherThreadsWaitUntilTheLastHoldIsReleased) {
  auto holds = enter(ours_, 3);
  std::atomic<bool> leaving = false;
  std::atomic<pid_t> id = 0;
  std::jthread next{[&] {
    id = ::gettid();
    id.notify_one();
    auto const hold = ours_.try_acquire_for(long_enough);
    EXPECT_TRUE(hold && leaving);
  }};
  id.wait(0);
  ASSERT_TRUE(support::falls_asleep(id));
  EXPECT_TRUE(ours_.try_acquire()) << "who waits does not keep its holder out";
  for (; holds.size() > 1; holds.pop_back()) EXPECT_EQ(holds.back().release(), Release::released);
  ASSERT_TRUE(support::falls_asleep(id));
  leaving = true;
  holds.clear();
}

TEST_P(RecursiveLockTest, OtherClientsWaitUntilTheLastHoldIsReleased) {
  auto holds = enter(ours_, 3);
  auto next = waiting(theirs_);
  scene_.await_waiters("orders", 1);
  auto const fence = holds.front().fence();
  holds.pop_back();
  holds.pop_back();
  EXPECT_EQ(scene_.waiters("orders"), 1);
  holds.clear();
  auto const hold = next.get();
  ASSERT_TRUE(hold);
  EXPECT_GT(hold->fence(), fence);
}

TEST_P(RecursiveLockTest, ThreadDoesNotEnterWhatItHasPassedOn) {
  auto const lock = make({.lease = 1h, .local_passes = 1'000'000, .local_time = 1h});
  for (int i = 0; i < 20; ++i) {
    auto holds = enter(lock, 2);
    std::atomic<pid_t> id = 0;
    std::atomic<bool> tried = false;
    std::jthread next{[&] {
      id = ::gettid();
      id.notify_one();
      auto const hold = lock.try_acquire_for(long_enough);
      EXPECT_TRUE(hold);
      tried.wait(false);
    }};
    id.wait(0);
    ASSERT_TRUE(support::falls_asleep(id));
    holds.clear();
    EXPECT_FALSE(lock.try_acquire());
    tried = true;
    tried.notify_one();
  }
}

TEST_P(RecursiveLockTest, LingersAfterTheLastReleaseForAnyThread) {
  auto const lock = make({.lease = 1h, .linger = 1h});
  std::uint64_t fence = 0;
  // Not before its client would hear who else wants it.
  ASSERT_TRUE(eventually([&] {
    fence = enter(lock, 3).front().fence();
    return scene_.exists("orders");
  }));
  scene_.reset_count();
  std::jthread{[&] {
    auto const holds = enter(lock, 3);
    EXPECT_GT(holds.front().fence(), fence);
    EXPECT_EQ(holds.back().fence(), holds.front().fence());
  }}.join();
  EXPECT_EQ(scene_.count().scripts, 0);
  EXPECT_TRUE(waiting(theirs_).get());
}

TEST_P(RecursiveLockTest, LockOfTheNameExcludesItAlsoWithinOneThread) {
  Lock const lock{client_, "orders", {.lease = 1h}};
  {
    auto const hold = ours_.acquire();
    EXPECT_FALSE(lock.try_acquire());
  }
  auto const hold = lock.acquire();
  EXPECT_FALSE(ours_.try_acquire());
  EXPECT_THROW((void)make({.lease = 1h, .deadlock_after = 10ms}).acquire(), Deadlock);
}

TEST_P(RecursiveLockTest, WithOtherOptionsOrAnotherClientAThreadIsSomebodyElse) {
  auto const hold = ours_.acquire();
  EXPECT_FALSE(theirs_.try_acquire());
  EXPECT_FALSE(make({.lease = 2h}).try_acquire());
}

// ---- When it is lost ----

TEST_P(RecursiveLockTest, LostHoldIsNotEnteredAgainAndItsReleasesLeaveTheNewOneAlone) {
  auto lost = enter(ours_, 2);
  scene_.redis("DEL", "orders");
  EXPECT_THROW(lost[1].commit([](Transaction& tx) { tx.queue("SET", "a", 1); }), LockLost);
  auto const again = enter(ours_, 2);
  EXPECT_GT(again[0].fence(), lost[0].fence());
  EXPECT_EQ(again[1].fence(), again[0].fence());
  for (auto& each : lost) {
    EXPECT_FALSE(each.held());
    EXPECT_EQ(each.release(), Release::taken_over);
  }
  EXPECT_TRUE(again[0].held() && again[1].held());
  EXPECT_TRUE(ours_.try_acquire());
  EXPECT_FALSE(theirs_.try_acquire());
}

TEST_P(RecursiveLockTest, EachReleaseOfALostHoldSaysSo) {
  auto holds = enter(ours_, 3);
  scene_.redis("DEL", "orders");
  EXPECT_THROW(holds[0].commit([](Transaction& tx) { tx.queue("SET", "a", 1); }), LockLost);
  for (auto& each : holds) EXPECT_EQ(each.release(), Release::expired);
  EXPECT_TRUE(theirs_.try_acquire());
  EXPECT_TRUE(ours_.try_acquire());
}

TEST_P(RecursiveLockTest, LossIsToldToAllItsHolds) {
  auto const lock = make({.lease = 300ms});
  auto const holds = enter(lock, 3);
  std::vector<std::stop_token> stops;
  for (auto const& each : holds) stops.push_back(each.stop_token());
  scene_.redis("SET", "orders", "a stranger");
  for (auto const& stop : stops) {
    EXPECT_TRUE(eventually([&] { return stop.stop_requested(); }));
  }
}

TEST_P(RecursiveLockTest, LossThatAReleaseFindsFirstIsToldToTheOthers) {
  auto const lock = make({.lease = 200ms, .renew = false});
  auto holds = enter(lock, 2);
  auto const stop = holds[0].stop_token();
  // The thread that would tell them is kept.
  auto const other = RecursiveLock{client_, "bills", {.lease = 10ms, .renew = false}}.acquire();
  std::atomic<bool> kept = false, go_on = false;
  {
    std::stop_callback const keep{other.stop_token(), [&] {
                                    kept = true;
                                    go_on.wait(false);
                                  }};
    EXPECT_TRUE(eventually([&] { return kept.load(); }));
    EXPECT_TRUE(eventually([&] { return !holds[1].held(); }));
    holds[1].release();
    EXPECT_TRUE(stop.stop_requested());
    go_on = true;
    go_on.notify_one();
  }
}

TEST_P(RecursiveLockTest, EachOfItsHoldsCommitsUntilItIsReleased) {
  auto holds = enter(ours_, 2);
  auto const add = [&](int i) {
    holds[static_cast<std::size_t>(i)].commit([](Transaction& tx) { tx.queue("INCR", "n"); });
  };
  add(0);
  add(1);
  add(0);
  holds[0].release();
  EXPECT_THROW(add(0), LockLost);
  add(1);
  EXPECT_EQ(scene_.value("n"), "4");
}

// ---- Circles ----

TEST_P(RecursiveLockTest, CircleThroughItIsFoundAndEnteringAgainIsNone) {
  for (bool const in_one_client : {true, false}) {
    std::atomic<int> seated = 0, told = 0;
    support::on_threads(2, [&](int i) {
      auto const client = in_one_client ? client_ : scene_.client();
      LockOptions const soon{.deadlock_after = 10ms};
      RecursiveLock const own{client, std::to_string(i), soon};
      RecursiveLock const next{client, std::to_string(1 - i), soon};
      auto const holds = enter(own, 3);
      ++seated;
      while (seated < 2) std::this_thread::yield();
      try {
        auto const both = next.acquire();
      } catch (Deadlock const& deadlock) {
        EXPECT_THAT(deadlock.what(), HasSubstr("holds \"" + own.name() + "\" and waits"));
        EXPECT_TRUE(own.try_acquire()) << "it has lost nothing";
        ++told;
      }
    });
    EXPECT_EQ(told, 1);
  }
}

// ---- Forks and many threads ----

TEST_P(RecursiveLockTest, ChildOfAForkIsNotLetInToWhatItsParentHolds) {
  auto holds = enter(ours_, 2);
  EXPECT_EQ(support::in_child([&] {
              std::string out = ours_.try_acquire() ? "let in" : "refused";
              for (auto& each : holds) {
                out += each.held() || each.release() != Release::unknown ? ", held" : ", nothing";
              }
              return out + (ours_.try_acquire_for(10ms) ? ", let in" : ", refused");
            }),
            "refused, nothing, nothing, refused");
  EXPECT_TRUE(ours_.try_acquire());
  holds.pop_back();
  EXPECT_TRUE(scene_.exists("orders"));
  holds.clear();
  EXPECT_FALSE(scene_.exists("orders"));
}

TEST_P(RecursiveLockTest, ThreadsThatEnterToRandomDepthsAreInsideOneAtATime) {
  for (auto const linger : {0ms, 1000ms}) {
    auto const lock = make({.linger = linger});
    support::LimitedResource resource;
    std::atomic<std::uint64_t> last = 0;
    support::on_threads(8, [&](int i) {
      std::minstd_rand random{static_cast<unsigned>(i + 1)};
      for (int n = 0; n < 60; ++n) {
        std::vector<Hold> holds;
        for (auto depth = 1 + random() % 4; depth > 0; --depth) {
          auto hold = lock.try_acquire_for(long_enough);
          ASSERT_TRUE(hold) << "at depth " << holds.size();
          EXPECT_TRUE(holds.empty() || hold->fence() == holds.front().fence());
          holds.push_back(std::move(*hold));
        }
        EXPECT_GT(holds.front().fence(), last.exchange(holds.front().fence()));
        resource.use(0us);
        std::shuffle(holds.begin(), holds.end(), random);
        for (auto& each : holds) EXPECT_EQ(each.release(), Release::released);
      }
    });
    EXPECT_EQ(resource.collisions(), 0);
    EXPECT_EQ(resource.uses(), 8 * 60);
  }
}

}  // namespace
}  // namespace tandem
