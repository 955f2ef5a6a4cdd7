#include "tandem/shared_lock.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/lock.hpp>
#include <tandem/shared_map.hpp>

#include "conformance/lease.hpp"
#include "conformance/mutual_exclusion.hpp"
#include "support/lock_scene.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::long_enough;
using support::Waiting;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

static_assert(!std::is_constructible_v<SharedLock, std::string_view, Client>,
              "client first, then the name");
static_assert(!std::is_invocable_v<decltype(&SharedLock::downgrade), SharedLock, Hold&>,
              "the writer's hold is over then");

SharedLockOptions with_lease(LockOptions const& options) {
  return {.lease = options.lease, .renew = options.renew};
}

bool is_held(support::LockScene& scene, std::string_view name) {
  return !SharedLock{scene.client(), name}.holders().empty();
}

/// A writer, who is alone.
struct WriterSubject {
  using Inside = std::optional<Hold>;
  static std::unique_ptr<SharedLock> make(Client const& client, std::string_view name) {
    return std::make_unique<SharedLock>(client, name);
  }
  static Inside try_enter(SharedLock& lock) { return lock.try_acquire(); }
  static Inside try_enter_for(SharedLock& lock, std::chrono::milliseconds longest) {
    return lock.try_acquire_for(longest);
  }
  static Inside enter(SharedLock& lock) { return lock.acquire(); }

  static Hold acquire(Client const& client, std::string_view name, LockOptions const& options) {
    return SharedLock{client, name, with_lease(options)}.acquire();
  }
  static bool taken(support::LockScene& scene, std::string_view name) {
    return is_held(scene, name);
  }
};

struct ReaderSubject {
  static Hold acquire(Client const& client, std::string_view name, LockOptions const& options) {
    return SharedLock{client, name, with_lease(options)}.acquire_shared();
  }
  static bool taken(support::LockScene& scene, std::string_view name) {
    return is_held(scene, name);
  }
};

}  // namespace

namespace conformance {
INSTANTIATE_TYPED_TEST_SUITE_P(Writer, MutualExclusion, WriterSubject);
INSTANTIATE_TYPED_TEST_SUITE_P(Writer, Leased, WriterSubject);
INSTANTIATE_TYPED_TEST_SUITE_P(Reader, Leased, ReaderSubject);
}  // namespace conformance

