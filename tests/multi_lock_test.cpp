#include "tandem/multi_lock.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/counter.hpp>
#include <tandem/lock.hpp>
#include <tandem/shared_map.hpp>

#include "conformance/lease.hpp"
#include "conformance/mutual_exclusion.hpp"
#include "support/fault_proxy.hpp"
#include "support/limited_resource.hpp"
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

using Names = std::vector<std::string>;
using MultiWaiting = support::WaitingFor<MultiHold>;

/// With one name it is a lock.
struct OneNameSubject {
  struct Held {
    MultiHold hold;
    std::string name;

    [[nodiscard]] bool held() const { return hold.held(); }
    [[nodiscard]] std::stop_token stop_token() const { return hold.stop_token(); }
    [[nodiscard]] std::uint64_t fence() const { return hold.fence(name); }
    Release release() { return hold.release(); }
  };
  using Inside = std::optional<MultiHold>;
  static std::unique_ptr<MultiLock> make(Client const& client, std::string_view name) {
    return std::make_unique<MultiLock>(client, Names{std::string{name}});
  }
  static Inside try_enter(MultiLock& one) { return one.try_acquire(); }
  static Inside try_enter_for(MultiLock& one, std::chrono::milliseconds longest) {
    return one.try_acquire_for(longest);
  }
  static Inside enter(MultiLock& one) { return one.acquire(); }

  static Held acquire(Client const& client, std::string_view name, LockOptions const& options) {
    MultiLock const lock{
        client, {std::string{name}}, {.lease = options.lease, .renew = options.renew}};
    return {lock.acquire(), std::string{name}};
  }
  static bool taken(support::LockScene& scene, std::string_view name) {
    return scene.exists(std::string{name});
  }
};

}  // namespace

namespace conformance {
INSTANTIATE_TYPED_TEST_SUITE_P(OneName, MutualExclusion, OneNameSubject);
INSTANTIATE_TYPED_TEST_SUITE_P(OneName, Leased, OneNameSubject);
}  // namespace conformance

