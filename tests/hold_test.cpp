#include "tandem/hold.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/lock.hpp>

#include "conformance/lease.hpp"
#include "support/lock_scene.hpp"
#include "support/sanitized.hpp"
#include "support/stall_watch.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using support::eventually;
using support::LockSceneTest;
using support::long_enough;
using support::stall;
using support::time_of;
using support::Waiting;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

static_assert(!std::is_copy_constructible_v<Hold> && !std::is_copy_assignable_v<Hold>,
              "a proof cannot be duplicated");
static_assert(!std::is_default_constructible_v<Hold>, "there is no hold of nothing");
static_assert(!std::is_constructible_v<Hold, Client> && !std::is_constructible_v<Hold, Lock>,
              "only a lock gives one");
static_assert(std::is_nothrow_move_constructible_v<Hold> &&
              std::is_nothrow_move_assignable_v<Hold>);
static_assert(noexcept(std::declval<Hold&>().release()) && std::is_nothrow_destructible_v<Hold>);

struct LockSubject {
  static Hold acquire(Client const& client, std::string_view name, LockOptions const& options) {
    return Lock{client, name, options}.acquire();
  }
  static bool taken(support::LockScene& scene, std::string_view name) {
    return scene.exists(std::string{name});
  }
};

}  // namespace

namespace conformance {
INSTANTIATE_TYPED_TEST_SUITE_P(Lock, Leased, LockSubject);
}

namespace {

class HoldTest : public LockSceneTest {
 protected:
  [[nodiscard]] Lock lock(LockOptions const& options = {}) {
    return Lock{scene_.client(), "orders", options};
  }

