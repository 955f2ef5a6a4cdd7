#include "tandem/mutex.hpp"

#include <chrono>
#include <concepts>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/lock.hpp>

#include "conformance/mutual_exclusion.hpp"
#include "support/forked.hpp"
#include "support/lock_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::LockSceneTest;
using support::long_enough;
using support::stall;
using support::time_of;
using ::testing::IsEmpty;

template <class M>
concept TimedLockable = requires(M& mutex, std::chrono::milliseconds wait,
                                 std::chrono::system_clock::time_point time) {
  { mutex.lock() } -> std::same_as<void>;
  { mutex.try_lock() } -> std::same_as<bool>;
  { mutex.unlock() }
  noexcept->std::same_as<void>;
  { mutex.try_lock_for(wait) } -> std::same_as<bool>;
  { mutex.try_lock_until(time) } -> std::same_as<bool>;
};
static_assert(TimedLockable<Mutex>);
static_assert(!std::is_copy_constructible_v<Mutex> && !std::is_move_constructible_v<Mutex>,
              "as any mutex");

struct MutexSubject {
  using Inside = std::unique_lock<Mutex>;
  static std::unique_ptr<Mutex> make(Client const& client, std::string_view name) {
    return std::make_unique<Mutex>(client, name);
  }
  static Inside try_enter(Mutex& mutex) { return Inside{mutex, std::try_to_lock}; }
  static Inside try_enter_for(Mutex& mutex, std::chrono::milliseconds longest) {
    return Inside{mutex, longest};
  }
  static Inside enter(Mutex& mutex) { return Inside{mutex}; }
};

}  // namespace

namespace conformance {
INSTANTIATE_TYPED_TEST_SUITE_P(Mutex, MutualExclusion, MutexSubject);
}