namespace {

std::string refusal_of(Names names, MultiLockOptions const& options = {}) {
  try {
    MultiLock const lock{Client{"unix:///no/such/socket"}, std::move(names), options};
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "accepted";
}

Names so_many(int count) {
  Names out;
  for (int i = 0; i < count; ++i) out.push_back("name " + std::to_string(i));
  return out;
}

TEST(MultiLockArgumentsTest, WhatIsOutOfRangeIsRefusedSayingWhatWasGivenAndWhatIsAccepted) {
  EXPECT_THAT(refusal_of({}), HasSubstr("multi lock: 0 names; accepted are 1 to 100"));
  EXPECT_THAT(refusal_of(so_many(101)), HasSubstr("101 names; accepted are 1 to 100"));
  EXPECT_EQ(refusal_of(so_many(100)), "accepted");
  EXPECT_THAT(refusal_of({"orders", ""}), HasSubstr("the name is empty"));
  EXPECT_THAT(refusal_of({"orders"}, {.lease = 9ms}),
              HasSubstr("\"orders\": the lease is 9 ms; accepted is 10 ms to 24 h"));
  EXPECT_THAT(refusal_of({"x", "{x}"}),
              HasSubstr("\"{x}\": it shares its queue with \"x\"; accepted is one of the two"));
}

TEST(MultiLockArgumentsTest, NamesAreSortedAndCountOnce) {
  MultiLock const lock{Client{"unix:///no/such/socket"}, {"stock", "orders", "stock"}};
  EXPECT_THAT(lock.names(), ElementsAre("orders", "stock"));
}

class MultiLockTest : public support::LockSceneTest {
 protected:
  [[nodiscard]] MultiLock make(Names names, MultiLockOptions const& options = {}) {
    return MultiLock{scene_.client(), std::move(names), options};
  }
  [[nodiscard]] Lock one(std::string const& name) { return Lock{scene_.client(), name}; }

  Names const both_{"orders", "stock"};
};

INSTANTIATE_TEST_SUITE_P(Protocol, MultiLockTest, ::testing::Values(3, 2), support::protocol_name);

TEST_P(MultiLockTest, HoldsAllOrNone) {
  auto const taken = one("stock").acquire();
  EXPECT_FALSE(make(both_).try_acquire());
  EXPECT_TRUE(one("orders").try_acquire()) << "nothing was kept";
  auto const others = make({"bills", "orders"}).try_acquire();
  EXPECT_TRUE(others);
  EXPECT_FALSE(one("orders").try_acquire());
  EXPECT_FALSE(one("bills").try_acquire());
}

TEST_P(MultiLockTest, PlainLocksOfItsNamesWaitForItAndItForThem) {
  auto both = std::optional{make(both_).acquire()};
  Waiting plain{one("stock")};
  scene_.await_waiters("stock", 1);
  MultiWaiting later{make(both_)};
  scene_.await_waiters("orders", 1);
  both.reset();
  auto hold = plain.get();
  ASSERT_TRUE(hold);
  scene_.await_waiters("stock", 1);
  EXPECT_FALSE(later.over());
  hold.reset();
  auto const second = later.get();
  EXPECT_TRUE(second && second->held());
}

TEST_P(MultiLockTest, StrangersKeyIsRespectedAndItsReleaseIsNoticed) {
  scene_.redis("SET", "stock", "stranger", "NX", "PX", 600'000);
  EXPECT_FALSE(make(both_).try_acquire());
  MultiWaiting later{make(both_)};
  scene_.await_waiters("stock", 1);
  scene_.await_tracking();
  scene_.redis("DEL", "stock");
  EXPECT_TRUE(later.over(1s)) << "sooner than it would ask anyway";
  EXPECT_TRUE(later.get());
}

TEST_P(MultiLockTest, WaiterHoldsWhatComesBeforeAndRenewsIt) {
  auto taken = std::optional{one("stock").acquire()};
  MultiWaiting later{make(both_, {.lease = 3s})};
  scene_.await_waiters("stock", 1);
  EXPECT_FALSE(one("orders").try_acquire());
  int renewed = 0;
  long long left = 0;
  EXPECT_TRUE(eventually([&] {
    auto const now = scene_.redis("PTTL", "orders").as<long long>();
    if (now > left) ++renewed;
    left = now;
    return renewed == 5 || now < 0;  // longer than a lease
  }));
  EXPECT_GT(left, 0);
  taken.reset();
  EXPECT_TRUE(later.get());
}

TEST_P(MultiLockTest, WaiterThatGivesUpLeavesNothing) {
  // Where this machine stalls just then the background sees to it.
  auto const nothing_is_left = [&] {
    return eventually([&] { return !scene_.exists("orders") && scene_.waiters("stock") == 0; });
  };
  auto const taken = one("stock").acquire();
  EXPECT_FALSE(make(both_).try_acquire_for(500ms));
  EXPECT_TRUE(nothing_is_left());
  MultiWaiting later{make(both_)};
  scene_.await_waiters("stock", 1);
  ASSERT_TRUE(scene_.exists("orders"));
  later.stop();
  EXPECT_FALSE(later.get());
  EXPECT_TRUE(nothing_is_left());
}

TEST_P(MultiLockTest, WaitsForOneNameAfterTheOtherUntilItHasAll) {
  Names const names{"a", "b", "c", "d"};
  std::map<std::string, std::optional<Hold>> holds;
  for (auto const& each : names) holds[each] = one(each).acquire();
  MultiWaiting later{make(names)};
  for (auto const& each : names) {
    scene_.await_waiters(each, 1);
    EXPECT_FALSE(later.over());
    holds[each].reset();
  }
  auto const hold = later.get();
  ASSERT_TRUE(hold);
  EXPECT_TRUE(hold->held());
}

TEST_P(MultiLockTest, FencesOfANameGrowThroughLocksAndMultiLocks) {
  std::uint64_t last = 0;
  for (int i = 0; i < 3; ++i) {
    auto plain = one("stock").acquire();
    EXPECT_GT(plain.fence(), last);
    last = plain.fence();
    plain.release();
    auto both = make(both_).acquire();
    EXPECT_GT(both.fence("stock"), last);
    last = both.fence("stock");
    both.release();
  }
  auto const both = make(both_).acquire();
  EXPECT_THROW((void)both.fence("bills"), std::invalid_argument);
}

TEST_P(MultiLockTest, LossOfOneNameIsLossOfAll) {
  auto hold = make(both_, {.lease = 300ms}).acquire();
  auto const stop = hold.stop_token();
  EXPECT_TRUE(hold.held());
  EXPECT_GT(hold.valid_until(), Deadline{});
  scene_.redis("DEL", "stock");
  EXPECT_TRUE(eventually([&] { return stop.stop_requested(); }));
  EXPECT_FALSE(hold.held());
  EXPECT_LE(hold.valid_until(), std::chrono::steady_clock::now());
  EXPECT_EQ(hold.release(), Release::expired);
  EXPECT_EQ(hold.release(), Release::expired) << "asked again";
  EXPECT_FALSE(scene_.exists("orders")) << "what was left is given back";
}

TEST_P(MultiLockTest, ReleaseTellsTheWorstOfItsParts) {
  EXPECT_EQ(make(both_).acquire().release(), Release::released);
  auto hold = make({"a", "b", "c"}).acquire();
  scene_.redis("DEL", "a");
  scene_.redis("SET", "b", "stranger");
  EXPECT_EQ(hold.release(), Release::taken_over);
  EXPECT_FALSE(scene_.exists("c"));
}

TEST_P(MultiLockTest, CommitIsAppliedOnlyWhileAllAreHeld) {
  auto const client = scene_.client();
  auto const hold = MultiLock{client, both_}.acquire();
  Counter counter{client, "n"};
  SharedMap<std::string, int> map{client, "map"};
  hold.commit([](Transaction& tx) { tx.queue("INCR", "n"); });
  EXPECT_EQ(counter.add(1, hold.hold()), 2);
  map.set("apple", 3, hold.hold());
  scene_.redis("SET", "stock", "stranger");
  try {
    hold.commit([](Transaction& tx) { tx.queue("INCR", "n"); });
    ADD_FAILURE() << "applied";
  } catch (LockLost const& lost) {
    EXPECT_THAT(lost.what(), HasSubstr("locks \"orders\", \"stock\" are not held any more"));
  }
  EXPECT_THROW(map.set("apple", 4, hold.hold()), LockLost);
  EXPECT_EQ(counter.value(), 2);
  EXPECT_EQ(map.get("apple"), 3);
}

TEST_P(MultiLockTest, MovedFromItHoldsNothing) {
  auto first = make(both_).acquire();
  auto const second = std::move(first);
  EXPECT_TRUE(second.held());
  EXPECT_FALSE(first.held());  // NOLINT(bugprone-use-after-move): what is promised of it
  EXPECT_EQ(first.release(), Release::unknown);
  EXPECT_FALSE(first.stop_token().stop_possible());
  EXPECT_THROW(first.commit([](Transaction&) {}), LockLost);
  EXPECT_THROW((void)first.fence("stock"), std::invalid_argument);
  EXPECT_TRUE(scene_.exists("stock"));
}

TEST_P(MultiLockTest, HoldThatIsLostIsReportedByItsDestructorWithItsNames) {
  {
    auto const hold = make(so_many(5)).acquire();
    scene_.redis("DEL", "name 3");
  }
  EXPECT_TRUE(scene_.reports.have(
      "the hold of locks \"name 0\", \"name 1\", \"name 2\" and 2 more was lost"));
}

TEST_P(MultiLockTest, TenNamesCostOneCommandAndOneRoundTripToAcquireAndToRelease) {
  support::FaultProxy const proxy{scene_.server};
  auto options = scene_.options();
  options.unix_socket = proxy.url().substr(std::string{"unix://"}.size());
  MultiLock const lock{Client{options}, so_many(10), {.renew = false}};  // no other connection
  lock.try_acquire()->release();
  scene_.reset_count();
  auto const before = proxy.round_trips();
  auto hold = lock.try_acquire();
  EXPECT_EQ(scene_.count().all, 1);
  EXPECT_EQ(proxy.round_trips() - before, 1);
  EXPECT_EQ(hold->release(), Release::released);
  EXPECT_EQ(scene_.count().all, 2);
  EXPECT_EQ(proxy.round_trips() - before, 2);
}

TEST_P(MultiLockTest, AcquireAfterWaitingForTwoNamesIsThreeCommands) {
  auto const client = scene_.client();
  MultiLock const lock{client, {"a", "b", "c"}};
  lock.acquire().release();  // the server knows the scripts
  {
    scene_.redis("SET", "warm-up", "a stranger");
    Waiting waiting{Lock{client, "warm-up"}};
    scene_.await_waiters("warm-up", 1);  // and the client hears
  }
  auto first = std::optional{one("a").acquire()};
  auto third = std::optional{one("c").acquire()};
  scene_.reset_count();
  MultiWaiting later{lock};
  scene_.await_waiters("a", 1);
  first.reset();
  scene_.await_waiters("c", 1);
  third.reset();
  ASSERT_TRUE(later.get());
  EXPECT_EQ(scene_.count().scripts, 3 + 3) << "to join twice and to take; and the three releases";
}

TEST_P(MultiLockTest, ThreadsOfManyClientsWithCrossingNamesAllGetTheirTurn) {
  constexpr int threads = 6, times = 20;
  std::map<std::string, support::LimitedResource> resources;
  Names const all{"a", "b", "c", "d"};
  for (auto const& each : all) resources[each];
  support::on_threads(threads, [&](int i) {
    auto const client = scene_.client();
    for (int n = 0; n < times; ++n) {
      auto const mine = static_cast<std::size_t>(i + n);
      Names const some{all[mine % 4], all[(mine + 3) % 4]};
      if (i % 3 == 0) {
        auto const hold = Lock{client, some[0]}.acquire();
        resources.at(some[0]).use();
        continue;
      }
      auto const hold = MultiLock{client, some}.acquire();
      for (auto const& each : some) resources.at(each).use();
    }
  });
  int uses = 0;
  for (auto const& [name, resource] : resources) {
    EXPECT_EQ(resource.collisions(), 0) << name;
    uses += static_cast<int>(resource.uses());
  }
  EXPECT_EQ(uses, 2 * times + 4 * times * 2);
}

}  // namespace
}  // namespace tandem