namespace {

// ---- Its arguments ----

std::string refusal_of(std::string_view name, SharedLockOptions const& options = {}) {
  try {
    SharedLock const lock{Client{"unix:///no/such/socket"}, name, options};
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "accepted";
}

TEST(SharedLockArgumentsTest, WhatIsOutOfRangeIsRefusedSayingWhatWasGivenAndWhatIsAccepted) {
  EXPECT_THAT(refusal_of(""), HasSubstr("the name is empty"));
  EXPECT_THAT(refusal_of("catalog", {.lease = 9ms}), HasSubstr("the lease is 9 ms"));
  EXPECT_THAT(refusal_of("catalog", {.writers_ahead = -1ms}),
              HasSubstr("shared lock \"catalog\": writers_ahead is -1 ms; accepted is 0 to 1 h"));
  EXPECT_THAT(refusal_of("catalog", {.deadlock_after = 1ms}), HasSubstr("deadlock_after is 1 ms"));
  EXPECT_EQ(refusal_of("catalog", {.writers_ahead = 0ms, .deadlock_after = 0ms}), "accepted");
}

// ---- Readers and writers ----

class SharedLockTest : public support::LockSceneTest {
 protected:
  [[nodiscard]] SharedLock make(SharedLockOptions const& options = {}) {
    return SharedLock{scene_.client(), "catalog", options};
  }
  static Waiting reading(SharedLock const& lock) {
    return Waiting{[lock](std::stop_token stop) { return lock.acquire_shared(stop); }};
  }
  static Waiting writing(SharedLock const& lock) {
    return Waiting{[lock](std::stop_token stop) { return lock.acquire(stop); }};
  }

  SharedLock const ours_{scene_.client("ours"), "catalog"};
  SharedLock const theirs_{scene_.client("theirs"), "catalog"};
};

INSTANTIATE_TEST_SUITE_P(Protocol, SharedLockTest, ::testing::Values(3, 2), support::protocol_name);

TEST_P(SharedLockTest, ReadersHoldTogetherEachWithItsOwnLeaseAndFence) {
  auto const one = ours_.acquire_shared();
  auto const other = theirs_.acquire_shared();
  EXPECT_TRUE(one.held() && other.held());
  EXPECT_LT(one.fence(), other.fence());
  EXPECT_THAT(ours_.holders(), SizeIs(2));
}

TEST_P(SharedLockTest, WriterExcludesReadersAndReadersAWriter) {
  {
    auto const reader = ours_.acquire_shared();
    EXPECT_FALSE(theirs_.try_acquire());
  }
  auto const writer = ours_.acquire();
  EXPECT_FALSE(theirs_.try_acquire_shared());
  EXPECT_FALSE(theirs_.try_acquire());
}

TEST_P(SharedLockTest, WriterWaitsForTheLastOfTheReaders) {
  auto one = std::optional{ours_.acquire_shared()};
  auto other = std::optional{theirs_.acquire_shared()};
  auto const third = make();
  auto later = writing(third);
  scene_.await_waiters("catalog", 1);
  one.reset();
  EXPECT_FALSE(later.over(50ms));
  other.reset();
  EXPECT_TRUE(later.get());
}

TEST_P(SharedLockTest, ReadersWhoWaitAreLetInTogether) {
  auto writer = std::optional{ours_.acquire()};
  auto one = reading(theirs_);
  auto other = reading(make());
  auto third = reading(make());
  scene_.await_waiters("catalog", 3);
  writer.reset();
  std::optional<Hold> const holds[] = {one.get(), other.get(), third.get()};
  EXPECT_TRUE(holds[0] && holds[1] && holds[2]);
  EXPECT_THAT(ours_.holders(), SizeIs(3));
}

TEST_P(SharedLockTest, ReaderWaitsBehindAWriterThatWaits) {
  auto reader = std::optional{ours_.acquire_shared()};
  auto writer = writing(theirs_);
  scene_.await_waiters("catalog", 1);
  EXPECT_FALSE(make().try_acquire_shared());
  auto second = reading(make());
  scene_.await_waiters("catalog", 2);
  reader.reset();
  auto hold = writer.get();
  ASSERT_TRUE(hold);
  EXPECT_FALSE(second.over(50ms));
  hold.reset();
  EXPECT_TRUE(second.get());
}

TEST_P(SharedLockTest, WriterGoesBeforeReadersThatHaveJustCome) {
  SharedLockOptions const options{.writers_ahead = 1h};
  auto first = std::optional{make(options).acquire()};
  auto reader = reading(make(options));
  scene_.await_waiters("catalog", 1);
  auto writer = writing(make(options));
  scene_.await_waiters("catalog", 2);
  first.reset();
  auto hold = writer.get();
  ASSERT_TRUE(hold);
  EXPECT_FALSE(reader.over(50ms));
  hold.reset();
  EXPECT_TRUE(reader.get());
}

TEST_P(SharedLockTest, ReaderThatHasWaitedForLongerGoesBeforeAWriter) {
  SharedLockOptions const options{.writers_ahead = 0ms};
  auto first = std::optional{make(options).acquire()};
  auto reader = reading(make(options));
  scene_.await_waiters("catalog", 1);
  auto writer = writing(make(options));
  scene_.await_waiters("catalog", 2);
  first.reset();
  auto hold = reader.get();
  ASSERT_TRUE(hold);
  EXPECT_FALSE(writer.over(50ms));
  hold.reset();
  EXPECT_TRUE(writer.get());
}

TEST_P(SharedLockTest, WriterThatLeavesTheQueueLetsTheReadersBehindItIn) {
  auto const first = ours_.acquire_shared();
  auto writer = writing(theirs_);
  scene_.await_waiters("catalog", 1);
  auto reader = reading(make());
  scene_.await_waiters("catalog", 2);
  writer.stop();
  EXPECT_FALSE(writer.get());
  EXPECT_TRUE(reader.get());
}

TEST_P(SharedLockTest, WaiterWhoseTimeIsOverLeavesTheQueueInTheSameCall) {
  auto const writer = ours_.acquire();
  EXPECT_FALSE(theirs_.try_acquire_shared_for(20ms));
  EXPECT_EQ(scene_.waiters("catalog"), 0);
  EXPECT_FALSE(theirs_.try_acquire_for(20ms));
  EXPECT_EQ(scene_.waiters("catalog"), 0);
}

TEST_P(SharedLockTest, DeadWaiterIsPassedOver) {
  auto first = std::optional{ours_.acquire()};
  scene_.redis("ZADD", "{catalog}:waiters", 1, "dead/1/1/-/-/host/");
  auto later = reading(theirs_);
  scene_.await_waiters("catalog", 2);
  first.reset();
  EXPECT_TRUE(later.get());
}

TEST_P(SharedLockTest, LeaseThatEndsLetsTheNextIn) {
  auto const lost = make({.lease = 100ms, .renew = false}).acquire_shared();
  EXPECT_TRUE(ours_.try_acquire_for(long_enough));
  EXPECT_FALSE(lost.held());
}

TEST_P(SharedLockTest, ReleaseTellsWhatItFound) {
  EXPECT_EQ(ours_.acquire_shared().release(), Release::released);
  EXPECT_EQ(ours_.acquire().release(), Release::released);

  auto lost = make({.lease = 50ms, .renew = false}).acquire_shared();
  ASSERT_TRUE(eventually([&] { return ours_.holders().empty(); }));
  EXPECT_EQ(lost.release(), Release::expired);

  auto robbed = make({.lease = 50ms, .renew = false}).acquire_shared();
  auto const writer = ours_.try_acquire_for(long_enough);
  ASSERT_TRUE(writer);
  EXPECT_EQ(robbed.release(), Release::taken_over);
}

TEST_P(SharedLockTest, ReleaseAfterTheKeyWasDeletedSaysExpired) {
  auto hold = ours_.acquire_shared();
  scene_.redis("DEL", "catalog");
  EXPECT_EQ(hold.release(), Release::expired);
}

TEST_P(SharedLockTest, NothingButTheStateStaysBehind) {
  ours_.acquire_shared().release();
  ours_.acquire().release();
  EXPECT_THAT(scene_.redis("KEYS", "*").as<std::vector<std::string>>(),
              ElementsAre("{catalog}:state"));
  EXPECT_THAT(scene_.redis("HKEYS", "{catalog}:state").as<std::vector<std::string>>(),
              ElementsAre("fence"));
}

TEST_P(SharedLockTest, CountersOfOneCommandEach) {
  ours_.acquire_shared().release();  // it is connected, and the server knows the scripts
  ours_.acquire().release();
  scene_.await_listening(1);
  scene_.reset_count();
  ours_.acquire_shared().release();
  ours_.acquire().release();
  EXPECT_EQ(scene_.count().all, 4);
}

TEST_P(SharedLockTest, LockOfTheSameNameIsAnotherKindAndSaysSo) {
  auto const reader = ours_.acquire_shared();
  Lock const other{scene_.client(), "catalog"};
  EXPECT_THROW((void)other.try_acquire(), ServerError);
}

TEST_P(SharedLockTest, KeyOfAnotherTypeIsRefusedWithItsCode) {
  scene_.redis("SET", "catalog", "text");
  try {
    (void)ours_.try_acquire_shared();
    ADD_FAILURE() << "held";
  } catch (ServerError const& error) {
    EXPECT_EQ(error.code(), "WRONGTYPE");
  }
}

// ---- Up and down ----

TEST_P(SharedLockTest, UpgradeIsRefusedAtOnceAndSaysWhy) {
  auto const reader = ours_.acquire_shared();
  scene_.reset_count();
  for (auto const& attempt : std::vector<std::function<void()>>{
           [&] { (void)ours_.acquire(); }, [&] { (void)ours_.try_acquire(); },
           [&] { (void)ours_.try_acquire_for(1h); }}) {
    try {
      attempt();
      ADD_FAILURE() << "not refused";
    } catch (Deadlock const& deadlock) {
      EXPECT_THAT(deadlock.what(), HasSubstr("this thread holds it shared"));
      EXPECT_THAT(deadlock.what(), HasSubstr("\"catalog\""));
    }
  }
  EXPECT_EQ(scene_.count().scripts, 0);
  EXPECT_TRUE(reader.held());
}

TEST_P(SharedLockTest, UpgradeIsNotRefusedToAnotherThread) {
  auto const client = scene_.client();
  SharedLock const lock{client, "catalog"};
  auto reader = std::optional{lock.acquire_shared()};
  auto writer = writing(lock);
  scene_.await_waiters("catalog", 1);
  reader.reset();
  EXPECT_TRUE(writer.get());
}

TEST_P(SharedLockTest, DowngradeLetsReadersInAndNoWriter) {
  auto writer = ours_.acquire();
  auto const fence = writer.fence();
  SharedLockOptions const in_order{.writers_ahead = 0ms};
  auto reader = reading(make(in_order));
  scene_.await_waiters("catalog", 1);
  auto second_writer = writing(make(in_order));
  scene_.await_waiters("catalog", 2);

  auto mine = std::optional{ours_.downgrade(std::move(writer))};
  EXPECT_TRUE(mine->held());
  EXPECT_GT(mine->fence(), fence);
  auto theirs = reader.get();
  ASSERT_TRUE(theirs);
  EXPECT_FALSE(second_writer.over(50ms));
  theirs.reset();
  EXPECT_EQ(mine->release(), Release::released);
  EXPECT_TRUE(second_writer.get());
}

TEST_P(SharedLockTest, DowngradedHoldIsRenewed) {
  auto const lock = make({.lease = 300ms});
  auto const mine = lock.downgrade(lock.acquire());
  auto const first = mine.valid_until();
  EXPECT_TRUE(eventually([&] { return mine.valid_until() > first; }));
}

TEST_P(SharedLockTest, DowngradeOfALostHoldThrowsAndHoldsNothing) {
  auto const lock = make({.lease = 50ms, .renew = false});
  auto writer = lock.acquire();
  ASSERT_TRUE(eventually([&] { return ours_.holders().empty(); }));
  EXPECT_THROW((void)lock.downgrade(std::move(writer)), LockLost);
  EXPECT_THAT(ours_.holders(), IsEmpty());
  EXPECT_TRUE(ours_.try_acquire());
}

TEST_P(SharedLockTest, DowngradeOfAHoldWhoseKeyIsGoneThrows) {
  auto writer = ours_.acquire();
  scene_.redis("DEL", "catalog");
  EXPECT_THROW((void)ours_.downgrade(std::move(writer)), LockLost);
}

TEST_P(SharedLockTest, DowngradeOfWhatIsNoWritersHoldIsRefusedAndLeavesIt) {
  auto reader = ours_.acquire_shared();
  EXPECT_THROW((void)ours_.downgrade(std::move(reader)), std::invalid_argument);
  EXPECT_TRUE(reader.held());
  auto other = SharedLock{scene_.client(), "another"}.acquire();
  EXPECT_THROW((void)ours_.downgrade(std::move(other)), std::invalid_argument);
  EXPECT_TRUE(other.held());
}

// ---- Commit ----

TEST_P(SharedLockTest, CommitIsAppliedByWhoHoldsAndRefusedToWhoHoldsNoMore) {
  SharedMap<std::string, int> stock{scene_.client(), "stock"};
  auto const reader = ours_.acquire_shared();
  stock.set("apple", 3, reader);
  EXPECT_EQ(stock.get("apple"), 3);
  scene_.redis("DEL", "catalog");
  EXPECT_THROW(stock.set("apple", 4, reader), LockLost);
  EXPECT_EQ(stock.get("apple"), 3);
}

// ---- Who ----

TEST_P(SharedLockTest, TellsWhoHoldsAndWhoWaits) {
  auto const one = ours_.acquire_shared();
  auto const other = theirs_.acquire_shared();
  auto writer = writing(make());
  scene_.await_waiters("catalog", 1);
  auto const holders = make().holders();
  ASSERT_THAT(holders, SizeIs(2));
  EXPECT_EQ(holders[0].client_name, "ours");
  EXPECT_EQ(holders[1].client_name, "theirs");
  EXPECT_EQ(holders[0].pid, ::getpid());
  EXPECT_EQ(holders[0].waiters, 1U);
  EXPECT_LE(holders[0].lease_left, 10s);
  EXPECT_LT(std::chrono::system_clock::now() - *holders[0].since, 1min);
  EXPECT_THAT(make().waiters(), SizeIs(1));
  EXPECT_THAT(make().holders(1), SizeIs(1));
}

TEST_P(SharedLockTest, IsListedAmongTheLocksThatAreHeld) {
  auto const one = ours_.acquire_shared();
  auto const other = theirs_.acquire_shared();
  Lock const orders{scene_.client(), "orders"};
  auto const hold = orders.acquire();
  scene_.redis("ZADD", "a ranking", 1e18, "somebody");
  std::vector<std::string> names;
  for (auto const& each : locks(scene_.client())) names.push_back(each.name);
  EXPECT_THAT(names, ElementsAre("catalog", "catalog", "orders"));
}

// ---- Many ----

TEST_P(SharedLockTest, ManyThreadsOfManyClientsNeverMeetAWriter) {
  std::atomic<int> readers = 0, writers = 0;
  std::atomic<int> violations = 0, together = 0;
  support::on_threads(8, [&](int i) {
    SharedLock const lock{scene_.client(), "catalog", {.writers_ahead = 1ms}};
    for (int round = 0; round < 40; ++round) {
      if ((i + round) % 4 == 0) {
        auto const hold = lock.acquire();
        if (++writers != 1 || readers != 0) ++violations;
        --writers;
      } else {
        auto const hold = lock.acquire_shared();
        if (++readers > 1) ++together;
        if (writers != 0) ++violations;
        std::this_thread::yield();
        --readers;
      }
    }
  });
  EXPECT_EQ(violations, 0);
  EXPECT_GT(together, 0);
}

}  // namespace
}  // namespace tandem
