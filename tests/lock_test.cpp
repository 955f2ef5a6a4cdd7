#include "tandem/lock.hpp"

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "conformance/mutual_exclusion.hpp"
#include "locking/times.hpp"
#include "support/lock_scene.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::LockSceneTest;
using support::long_enough;
using support::stall;
using support::time_of;
using support::Waiting;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

static_assert(!std::is_constructible_v<Lock, std::string_view, Client>,
              "client first, then the name");
static_assert(std::is_nothrow_move_constructible_v<Lock> && std::is_copy_constructible_v<Lock>,
              "a name, not a proof");

struct LockSubject {
  using Inside = std::optional<Hold>;
  static std::unique_ptr<Lock> make(Client const& client, std::string_view name) {
    return std::make_unique<Lock>(client, name);
  }
  static Inside try_enter(Lock& lock) { return lock.try_acquire(); }
  static Inside try_enter_for(Lock& lock, std::chrono::milliseconds longest) {
    return lock.try_acquire_for(longest);
  }
  static Inside enter(Lock& lock) { return lock.acquire(); }
};

}  // namespace

namespace conformance {
INSTANTIATE_TYPED_TEST_SUITE_P(Lock, MutualExclusion, LockSubject);
}

namespace {

// ---- Its arguments ----

/// A client whose server does not exist: whatever comes out came out before any I/O.
Client nowhere() { return Client{"unix:///no/such/socket"}; }

std::string refusal_of(std::string_view name, LockOptions const& options = {}) {
  try {
    Lock const lock{nowhere(), name, options};
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "accepted";
}

TEST(LockArgumentsTest, EmptyNameIsRefused) {
  EXPECT_THAT(refusal_of(""), HasSubstr("the name is empty"));
}

TEST(LockArgumentsTest, LeaseOutOfRangeIsRefusedSayingWhatWasGivenAndWhatIsAccepted) {
  for (auto const lease :
       {0ms, -1ms, 9ms, std::chrono::milliseconds{24h} + 1ms, std::chrono::milliseconds::max()}) {
    auto const refusal = refusal_of("orders", {.lease = lease});
    EXPECT_THAT(refusal, HasSubstr("\"orders\""));
    EXPECT_THAT(refusal, HasSubstr("the lease is " + std::to_string(lease.count()) + " ms"));
    EXPECT_THAT(refusal, HasSubstr("accepted is 10 ms to 24 h"));
  }
}

TEST(LockArgumentsTest, LeasesFromTenMillisecondsToADayAreAccepted) {
  EXPECT_EQ(refusal_of("orders", {.lease = 10ms}), "accepted");
  EXPECT_EQ(refusal_of("orders", {.lease = 24h}), "accepted");
}

TEST(LockArgumentsTest, MomentForStrangersOutOfRangeIsRefused) {
  for (auto const moment : {0ms, -1ms, std::chrono::milliseconds{24h} + 1ms}) {
    EXPECT_THAT(refusal_of("orders", {.yield_for = moment}),
                HasSubstr("yield_for is " + std::to_string(moment.count())));
  }
}

// ---- What it is ----

class LockTest : public LockSceneTest {
 protected:
  Lock const ours_{scene_.client("ours"), "orders"};
  Lock const theirs_{scene_.client("theirs"), "orders"};
};

INSTANTIATE_TEST_SUITE_P(Protocol, LockTest, ::testing::Values(3, 2), support::protocol_name);

TEST_P(LockTest, KnowsItsName) { EXPECT_EQ(ours_.name(), "orders"); }

TEST_P(LockTest, HoldIsAStringKeyOfTheVeryNameThatExpiresWithTheLease) {
  auto const hold = ours_.try_acquire();
  ASSERT_TRUE(hold);
  EXPECT_EQ(scene_.redis("TYPE", "orders").as<std::string>(), "string");
  auto const left = scene_.redis("PTTL", "orders").as<long long>();
  EXPECT_GT(left, 0);
  EXPECT_LE(left, 10'000);
}

TEST_P(LockTest, KeyIsGoneAfterTheRelease) {
  ours_.acquire().release();
  EXPECT_FALSE(scene_.exists("orders"));
  EXPECT_FALSE(scene_.exists("{orders}:waiters"));
}

TEST_P(LockTest, KeepsNothingBesideTheKeyThatExpiresButItsStateAndWhileTheyWaitTheWaiters) {
  auto hold = ours_.try_acquire();
  Waiting later{theirs_};
  scene_.await_waiters("orders", 1);
  auto keys = scene_.redis("KEYS", "*").as<std::vector<std::string>>();
  EXPECT_THAT(keys,
              ::testing::UnorderedElementsAre("orders", "{orders}:waiters", "{orders}:state"));
  hold.reset();
  later.get().reset();
  keys = scene_.redis("KEYS", "*").as<std::vector<std::string>>();
  EXPECT_THAT(keys, ElementsAre("{orders}:state"));
}

TEST_P(LockTest, NameMayBeAnyBytesAndAsLongAsAKey) {
  std::vector<std::string> const names{std::string("nul\0inside", 10),
                                       "line\r\nfeed",
                                       "with space",
                                       "{tag}rest",
                                       "a{b}c",
                                       "{}",
                                       "}{",
                                       "{",
                                       "\xff\xfe",
                                       "%s",
                                       std::string(1 << 20, 'n')};
  for (auto const& name : names) {
    SCOPED_TRACE(name.substr(0, 20));
    Lock const lock{scene_.client(), name};
    Lock const other{scene_.client(), name};
    auto hold = lock.try_acquire();
    ASSERT_TRUE(hold);
    EXPECT_TRUE(scene_.exists(name));
    EXPECT_FALSE(other.try_acquire());
    Waiting later{other};
    ASSERT_TRUE(eventually([&] { return lock.owner()->waiters == 1; }));
    EXPECT_EQ(hold->release(), Release::released);
    EXPECT_TRUE(later.get());
    EXPECT_FALSE(scene_.exists(name));
  }
}

TEST_P(LockTest, ItsKeysShareTheSlotOfItsName) {
  Lock const tagged{scene_.client(), "a{b}c"};
  tagged.acquire().release();
  EXPECT_TRUE(scene_.exists("a{b}c:state"));
  ours_.acquire().release();
  EXPECT_TRUE(scene_.exists("{orders}:state"));
}

TEST_P(LockTest, OptionsAreThoseOfTheObjectThatAcquires) {
  Lock const brief{scene_.client(), "orders", {.lease = 2s, .renew = false}};
  auto const hold = brief.try_acquire();
  EXPECT_LE(scene_.redis("PTTL", "orders").as<long long>(), 2'000);
  EXPECT_LE(hold->valid_until(), std::chrono::steady_clock::now() + 2s);
}

// ---- To wait, and how long ----

TEST_P(LockTest, TryForNoTimeIsOneTry) {
  for (auto const wait : {0ms, -1ms, std::chrono::milliseconds::min()}) {
    auto const hold = ours_.try_acquire_for(wait);
    ASSERT_TRUE(hold);
    EXPECT_FALSE(theirs_.try_acquire_for(wait));
  }
  EXPECT_TRUE(ours_.try_acquire_until(std::chrono::steady_clock::time_point{}));
  EXPECT_FALSE(scene_.exists("{orders}:waiters"));
}

TEST_P(LockTest, TryForTheLongestTimesOfAllIsAccepted) {
  EXPECT_TRUE(ours_.try_acquire_for(std::chrono::hours::max()));
  EXPECT_TRUE(ours_.try_acquire_for(std::chrono::nanoseconds::max()));
  EXPECT_TRUE(ours_.try_acquire_for(std::chrono::duration<double>{1e300}));
  EXPECT_TRUE(ours_.try_acquire_for(std::chrono::hours::min()));
  EXPECT_TRUE(ours_.try_acquire_until(Deadline::max()));
  EXPECT_TRUE(ours_.try_acquire_until(Deadline::min()));
}

TEST_P(LockTest, TryForGivesUpAtItsDeadline) {
  auto const hold = ours_.try_acquire();
  auto const took = time_of([&] { EXPECT_FALSE(theirs_.try_acquire_for(200ms)); });
  EXPECT_GE(took, 200ms);
  EXPECT_LE(took, 200ms + stall);
}

TEST_P(LockTest, TryUntilGivesUpAtItsDeadline) {
  auto const hold = ours_.try_acquire();
  auto const deadline = std::chrono::steady_clock::now() + 100ms;
  EXPECT_FALSE(theirs_.try_acquire_until(deadline));
  EXPECT_GE(std::chrono::steady_clock::now(), deadline);
}

TEST_P(LockTest, AcquireWaitsForTheRelease) {
  auto hold = ours_.try_acquire();
  auto later = std::async(std::launch::async, [&] { return theirs_.acquire().fence(); });
  scene_.await_waiters("orders", 1);
  EXPECT_EQ(later.wait_for(0s), std::future_status::timeout);
  auto const first = hold->fence();
  hold.reset();
  ASSERT_EQ(later.wait_for(long_enough), std::future_status::ready);
  EXPECT_GT(later.get(), first);
}

TEST_P(LockTest, TryForTakesWhatIsReleasedMeanwhile) {
  auto hold = ours_.try_acquire();
  Waiting later{theirs_};
  scene_.await_waiters("orders", 1);
  hold.reset();
  EXPECT_TRUE(later.get());
}

TEST_P(LockTest, StopRequestEndsTheWaitAndTheWaiterIsOutOfTheQueue) {
  auto const hold = ours_.try_acquire();
  Waiting later{theirs_};
  scene_.await_waiters("orders", 1);
  auto const took = time_of([&] {
    later.stop();
    EXPECT_FALSE(later.get());
  });
  EXPECT_LE(took, stall);
  EXPECT_EQ(scene_.waiters("orders"), 0);
}

TEST_P(LockTest, StopRequestedBeforehandStillTriesOnceAndDoesNotWait) {
  std::stop_source stop;
  stop.request_stop();
  auto const hold = ours_.acquire(stop.get_token());
  EXPECT_TRUE(hold);
  EXPECT_FALSE(theirs_.acquire(stop.get_token()));
  EXPECT_EQ(scene_.waiters("orders"), 0);
}

TEST_P(LockTest, StopTokenThatIsNeverUsedChangesNothing) {
  EXPECT_TRUE(ours_.acquire(std::stop_token{}));
}

TEST_P(LockTest, WaiterThatTimesOutIsOutOfTheQueueInTheSameCall) {
  auto const hold = ours_.try_acquire();
  EXPECT_FALSE(theirs_.try_acquire_for(300ms));
  EXPECT_EQ(scene_.waiters("orders"), 0);
}

// ---- The queue ----

/// Lets six wait one after the other, on what `lock` gives them, and says in which order they were
/// served.
template <class MakeLock>
std::vector<int> order_of_service(support::LockScene& scene, Hold hold, MakeLock lock) {
  std::mutex mutex;
  std::vector<int> order;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&mutex, &order, i, waiting = lock()] {
      auto const mine = waiting.try_acquire_for(long_enough);
      std::lock_guard const guard{mutex};
      order.push_back(mine ? i : -1);
    });
    scene.await_waiters("orders", i + 1);
  }
  hold.release();
  threads.clear();
  return order;
}

TEST_P(LockTest, WaitersAreServedInTheOrderInWhichTheyCame) {
  auto const order = order_of_service(scene_, ours_.acquire(), [&] {
    return Lock{scene_.client(), "orders"};
  });
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_P(LockTest, WaitersOfOneObjectAreServedInTheOrderInWhichTheyCame) {
  auto hold = ours_.acquire();
  std::mutex mutex;
  std::vector<int> order;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 6; ++i) {
    std::atomic<pid_t> id = 0;
    threads.emplace_back([&mutex, &order, &id, i, this] {
      id = ::gettid();
      id.notify_one();
      auto const mine = theirs_.try_acquire_for(long_enough);
      std::lock_guard const guard{mutex};
      order.push_back(mine ? i : -1);
    });
    id.wait(0);
    if (i == 0) scene_.await_waiters("orders", 1);
    ASSERT_TRUE(support::falls_asleep(id));
  }
  hold.release();
  threads.clear();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_P(LockTest, ReleaseGivesTheLockToTheFirstWaiterBeforeItReturns) {
  auto hold = ours_.try_acquire();
  Waiting later{theirs_};
  scene_.await_waiters("orders", 1);
  hold->release();
  EXPECT_FALSE(ours_.try_acquire());
  EXPECT_EQ(ours_.owner()->client_name, "theirs");
  EXPECT_TRUE(later.get());
}

TEST_P(LockTest, WaiterThatIsDeafIsPassedOver) {
  auto hold = ours_.try_acquire();
  scene_.redis("ZADD", "{orders}:waiters", 0, "0123456789abcdef/1/1/host/dead");
  Waiting later{theirs_};
  scene_.await_waiters("orders", 2);
  hold->release();
  EXPECT_EQ(ours_.owner()->client_name, "theirs");
  EXPECT_EQ(scene_.waiters("orders"), 0);
  EXPECT_TRUE(later.get());
}

TEST_P(LockTest, ReleaseFreesTheKeyWhenAllWaitersAreDeaf) {
  auto hold = ours_.try_acquire();
  scene_.redis("ZADD", "{orders}:waiters", 0, "0123456789abcdef/1/1/host/dead", 1,
               "0123456789abcdef/2/1/host/dead");
  EXPECT_EQ(hold->release(), Release::released);
  EXPECT_FALSE(scene_.exists("orders"));
  EXPECT_EQ(scene_.waiters("orders"), 0);
}

TEST_P(LockTest, FirstWaiterGetsTheLockWhenTheHoldersLeaseEnds) {
  Lock const brief{scene_.client(), "orders", {.lease = 300ms, .renew = false}};
  auto const hold = brief.try_acquire();
  Waiting first{ours_};
  scene_.await_waiters("orders", 1);
  Waiting second{theirs_};
  scene_.await_waiters("orders", 2);
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(second.get());
  EXPECT_FALSE(hold->held());
}

TEST_P(LockTest, WaitersThatTheQueueLostJoinItAgain) {
  Lock const brief{scene_.client(), "orders", {.lease = 2s}};
  auto hold = brief.try_acquire();
  Waiting first{ours_};
  scene_.await_waiters("orders", 1);
  Waiting second{theirs_};
  scene_.await_waiters("orders", 2);
  scene_.redis("DEL", "{orders}:waiters");
  scene_.await_waiters("orders", 2);  // each looks after its place when the lease may be over
  hold->release();
  ASSERT_TRUE(eventually([&] { return first.over() || second.over(); }));
  bool const in_order = first.over();
  EXPECT_TRUE((in_order ? first : second).get());
  EXPECT_TRUE((in_order ? second : first).get());
}

TEST_P(LockTest, WaiterGetsTheLockOfAServerThatWasEmptied) {
  auto const hold = ours_.try_acquire();
  Waiting later{theirs_};
  scene_.await_waiters("orders", 1);
  scene_.redis("FLUSHALL");
  EXPECT_TRUE(later.get());
}

TEST_P(LockTest, WaitsGoOnAndLocksWorkAfterTheServerForgotItsScripts) {
  auto hold = ours_.try_acquire();
  Waiting later{theirs_};
  scene_.await_waiters("orders", 1);
  scene_.redis("SCRIPT", "FLUSH");
  EXPECT_EQ(hold->release(), Release::released);
  EXPECT_TRUE(later.get());
  scene_.redis("SCRIPT", "FLUSH");
  EXPECT_TRUE(ours_.try_acquire());
}

// ---- Who holds it ----

TEST_P(LockTest, HeldLocksAreListedByTheirPattern) {
  auto const client = scene_.client("billing");
  EXPECT_TRUE(locks(client).empty());
  std::vector<Hold> holds;
  for (int i = 0; i < 30; ++i) {
    holds.push_back(Lock{client, "order:" + std::to_string(i)}.acquire());
    scene_.redis("SET", "text:" + std::to_string(i), "no lock");
  }
  auto const other = Lock{client, "report"}.acquire();
  scene_.redis("SET", "order:stranger", "somebody", "PX", 60'000);
  scene_.redis("HSET", "order:hash", "a", "b");

  EXPECT_EQ(locks(client).size(), 31U);
  auto const orders = locks(client, "order:*");
  ASSERT_EQ(orders.size(), 30U);
  EXPECT_EQ(orders.front().name, "order:0");
  EXPECT_EQ(orders.front().owner.client_name, "billing");
  EXPECT_EQ(orders.front().owner.pid, ::getpid());
  holds.clear();
  EXPECT_EQ(locks(client).size(), 1U);
}

TEST_P(LockTest, WaitersAreListedWithTheirProcessClientAndAge) {
  EXPECT_TRUE(ours_.waiters().empty());
  auto const hold = ours_.try_acquire();
  Waiting first{Lock{scene_.client("billing"), "orders"}};
  scene_.await_waiters("orders", 1);
  Waiting second{theirs_};
  scene_.await_waiters("orders", 2);
  auto const waiters = ours_.waiters();
  ASSERT_EQ(waiters.size(), 2U);
  EXPECT_EQ(waiters[0].client_name, "billing");
  EXPECT_EQ(waiters[0].pid, ::getpid());
  EXPECT_EQ(waiters[0].host, ours_.owner()->host);
  EXPECT_FALSE(waiters[0].token.empty());
  EXPECT_GT(waiters[0].age, waiters[1].age);
  EXPECT_GE(waiters[1].age, 0us);
  EXPECT_LT(waiters[0].age, 60s);
  EXPECT_EQ(ours_.waiters(1).size(), 1U);
  EXPECT_TRUE(ours_.waiters(0).empty());
}

TEST_P(LockTest, OwnerIsNobodyWhileItIsFree) {
  EXPECT_FALSE(ours_.owner());
  ours_.acquire().release();
  EXPECT_FALSE(ours_.owner());
}

TEST_P(LockTest, OwnerIsTheHoldersProcessAndClientWithItsTimes) {
  auto const before = std::chrono::system_clock::now();
  auto const hold = ours_.try_acquire();
  Waiting later{theirs_};
  scene_.await_waiters("orders", 1);

  auto const owner = theirs_.owner();
  ASSERT_TRUE(owner);
  char host[256] = {};
  ASSERT_EQ(::gethostname(host, sizeof host - 1), 0);
  EXPECT_EQ(owner->host, host);
  EXPECT_EQ(owner->pid, ::getpid());
  EXPECT_EQ(owner->client_name, "ours");
  EXPECT_EQ(owner->token, scene_.value("orders"));
  EXPECT_EQ(owner->waiters, 1U);
  ASSERT_TRUE(owner->since && owner->lease_left);
  EXPECT_GE(*owner->since,
            before - 1ms);  // the server's clock is this machine's, in whole milliseconds
  EXPECT_LE(*owner->since, std::chrono::system_clock::now());
  EXPECT_GT(*owner->lease_left, 0ms);
  EXPECT_LE(*owner->lease_left, 10s);
}

TEST_P(LockTest, OwnerWhoIsAStrangerHasOnlyATokenAndALease) {
  scene_.redis("SET", "orders", "somebody", "PX", 60'000);
  auto owner = ours_.owner();
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->token, "somebody");
  EXPECT_TRUE(owner->host.empty() && owner->client_name.empty());
  EXPECT_EQ(owner->pid, 0);
  EXPECT_FALSE(owner->since);
  EXPECT_GT(owner->lease_left.value(), 0ms);

  scene_.redis("SET", "orders", "somebody");
  EXPECT_FALSE(ours_.owner()->lease_left);
}

// ---- Grants ----

TEST_P(LockTest, HoldThatWasHandedOverIsRenewedForTheWholeLease) {
  Lock const other{scene_.client(), "orders"};
  auto hold = std::make_optional(other.acquire());
  Waiting later{Lock{scene_.client(), "orders", {.lease = 60s}}};
  scene_.await_waiters("orders", 1);
  hold.reset();
  auto const its = later.get();
  ASSERT_TRUE(its);
  EXPECT_TRUE(eventually([&] {
    return its->valid_until() > std::chrono::steady_clock::now() + 2 * detail::grant_time;
  }));
  EXPECT_TRUE(its->held());
  EXPECT_EQ(scene_.redis("HGET", "{orders}:state", "fence").as<std::uint64_t>(),
            its->fence() / 2048);
}

TEST_P(LockTest, HoldThatIsNotRenewedHasItsWholeLeaseAlsoWhenItWasHandedOver) {
  Lock const other{scene_.client(), "orders"};
  auto hold = std::make_optional(other.acquire());
  Waiting later{Lock{scene_.client(), "orders", {.lease = 60s, .renew = false}}};
  scene_.await_waiters("orders", 1);
  hold.reset();
  auto const its = later.get();
  ASSERT_TRUE(its);
  EXPECT_GT(its->valid_until(), std::chrono::steady_clock::now() + 2 * detail::grant_time);
}

TEST_P(LockTest, GrantThatIsOlderThanTheLastAnswerIsNoHold) {
  Lock const lock{scene_.client(), "orders"};
  auto const hold = lock.acquire();
  Waiting later{Lock{scene_.client(), "orders"}};
  scene_.await_waiters("orders", 1);
  auto const waiter = lock.waiters().at(0).token;
  auto const fence = scene_.redis("HGET", "{orders}:state", "fence").as<std::string>();
  scene_.reset_count();
  scene_.redis("PUBLISH", "tandem:" + waiter.substr(0, waiter.find('/')),
               "grant " + fence + " 0 " + waiter);
  EXPECT_TRUE(eventually([&] { return scene_.count().scripts == 1; })) << "it asks";
  scene_.await_waiters("orders", 1);
  EXPECT_FALSE(later.over());
}

}  // namespace
}  // namespace tandem