namespace {

class MutexTest : public LockSceneTest {
 protected:
  Mutex mutex_{scene_.client(), "orders"};
};

INSTANTIATE_TEST_SUITE_P(Protocol, MutexTest, ::testing::Values(3, 2), support::protocol_name);

TEST(MutexArgumentsTest, AreRefusedAsTheLocksAre) {
  Client const nowhere{"unix:///no/such/socket"};
  EXPECT_THROW((Mutex{nowhere, ""}), std::invalid_argument);
  EXPECT_THROW((Mutex{nowhere, "orders", {.lease = 0ms}}), std::invalid_argument);
}

TEST_P(MutexTest, IsTheLockOfTheSameName) {
  Lock const lock{scene_.client(), "orders"};
  std::unique_lock guard{mutex_};
  EXPECT_FALSE(lock.try_acquire());
  guard.unlock();
  auto const hold = lock.try_acquire();
  EXPECT_TRUE(hold);
  EXPECT_FALSE(mutex_.try_lock());
}

TEST_P(MutexTest, WorksWithTheGuardsOfTheStandardLibrary) {
  {
    std::scoped_lock const guard{mutex_};
    EXPECT_TRUE(scene_.exists("orders"));
  }
  EXPECT_FALSE(scene_.exists("orders"));
  {
    std::lock_guard const guard{mutex_};
    EXPECT_TRUE(scene_.exists("orders"));
  }
  EXPECT_FALSE(scene_.exists("orders"));
  std::unique_lock late{mutex_, std::defer_lock};
  EXPECT_TRUE(late.try_lock());
  EXPECT_TRUE(scene_.exists("orders"));
}

TEST_P(MutexTest, TwoOfThemAreLockedTogetherInAnyOrder) {
  Mutex bills{scene_.client(), "bills"};
  std::jthread const other{[&] {
    for (int i = 0; i < 10; ++i) std::scoped_lock const both{bills, mutex_};
  }};
  for (int i = 0; i < 10; ++i) std::scoped_lock const both{mutex_, bills};
}

TEST_P(MutexTest, WaitEndsAtItsDeadlineWhoeverHolds) {
  Mutex other{scene_.client(), "orders"};
  for (auto* const holder : {&mutex_, &other}) {
    std::scoped_lock const guard{*holder};
    // On a thread of its own: one that holds a mutex may not try it again, says the standard.
    auto const took = std::async(std::launch::async, [&] {
                        return time_of([&] { EXPECT_FALSE((std::unique_lock{mutex_, 100ms})); });
                      }).get();
    EXPECT_GE(took, 100ms);
    EXPECT_LE(took, 100ms + stall);
    EXPECT_FALSE(std::async(std::launch::async, [&] {
                   return mutex_.try_lock_until(std::chrono::system_clock::now() + 20ms);
                 }).get());
  }
}

TEST_P(MutexTest, TimesOfAnyLengthAreAccepted) {
  for (auto const wait :
       {std::chrono::hours::min(), std::chrono::hours{0}, std::chrono::hours::max()}) {
    ASSERT_TRUE(mutex_.try_lock_for(wait));
    mutex_.unlock();
  }
  ASSERT_TRUE(mutex_.try_lock_until(Deadline::max()));
  mutex_.unlock();
  ASSERT_TRUE(mutex_.try_lock_until(std::chrono::system_clock::time_point::max()));
  mutex_.unlock();
  ASSERT_TRUE(mutex_.try_lock_until(std::chrono::system_clock::time_point::min()));
  mutex_.unlock();
}

TEST_P(MutexTest, MayBeUnlockedByAnotherThread) {
  mutex_.lock();
  std::async(std::launch::async, [&] { mutex_.unlock(); }).get();
  EXPECT_FALSE(scene_.exists("orders"));
  EXPECT_TRUE(mutex_.try_lock());
  mutex_.unlock();
}

TEST_P(MutexTest, LossOfItsHoldIsReportedAtUnlock) {
  mutex_.lock();
  scene_.redis("DEL", "orders");
  EXPECT_THAT(scene_.reports.texts(), IsEmpty());
  mutex_.unlock();
  EXPECT_TRUE(scene_.reports.have("\"orders\" was lost before its release: its lease ended"));
  EXPECT_TRUE(mutex_.try_lock());
  mutex_.unlock();
}

TEST_P(MutexTest, ThreadsThatShareItExcludeOneAnotherAlsoWhileItsHoldIsLost) {
  mutex_.lock();
  scene_.redis("DEL", "orders");
  EXPECT_FALSE(std::async(std::launch::async, [&] { return mutex_.try_lock(); }).get());
  mutex_.unlock();
}

TEST_P(MutexTest, IsFreeAgainWhenLockingFailed) {
  scene_.redis("LPUSH", "orders", 1);
  EXPECT_THROW(mutex_.lock(), ServerError);
  EXPECT_THROW((void)mutex_.try_lock(), ServerError);
  EXPECT_THROW((void)mutex_.try_lock_for(100ms), ServerError);
  scene_.redis("DEL", "orders");
  std::scoped_lock const guard{mutex_};
  EXPECT_TRUE(scene_.exists("orders"));
}

TEST_P(MutexTest, ManyThreadsOfItWaitAsOne) {
  Mutex holder{scene_.client(), "orders"};
  std::unique_lock guard{holder};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { EXPECT_TRUE((std::unique_lock{mutex_, long_enough})); });
  }
  scene_.await_waiters("orders", 1);
  std::this_thread::sleep_for(50ms);  // for the other three to come, should they
  EXPECT_EQ(scene_.waiters("orders"), 1);
  guard.unlock();
}

TEST_P(MutexTest, ChildForkedWhileAThreadOfItsParentIsInsideWaitsForTheParent) {
  std::promise<void> leave;
  std::promise<void> inside;
  std::jthread const other{[&] {
    std::scoped_lock const guard{mutex_};
    inside.set_value();
    leave.get_future().wait();
  }};
  inside.get_future().wait();
  support::Forked child{[&] {
    std::string const first = mutex_.try_lock() ? "in" : "out";
    scene_.redis("SET", "asked", 1);
    return first + (mutex_.try_lock_for(long_enough) ? ", in" : ", out");
  }};
  EXPECT_TRUE(eventually([&] { return scene_.exists("asked"); }));
  leave.set_value();
  EXPECT_EQ(child.told(), "out, in");
}

TEST_P(MutexTest, ChildForkedInsideGoesOnInsideWithoutAHoldUntilItLeaves) {
  std::unique_lock guard{mutex_};
  EXPECT_EQ(support::in_child([&] {
              auto const enter = [&] {
                return std::async([&] { return bool{std::unique_lock{mutex_, 20ms}}; }).get();
              };
              std::string const inside = enter() ? "in" : "out";
              guard.unlock();
              return inside + (scene_.exists("orders") ? ", still the parent's" : ", freed");
            }),
            "out, still the parent's");
  guard.unlock();
  EXPECT_TRUE(mutex_.try_lock());
  mutex_.unlock();
}

}  // namespace
}  // namespace tandem