  /// Whether `stop` is requested before anybody could call it late.
  static bool stops(std::stop_token const& stop) {
    return eventually([&] { return stop.stop_requested(); });
  }
};

INSTANTIATE_TEST_SUITE_P(Protocol, HoldTest, ::testing::Values(3, 2), support::protocol_name);

// ---- The proof ----

TEST_P(HoldTest, FencesStrictlyIncreaseWhoeverHolds) {
  auto const one = lock();
  auto const other = lock();
  std::uint64_t last = 0;
  for (int i = 0; i < 20; ++i) {
    auto const hold = (i % 2 == 0 ? one : other).acquire();
    EXPECT_GT(hold.fence(), last);
    last = hold.fence();
  }
}

TEST_P(HoldTest, FencesStrictlyIncreaseOverARestartOfTheServerWithoutItsData) {
  auto const name = lock();
  auto const first = name.acquire().fence();
  scene_.server.restart();
  EXPECT_GT(name.acquire().fence(), first);
}

TEST_P(HoldTest, FencesStrictlyIncreaseAfterTheyWereSetBackWhileAWaiterWasGranted) {
  auto const name = lock();
  auto first = name.acquire();
  Waiting later{lock()};
  scene_.await_waiters("orders", 1);
  scene_.redis("HSET", "{orders}:state", "fence", 1);
  auto const fence = first.fence();
  first.release();
  auto const second = later.get();
  ASSERT_TRUE(second);
  EXPECT_GT(second->fence(), fence);
}

TEST_P(HoldTest, IsValidForItsLeaseCountedFromBeforeTheRequest) {
  auto const name = lock({.lease = 30s});
  auto const before = steady_clock::now();
  auto const hold = name.acquire();
  auto const after = steady_clock::now();
  EXPECT_TRUE(hold.held());
  EXPECT_GT(hold.valid_until(), before + 29s) << "the margin is one in a hundred";
  EXPECT_LE(hold.valid_until(), after + 30s - 300ms);
}

TEST_P(HoldTest, EndsByItselfWithItsLeaseWithoutAnyRoundTrip) {
  auto const name = lock({.lease = 100ms, .renew = false});
  auto const hold = name.acquire();
  scene_.server.pause();
  EXPECT_TRUE(eventually([&] { return !hold.held(); }));
  EXPECT_GE(steady_clock::now(), hold.valid_until());
  scene_.server.resume();
}

TEST_P(HoldTest, MayBeMovedToAnotherThreadAndReleasedThere) {
  auto const name = lock();
  auto hold = name.acquire();
  auto there = std::async(std::launch::async, [moved = std::move(hold)]() mutable {
    return moved.held() && moved.release() == Release::released;
  });
  EXPECT_TRUE(there.get());
  EXPECT_FALSE(scene_.exists("orders"));
}

TEST_P(HoldTest, MovedFromIsNotHeldAndReleasesNothing) {
  auto const name = lock();
  auto hold = name.acquire();
  auto const moved = std::move(hold);
  EXPECT_FALSE(hold.held());  // NOLINT(bugprone-use-after-move): what is left is promised
  EXPECT_EQ(hold.fence(), 0U);
  EXPECT_EQ(hold.release(), Release::unknown);
  EXPECT_FALSE(hold.stop_token().stop_possible());
  EXPECT_TRUE(moved.held());
  EXPECT_TRUE(scene_.exists("orders"));
}

TEST_P(HoldTest, AssignmentGivesBackWhatWasHeldBefore) {
  Lock const other{scene_.client(), "bills"};
  auto hold = lock().acquire();
  hold = other.acquire();
  EXPECT_FALSE(scene_.exists("orders"));
  EXPECT_TRUE(scene_.exists("bills"));
  auto& same = hold;
  hold = std::move(same);
  EXPECT_TRUE(hold.held());
}

TEST_P(HoldTest, OutlivesTheLockAndTheClientItCameFrom) {
  auto hold = Lock{scene_.client(), "orders", {.lease = 1s}}.acquire();
  EXPECT_TRUE(eventually([&, first = hold.valid_until()] { return hold.valid_until() > first; }))
      << "renewed";
  EXPECT_EQ(hold.release(), Release::released);
}

// ---- Release ----

TEST_P(HoldTest, ReleaseSaysReleasedAndSaysTheSameAgain) {
  auto hold = lock().acquire();
  EXPECT_EQ(hold.release(), Release::released);
  EXPECT_FALSE(hold.held());
  scene_.redis("SET", "orders", "stranger");
  EXPECT_EQ(hold.release(), Release::released);
  EXPECT_TRUE(scene_.exists("orders"));
  EXPECT_THAT(scene_.reports.texts(), IsEmpty());
}

TEST_P(HoldTest, ReleaseSaysExpiredWhenTheLeaseHadEndedAndNobodyHolds) {
  auto hold = lock({.lease = 50ms, .renew = false}).acquire();
  ASSERT_TRUE(eventually([&] { return !scene_.exists("orders"); }));
  EXPECT_EQ(hold.release(), Release::expired);
  EXPECT_EQ(hold.release(), Release::expired);
}

TEST_P(HoldTest, ReleaseSaysTakenOverWhenSomebodyElseHoldsSince) {
  auto const successor = lock();
  auto hold = lock({.lease = 50ms, .renew = false}).acquire();
  auto const next = successor.acquire();
  EXPECT_EQ(hold.release(), Release::taken_over);
  EXPECT_EQ(hold.release(), Release::taken_over);
  EXPECT_TRUE(scene_.exists("orders"));
  EXPECT_TRUE(next.held());
}

TEST_P(HoldTest,
       ReleaseSaysUnknownWithinItsDeadlineWhenTheServerIsSilentAndTriesAgainInTheBackground) {
  auto options = scene_.options();
  options.command_timeout = 200ms;
  auto hold = Lock{Client{options}, "orders", {.lease = 60s}}.acquire();
  scene_.server.pause();
  auto const took = time_of([&] { EXPECT_EQ(hold.release(), Release::unknown); });
  EXPECT_LE(took, 200ms + stall);
  EXPECT_EQ(scene_.reports.texts().size(), 1U);
  scene_.server.resume();
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders"); })) << "long before its lease ends";
}

TEST_P(HoldTest, ReleaseWithoutAServerIsUnknownAndReported) {
  auto options = scene_.options();
  options.connect_timeout = 100ms;
  auto hold = Lock{Client{options}, "orders"}.acquire();
  scene_.server.kill();
  EXPECT_EQ(hold.release(), Release::unknown);
  EXPECT_TRUE(scene_.reports.have("cannot connect"));
}

TEST_P(HoldTest, DestructorGivesTheLockBack) {
  {
    auto const hold = lock().acquire();
    EXPECT_TRUE(scene_.exists("orders"));
  }
  EXPECT_FALSE(scene_.exists("orders"));
  EXPECT_THAT(scene_.reports.texts(), IsEmpty());
}

TEST_P(HoldTest, DestructorReportsAHoldThatHadExpired) {
  {
    auto const hold = lock({.lease = 50ms, .renew = false}).acquire();
    ASSERT_TRUE(eventually([&] { return !scene_.exists("orders"); }));
  }
  EXPECT_TRUE(scene_.reports.have("\"orders\" was lost before its release: its lease ended"));
}

TEST_P(HoldTest, DestructorReportsAHoldThatSomebodyElseHasSince) {
  {
    auto const hold = lock().acquire();
    scene_.redis("SET", "orders", "stranger");
  }
  EXPECT_TRUE(scene_.reports.have("somebody else holds the lock"));
  EXPECT_EQ(scene_.value("orders"), "stranger");
}

TEST_P(HoldTest, ReportThatThrowsHarmsNothing) {
  auto options = scene_.options();
  options.on_error = [](Error const&) { throw std::runtime_error{"no"}; };
  Lock const name{Client{options}, "orders"};
  {
    auto const hold = name.acquire();
    scene_.redis("DEL", "orders");
  }
  EXPECT_TRUE(name.try_acquire());
}

// ---- Renewal ----

TEST_P(HoldTest, RenewedHoldLastsForManyLeases) {
  auto const challenger = lock();
  // A machine that stalls for longer than lies between two renewals proves nothing: again, with a
  // longer lease.
  for (auto const lease : {300ms, 300ms, 300ms, 1000ms, 3000ms, 3000ms}) {
    support::StallWatch const machine{scene_.client()};
    auto hold = lock({.lease = lease}).acquire();
    auto const stop = hold.stop_token();
    auto const begin = steady_clock::now();
    bool refused = true;
    while (hold.held() && steady_clock::now() < begin + 6 * lease) {
      refused = refused && !challenger.try_acquire();
      std::this_thread::sleep_for(5ms);  // a lookout, no load
    }
    if (!hold.held() && machine.longest() > lease / 3) continue;
    EXPECT_TRUE(hold.held());
    EXPECT_TRUE(refused);
    EXPECT_FALSE(stop.stop_requested());
    EXPECT_EQ(hold.release(), Release::released);
    return;
  }
  FAIL() << "no lease of up to 3 s was renewed: this machine stalls for a second at a time, or "
            "renewal does not work";
}

TEST_P(HoldTest, IsNotRenewedWithoutAskingForIt) {
  auto const hold = lock({.lease = 300ms, .renew = false}).acquire();
  auto const until = hold.valid_until();
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders"); }));
  EXPECT_EQ(hold.valid_until(), until);
}

TEST_P(HoldTest, RenewalStopsWithTheRelease) {
  auto hold = lock({.lease = 600ms}).acquire();
  ASSERT_TRUE(eventually([&, first = hold.valid_until()] { return hold.valid_until() > first; }));
  hold.release();
  scene_.reset_count();
  std::this_thread::sleep_for(700ms);  // three renewals would have been due
  EXPECT_EQ(scene_.count().scripts, 0);
}

TEST_P(HoldTest, RenewalDoesNotBringALockBackThatWasReleased) {
  auto const name = lock({.lease = 15ms});  // a renewal each 5 ms, so that many meet a release
  for (int i = 0; i < 200; ++i) {
    auto hold = name.acquire();
    if (i % 4 != 0)
      std::this_thread::sleep_for(
          std::chrono::microseconds{4'500 + 10 * i});  // about when it is renewed
    hold.release();
    EXPECT_FALSE(scene_.exists("orders"));
  }
}

/// One of many, as quickly as they can be had: the threads of one client share its line.
std::vector<Hold> hold_many(Client const& client, int count, std::chrono::milliseconds lease) {
  constexpr int threads = 16;
  std::vector<std::vector<Hold>> parts(threads);
  support::on_threads(threads, [&](int part) {
    for (int i = part; i < count; i += threads) {
      auto const name = "order " + std::to_string(i);
      parts[static_cast<std::size_t>(part)].push_back(
          Lock{client, name, {.lease = lease}}.acquire());
    }
  });
  std::vector<Hold> out;
  for (auto& part : parts) std::move(part.begin(), part.end(), std::back_inserter(out));
  return out;
}

// A sanitizer has the same machine do several times the work in the time of a lease.
constexpr int many = support::is_sanitized ? 2'500 : 10'000;

TEST_P(HoldTest, ThousandsOfHoldsOfOneClientAreAllRenewedInBatches) {
  auto const holds = hold_many(scene_.client(), many, 6s);
  auto const first = steady_clock::now();
  auto const calls = [&] {
    auto const info = scene_.redis("INFO", "stats").as<std::string>();
    auto const at = info.find("total_reads_processed:");
    return std::stoll(info.substr(at + std::string{"total_reads_processed:"}.size()));
  };
  auto const reads = calls();
  auto const scripts = scene_.count().scripts;
  // Twice a lease from the last of them: none lives on its first one then.
  EXPECT_TRUE(eventually([&] {
    for (auto const& hold : holds) {
      if (hold.valid_until() < first + 12s) return !hold.held();
    }
    return true;
  }));
  for (auto const& hold : holds) ASSERT_TRUE(hold.held());
  auto const renewals = scene_.count().scripts - scripts;
  EXPECT_GE(renewals, many);
  std::printf("%lld renewals in %lld reads of the server\n", renewals, calls() - reads);
  EXPECT_LT(calls() - reads, renewals / 20) << "they leave together";
}

TEST_P(HoldTest, ThousandsOfHoldsEndInTimeWhenTheServerIsSilent) {
  auto holds = hold_many(scene_.client(), 10'000, 4s);
  std::vector<std::stop_token> stops;
  for (auto const& hold : holds) stops.push_back(hold.stop_token());
  scene_.server.pause();
  EXPECT_TRUE(eventually([&] {
    return std::all_of(stops.begin(), stops.end(),
                       [](auto const& stop) { return stop.stop_requested(); });
  }));
  for (auto const& hold : holds) ASSERT_FALSE(hold.held());
  scene_.server.resume();
  // None may have outlived its lease at the server, which was stopped itself; what it believes:
  for (auto const& hold : holds) ASSERT_LE(hold.valid_until(), steady_clock::now());
}

TEST_P(HoldTest, RenewalGoesOnAfterTheServerForgotItsScripts) {
  auto hold = lock({.lease = 1s}).acquire();
  for (int i = 0; i < 3; ++i) {
    scene_.redis("SCRIPT", "FLUSH");
    ASSERT_TRUE(eventually([&, now = hold.valid_until()] { return hold.valid_until() > now; }));
  }
  EXPECT_TRUE(hold.held());
}

TEST_P(HoldTest, SurvivesBrokenConnectionsByRenewalOverNewOnes) {
  auto hold = lock({.lease = 2s}).acquire();
  auto const stop = hold.stop_token();
  for (int i = 0; i < 3; ++i) {
    scene_.kill_connections();
    ASSERT_TRUE(eventually([&, now = hold.valid_until()] { return hold.valid_until() > now; }));
  }
  EXPECT_TRUE(hold.held());
  EXPECT_FALSE(stop.stop_requested());
  EXPECT_EQ(hold.release(), Release::released);
}

// ---- Loss ----

TEST_P(HoldTest, StopIsRequestedWhenTheLeaseEndsWithoutRenewal) {
  auto const hold = lock({.lease = 100ms, .renew = false}).acquire();
  auto const stop = hold.stop_token();
  EXPECT_FALSE(stop.stop_requested());
  EXPECT_TRUE(stops(stop));
  EXPECT_FALSE(hold.held());
  EXPECT_GE(steady_clock::now(), hold.valid_until());
}

TEST_P(HoldTest, StopIsNotRequestedByRelease) {
  auto hold = lock({.lease = 300ms}).acquire();
  auto const stop = hold.stop_token();
  hold.release();
  std::this_thread::sleep_for(500ms);  // longer than the lease
  EXPECT_FALSE(stop.stop_requested());
  EXPECT_FALSE(hold.stop_token().stop_requested());
}

TEST_P(HoldTest, LossOfTheKeyIsNoticedByTheNextRenewal) {
  auto hold = lock({.lease = 300ms}).acquire();
  auto const stop = hold.stop_token();
  scene_.redis("DEL", "orders");
  EXPECT_TRUE(stops(stop));
  EXPECT_FALSE(hold.held());
  EXPECT_LE(hold.valid_until(), steady_clock::now());
  EXPECT_EQ(hold.release(), Release::expired);
}

TEST_P(HoldTest, StrangerOverTheKeyIsNoticedByTheNextRenewalAndLeftAlone) {
  auto hold = lock({.lease = 300ms}).acquire();
  auto const stop = hold.stop_token();
  scene_.redis("SET", "orders", "stranger");
  EXPECT_TRUE(stops(stop));
  EXPECT_FALSE(hold.held());
  EXPECT_LE(hold.valid_until(), steady_clock::now());
  EXPECT_EQ(scene_.redis("PTTL", "orders").as<int>(), -1);
  EXPECT_EQ(hold.release(), Release::taken_over);
}

TEST_P(HoldTest, StopIsRequestedByTheEndOfValidityWhenTheServerIsSilent) {
  auto hold = lock({.lease = 300ms}).acquire();
  std::atomic<Deadline> stopped_at{Deadline::max()};
  std::stop_callback const note{hold.stop_token(), [&] { stopped_at = steady_clock::now(); }};
  scene_.server.pause();
  EXPECT_TRUE(stops(hold.stop_token()));
  EXPECT_FALSE(hold.held());
  EXPECT_LE(stopped_at.load(), hold.valid_until() + stall);
  scene_.server.resume();
  // The lease ended long ago by the server's clock, unless this machine stalled it together with
  // us.
  EXPECT_NE(hold.release(), Release::unknown);
}

TEST_P(HoldTest, StopIsRequestedByTheEndOfValidityWhenTheServerIsGone) {
  auto hold = lock({.lease = 300ms}).acquire();
  auto const stop = hold.stop_token();
  scene_.server.kill();
  EXPECT_TRUE(stops(stop));
  EXPECT_FALSE(hold.held());
  EXPECT_EQ(hold.release(), Release::unknown);
}

TEST_P(HoldTest, RestartOfTheServerWithoutItsDataIsALoss) {
  auto hold = lock({.lease = 3s}).acquire();
  auto const stop = hold.stop_token();
  scene_.server.restart();
  EXPECT_TRUE(stops(stop));
  EXPECT_EQ(hold.release(), Release::expired);
}

TEST(HoldOnPersistentServerTest, RestartOfTheServerWithItsDataIsNoLoss) {
  support::LockScene scene{3, {.persistent = true}};
  auto hold = Lock{scene.client(), "orders", {.lease = 3s}}.acquire();
  auto const stop = hold.stop_token();
  scene.server.restart();
  ASSERT_TRUE(eventually([&, now = hold.valid_until()] { return hold.valid_until() > now; }));
  EXPECT_FALSE(stop.stop_requested());
  EXPECT_EQ(hold.release(), Release::released);
}

TEST_P(HoldTest, AnotherOneGetsTheLockOfAHoldThatWasLost) {
  auto const hold = lock({.lease = 300ms, .renew = false}).acquire();
  auto const next = lock().acquire();
  EXPECT_FALSE(hold.held());
  EXPECT_GT(next.fence(), hold.fence());
}

// ---- Callbacks ----

TEST_P(HoldTest, CallbackOfItsStopMayUseTheHoldAndTheLock) {
  auto const name = lock({.lease = 100ms, .renew = false});
  auto hold = std::make_optional(name.acquire());
  std::promise<std::string> seen;
  std::stop_callback const callback{hold->stop_token(), [&] {
                                      std::string out = hold->held() ? "held " : "lost ";
                                      out += hold->release() == Release::released ? "released "
                                                                                  : "late ";
                                      auto const again = name.try_acquire();
                                      out += again && again->held() ? "again " : "refused ";
                                      out += again && name.owner() ? "owner" : "nobody";
                                      seen.set_value(out);
                                    }};
  auto const result = seen.get_future().get();
  EXPECT_THAT(result, HasSubstr("lost "));
  EXPECT_THAT(result, HasSubstr("again owner"));
  EXPECT_TRUE(name.try_acquire_for(long_enough)) << "the client's background thread is well";
}

TEST_P(HoldTest, CallbackOfItsStopMayDestroyTheHold) {
  auto const name = lock({.lease = 100ms, .renew = false});
  auto hold = std::make_optional(name.acquire());
  auto const stop = hold->stop_token();
  std::promise<void> done;
  std::stop_callback const callback{stop, [&] {
                                      hold.reset();
                                      done.set_value();
                                    }};
  done.get_future().get();
  EXPECT_TRUE(name.try_acquire_for(long_enough));
}

TEST_P(HoldTest, CallbackOfItsStopMayDropTheLastHandleOfTheClient) {
  auto hold = std::make_optional(lock({.lease = 100ms, .renew = false}).acquire());
  std::promise<void> done;
  std::stop_callback const callback{hold->stop_token(), [&] {
                                      hold.reset();
                                      done.set_value();
                                    }};
  done.get_future().get();
}

TEST_P(HoldTest, CallbackOfItsStopMayDropTheLastHandleOfTheClientWhileTheServerIsGone) {
  auto options = scene_.options();
  options.connect_timeout = 50ms;
  auto hold = std::make_optional(Lock{Client{options}, "orders", {.lease = 300ms}}.acquire());
  auto other = std::make_optional(Lock{Client{options}, "bills", {.lease = 300ms}}.acquire());
  std::promise<void> done;
  std::stop_callback const callback{hold->stop_token(), [&] {
                                      hold.reset();
                                      done.set_value();
                                    }};
  scene_.server.kill();
  done.get_future().get();
  EXPECT_TRUE(eventually([&] { return !other->held(); })) << "somebody else's thread";
}

TEST_P(HoldTest, ReportMayDropTheLastHandleOfTheClient) {
  auto options = scene_.options();
  std::optional<Lock> name;
  std::promise<void> done;
  options.on_error = [&](Error const&) {
    name.reset();
    done.set_value();
  };
  name.emplace(Client{options}, "orders");
  {
    auto const hold = name->acquire();
    scene_.redis("DEL", "orders");
  }
  done.get_future().get();
}

TEST_P(HoldTest, LossOfOneHoldLeavesTheOthersAlone) {
  auto const client = scene_.client();
  auto const lost = Lock{client, "lost", {.lease = 1s}}.acquire();
  auto const kept = Lock{client, "kept", {.lease = 1s}}.acquire();
  scene_.redis("DEL", "lost");
  EXPECT_TRUE(stops(lost.stop_token()));
  ASSERT_TRUE(eventually([&, now = kept.valid_until()] { return kept.valid_until() > now; }));
  EXPECT_TRUE(kept.held());
}

}  // namespace
}  // namespace tandem
