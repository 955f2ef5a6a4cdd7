// Holders and waiters in different pid namespaces of one machine, whose numbers mean other
// processes to each of them.
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/lock.hpp>

#include "support/contained.hpp"
#include "support/forked.hpp"
#include "support/lock_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using support::Contained;
using support::eventually;
using support::Forked;
using support::Waiting;

/// With the /proc of the namespace, and with that of the one around it.
class LockNamespacesTest : public ::testing::TestWithParam<Contained::Proc> {
 protected:
  void SetUp() override {
    if (auto const why = Contained::refusal(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }

  [[nodiscard]] Lock lock(LockOptions const& options = {.lease = 10min}) {
    return Lock{scene_.client(), "orders", options};
  }
  /// The first process of a namespace of its own, which holds the lock.
  [[nodiscard]] std::unique_ptr<Contained> holder(std::function<Lock()> const& lock_of_its) {
    auto out = std::make_unique<Contained>(GetParam(), [&] {
      auto const hold = lock_of_its().acquire();
      for (;;) ::pause();
      return "";
    });
    EXPECT_TRUE(eventually([&] {
      auto const owner = lock().owner();
      return owner && owner->pid == 1;
    }));
    return out;
  }
  /// Whether a waiter lets the holder keep the lock after it has looked after it.
  [[nodiscard]] bool is_left_alone() {
    auto const owner = scene_.value("orders");
    Waiting later{lock()};
    scene_.await_waiters("orders", 1);
    scene_.await_tracking();
    // The look at the process comes before the tracking; a message follows what it finds.
    scene_.redis("PING");
    return !later.over(100ms) && scene_.value("orders") == owner;
  }

  void mark(std::string const& what) { scene_.redis("SET", "mark " + what, 1); }
  [[nodiscard]] bool marked(std::string const& what) {
    auto redis = scene_.client();
    return eventually([&] { return redis.command("EXISTS", "mark " + what).as<bool>(); });
  }

  support::LockScene scene_{};
};

INSTANTIATE_TEST_SUITE_P(Proc, LockNamespacesTest,
                         ::testing::Values(Contained::Proc::own, Contained::Proc::outer),
                         [](auto const& proc) {
                           return proc.param == Contained::Proc::own ? "Own" : "Outer";
                         });

TEST_P(LockNamespacesTest, HolderThatIsKilledInAnotherIsFollowedWhenItsLeaseEndsAndNoSooner) {
  auto const first = holder([&] { return lock({.lease = 3s}); });
  auto const dying = lock().owner();
  auto const fence = scene_.redis("HGET", "{orders}:state", "fence").as<std::uint64_t>();
  Waiting later{lock()};
  scene_.await_waiters("orders", 1);
  scene_.await_tracking();  // it has looked
  ::kill(first->pid(), SIGKILL);
  ASSERT_EQ(first->told(), "signal 9");
  auto const dead = steady_clock::now();
  auto const left = lock().owner();
  ASSERT_TRUE(left && left->token == dying->token && left->lease_left) << "it was followed at once";

  auto const hold = later.get();
  ASSERT_TRUE(hold);
  EXPECT_GE(steady_clock::now(), dead + *left->lease_left - 2ms) << "but for rounding";
  EXPECT_GT(hold->fence() >> 11U, fence);
}

TEST_P(LockNamespacesTest, LivingHolderInAnotherIsNotRobbedThoughItsNumberIsAnothersHere) {
  auto const first = holder([&] { return lock(); });
  EXPECT_TRUE(is_left_alone());
}

TEST_P(LockNamespacesTest, LivingHolderIsNotRobbedByAWaiterInAnotherWhereItsNumberIsNobodys) {
  auto const hold = lock().acquire();
  Contained waiter{GetParam(),
                   [&] { return lock().try_acquire_for(300ms) ? "robbed it" : "gave up"; }};
  scene_.await_waiters("orders", 1);
  scene_.await_tracking();  // it has looked
  EXPECT_EQ(waiter.told(), "gave up");
  EXPECT_TRUE(hold.held());
  EXPECT_EQ(lock().owner()->pid, ::getpid());
}

TEST_P(LockNamespacesTest, ClientThatIsForkedIntoAnotherSpeaksForItselfThere) {
  auto both = lock();
  auto hold = both.acquire();
  auto const ours = both.owner()->token;
  hold.release();
  auto const first = holder([&] { return both; });
  auto const token = both.owner()->token;
  auto const place = [](std::string const& of) {
    std::size_t at = 0;
    for (int i = 0; i < 4; ++i) at = of.find('/', at) + 1;
    return of.substr(at, of.find('/', at) - at);
  };
  EXPECT_NE(place(token), place(ours));
  EXPECT_TRUE(is_left_alone());
}

/// Where processes of one namespace can see one another.
class LockSeenNamespaceTest : public LockNamespacesTest {};

INSTANTIATE_TEST_SUITE_P(Proc, LockSeenNamespaceTest, ::testing::Values(Contained::Proc::own),
                         [](auto const&) { return "Own"; });

TEST_P(LockSeenNamespaceTest, KilledHolderIsFollowedAtOnceWhereAWaiterRunsInItsNamespace) {
  Contained there{GetParam(), [&]() -> std::string {
                    Forked const holder{[&] {
                      auto const hold = lock().acquire();
                      for (;;) ::pause();
                      return "";
                    }};
                    if (!marked("first waits")) return "never told that the first waits";
                    Forked second{[&] { return lock().try_acquire_for(60s) ? "held" : "empty"; }};
                    if (!marked("second waits")) return "never told that the second waits";
                    ::kill(holder.pid(), SIGKILL);
                    return second.told();
                  }};
  ASSERT_TRUE(eventually([&] { return scene_.exists("orders"); }));
  Waiting first{lock()};
  scene_.await_waiters("orders", 1);
  mark("first waits");
  scene_.await_waiters("orders", 2);
  mark("second waits");
  EXPECT_TRUE(first.over(5s)) << "the second, which runs there, has told";
  auto hold = first.get();
  ASSERT_TRUE(hold);
  EXPECT_EQ(hold->release(), Release::released);
  EXPECT_EQ(there.told(), "held");
}

}  // namespace
}  // namespace tandem
