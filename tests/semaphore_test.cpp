#include "tandem/semaphore.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

/// With one permit it is a lock.
struct OnePermitSubject {
  using Inside = std::optional<Hold>;
  static std::unique_ptr<Semaphore> make(Client const& client, std::string_view name) {
    return std::make_unique<Semaphore>(client, name, 1);
  }
  static Inside try_enter(Semaphore& one) { return one.try_acquire(); }
  static Inside try_enter_for(Semaphore& one, std::chrono::milliseconds longest) {
    return one.try_acquire_for(longest);
  }
  static Inside enter(Semaphore& one) { return one.acquire(); }

  static Hold acquire(Client const& client, std::string_view name, LockOptions const& options) {
    return Semaphore{client, name, 1, {.lease = options.lease, .renew = options.renew}}.acquire();
  }
  static bool taken(support::LockScene& scene, std::string_view name) {
    return !Semaphore{scene.client(), name, 1}.holders().empty();
  }
};

}  // namespace

namespace conformance {
INSTANTIATE_TYPED_TEST_SUITE_P(OnePermit, MutualExclusion, OnePermitSubject);
INSTANTIATE_TYPED_TEST_SUITE_P(OnePermit, Leased, OnePermitSubject);
}  // namespace conformance

namespace {

std::string refusal_of(std::string_view name, unsigned limit,
                       SemaphoreOptions const& options = {}) {
  try {
    Semaphore const semaphore{Client{"unix:///no/such/socket"}, name, limit, options};
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "accepted";
}

TEST(SemaphoreArgumentsTest, WhatIsOutOfRangeIsRefusedSayingWhatWasGivenAndWhatIsAccepted) {
  EXPECT_THAT(refusal_of("", 1), HasSubstr("the name is empty"));
  EXPECT_THAT(refusal_of("slots", 0),
              HasSubstr("semaphore \"slots\": the limit is 0; accepted is 1 to 1000000"));
  EXPECT_THAT(refusal_of("slots", 1'000'001), HasSubstr("the limit is 1000001"));
  EXPECT_THAT(refusal_of("slots", 1, {.lease = 9ms}), HasSubstr("the lease is 9 ms"));
  EXPECT_EQ(refusal_of("slots", 1'000'000), "accepted");
}

class SemaphoreTest : public support::LockSceneTest {
 protected:
  [[nodiscard]] Semaphore make(unsigned limit, SemaphoreOptions const& options = {}) {
    return Semaphore{scene_.client(), "slots", limit, options};
  }
  static Waiting waiting(Semaphore const& semaphore) {
    return Waiting{[semaphore](std::stop_token stop) { return semaphore.acquire(stop); }};
  }
};

INSTANTIATE_TEST_SUITE_P(Protocol, SemaphoreTest, ::testing::Values(3, 2), support::protocol_name);

TEST_P(SemaphoreTest, AsManyHoldAsTheLimitSays) {
  auto const slots = make(3);
  auto const one = slots.try_acquire();
  auto const two = slots.try_acquire();
  auto const three = make(3).try_acquire();
  EXPECT_TRUE(one && two && three);
  EXPECT_FALSE(slots.try_acquire());
  EXPECT_LT(one->fence(), two->fence());
  EXPECT_LT(two->fence(), three->fence());
}

TEST_P(SemaphoreTest, ReleasedPermitGoesToTheFirstWaiter) {
  auto one = std::optional{make(2).acquire()};
  auto const two = make(2).acquire();
  auto first = waiting(make(2));
  scene_.await_waiters("slots", 1);
  auto second = waiting(make(2));
  scene_.await_waiters("slots", 2);
  one.reset();
  auto const hold = first.get();
  EXPECT_TRUE(hold);
  EXPECT_FALSE(second.over(50ms));
}

TEST_P(SemaphoreTest, NobodyBargesPastWhoWaits) {
  auto one = std::optional{make(1).acquire()};
  // Waits, and is alive, but cannot take its turn.
  auto first = waiting(make(1));
  scene_.await_waiters("slots", 1);
  scene_.redis("DEL", "slots");
  EXPECT_FALSE(make(1).try_acquire());
  EXPECT_TRUE(first.get());
}

TEST_P(SemaphoreTest, PermitOfOneWhoseLeaseEndedIsGivenToTheNext) {
  auto const lost = make(1, {.lease = 100ms, .renew = false}).acquire();
  EXPECT_TRUE(make(1).try_acquire_for(long_enough));
  EXPECT_FALSE(lost.held());
}

TEST_P(SemaphoreTest, FirstToUseTheNameSaysTheLimitAndOthersFollowIt) {
  auto const one = make(2).acquire();
  std::vector<std::string> warnings;
  std::mutex mutex;
  auto options = scene_.options();
  options.on_warning = [&](std::string const& line) {
    std::lock_guard const guard{mutex};
    warnings.push_back(line);
  };
  Semaphore const other{Client{options}, "slots", 5};
  auto const two = other.try_acquire();
  EXPECT_TRUE(two);
  EXPECT_FALSE(other.try_acquire());
  EXPECT_EQ(other.limit(), 2U);
  std::lock_guard const guard{mutex};
  std::erase_if(warnings, [](auto const& each) { return !each.starts_with("semaphore"); });
  ASSERT_THAT(warnings, SizeIs(1)) << "once";
  EXPECT_THAT(warnings[0], HasSubstr("\"slots\" has a limit of 2 on the server"));
  EXPECT_THAT(warnings[0], HasSubstr("made with 5"));
}

TEST_P(SemaphoreTest, LimitOfANameThatNobodyUsedIsTheOneItWasMadeWith) {
  EXPECT_EQ(make(7).limit(), 7U);
  EXPECT_THAT(scene_.redis("KEYS", "*").as<std::vector<std::string>>(), IsEmpty());
}

TEST_P(SemaphoreTest, RaisedLimitLetsWaitersInAtOnce) {
  auto const one = make(1).acquire();
  auto first = waiting(make(1));
  auto second = waiting(make(1));
  scene_.await_waiters("slots", 2);
  make(1).set_limit(3);
  std::optional<Hold> const holds[] = {first.get(), second.get()};
  EXPECT_TRUE(holds[0] && holds[1]);
  EXPECT_EQ(make(1).limit(), 3U);
}

TEST_P(SemaphoreTest, LoweredLimitTakesNothingFromThoseWhoHold) {
  auto const slots = make(2);
  auto one = std::optional{slots.acquire()};
  auto two = std::optional{slots.acquire()};
  slots.set_limit(1);
  EXPECT_TRUE(one->held() && two->held());
  one.reset();
  EXPECT_FALSE(slots.try_acquire()) << "one too many before, none too few now";
  two.reset();
  EXPECT_TRUE(slots.try_acquire());
}

TEST_P(SemaphoreTest, LimitThatIsOutOfRangeIsNotSet) {
  EXPECT_THROW(make(1).set_limit(0), std::invalid_argument);
  EXPECT_THROW(make(1).set_limit(1'000'001), std::invalid_argument);
}

TEST_P(SemaphoreTest, ReleaseTellsWhatItFound) {
  EXPECT_EQ(make(1).acquire().release(), Release::released);
  auto lost = make(1, {.lease = 50ms, .renew = false}).acquire();
  ASSERT_TRUE(eventually([&] { return make(1).holders().empty(); }));
  EXPECT_EQ(lost.release(), Release::expired);
  auto robbed = make(1, {.lease = 50ms, .renew = false}).acquire();
  auto const next = make(1).try_acquire_for(long_enough);
  ASSERT_TRUE(next);
  EXPECT_EQ(robbed.release(), Release::taken_over);
}

TEST_P(SemaphoreTest, TellsWhoHoldsAndWhoWaits) {
  Semaphore const named{scene_.client("encoder"), "slots", 1};
  auto const one = named.acquire();
  auto later = waiting(make(1));
  scene_.await_waiters("slots", 1);
  ASSERT_THAT(named.holders(), SizeIs(1));
  EXPECT_EQ(named.holders()[0].client_name, "encoder");
  EXPECT_THAT(named.waiters(), SizeIs(1));
}

TEST_P(SemaphoreTest, CostsOneCommandToAcquireAndOneToRelease) {
  auto const slots = make(2);
  slots.acquire().release();
  scene_.await_listening(1);
  scene_.reset_count();
  slots.acquire().release();
  EXPECT_EQ(scene_.count().all, 2);
}

TEST_P(SemaphoreTest, NeverMoreThanTheLimitAreInsideAndAllGetTheirTurn) {
  std::atomic<int> inside = 0, most = 0;
  std::atomic<int> served = 0;
  support::on_threads(8, [&](int) {
    Semaphore const slots{scene_.client(), "slots", 3};
    for (int i = 0; i < 30; ++i) {
      auto const permit = slots.acquire();
      int const now = ++inside;
      for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) continue;
      std::this_thread::yield();
      --inside;
      ++served;
    }
  });
  EXPECT_LE(most, 3);
  EXPECT_GT(most, 1);
  EXPECT_EQ(served, 240);
}

}  // namespace
}  // namespace tandem
