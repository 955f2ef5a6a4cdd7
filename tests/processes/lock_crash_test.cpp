// A holder whose process dies, on the machine of those who wait.
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <tandem/lock.hpp>

#include "support/forked.hpp"
#include "support/lock_scene.hpp"
#include "support/watched_process.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::Forked;
using support::Waiting;

class LockCrashTest : public ::testing::Test {
 protected:
  [[nodiscard]] Lock lock(LockOptions const& options = {.lease = 10min}) {
    return Lock{scene_.client(), "orders", options};
  }
  /// A process that holds the lock.
  [[nodiscard]] std::unique_ptr<Forked> holder(LockOptions const& options = {.lease = 10min}) {
    auto out = std::make_unique<Forked>([this, options] {
      auto const hold = lock(options).acquire();
      for (;;) ::pause();
      return "";
    });
    EXPECT_TRUE(eventually([&] {
      auto const owner = lock().owner();
      return owner && owner->pid == out->pid();
    }));
    return out;
  }
  /// As a process of this place would have made it.
  [[nodiscard]] std::string token(int pid, std::string const& start, std::string const& place) {
    return "0123456789abcdef/7/" + std::to_string(pid) + "/" + start + "/" + place + "/host/";
  }
  struct Self {
    std::string start;
    std::string place;
  };
  [[nodiscard]] Self self() {
    auto const mine = Lock{scene_.client(), "mine"};
    auto const hold = mine.acquire();
    std::string rest = mine.owner()->token;
    std::vector<std::string> parts;
    for (std::size_t at = 0; (at = rest.find('/')) != std::string::npos;) {
      parts.push_back(rest.substr(0, at));
      rest.erase(0, at + 1);
    }
    return {parts.at(3), parts.at(4)};
  }
  [[nodiscard]] std::uint64_t fence() {
    return scene_.redis("HGET", "{orders}:state", "fence").as<std::uint64_t>();
  }
  /// Whether a waiter lets `owner` keep the lock after it has looked after it.
  [[nodiscard]] bool is_left_alone(std::string const& owner) {
    scene_.redis("SET", "orders", owner, "PX", 600'000);
    Waiting later{lock()};
    scene_.await_waiters("orders", 1);
    scene_.await_tracking();
    // The look at the process comes before the tracking; a message follows what it finds.
    scene_.redis("PING");
    return !later.over(100ms) && scene_.value("orders") == owner;
  }

  support::LockScene scene_{};
};

TEST_F(LockCrashTest, KilledHolderIsFollowedAtOnceWithAHigherFence) {
  for (int round = 0; round < 5; ++round) {
    auto const first = holder();
    auto const before = fence();
    Waiting later{lock()};
    scene_.await_waiters("orders", 1);
    scene_.await_tracking();  // it has looked, and saw it alive
    ::kill(first->pid(), SIGKILL);
    EXPECT_TRUE(later.over(5s)) << "sooner than it would look anyway";
    auto const hold = later.get();
    ASSERT_TRUE(hold);
    EXPECT_GT(hold->fence() >> 11U, before);
  }
}

TEST_F(LockCrashTest, HolderThatDiedBeforeAnybodyWaitedIsFollowedAtOnce) {
  auto first = holder();
  first.reset();
  EXPECT_TRUE(lock().try_acquire_for(support::long_enough));
}

TEST_F(LockCrashTest, HolderThatEndsWithoutReleasingIsFollowedAtOnce) {
  Forked first{[&] {
    auto const lock = this->lock();
    auto hold = lock.acquire();
    ::_exit(0);
    return "";
  }};
  ASSERT_TRUE(eventually([&] { return scene_.exists("orders"); }));
  EXPECT_TRUE(lock().try_acquire_for(support::long_enough));
}

TEST_F(LockCrashTest, FirstOfTheQueueFollowsWhoeverSawTheDeath) {
  auto const dying = holder();
  Waiting first{lock()};
  scene_.await_waiters("orders", 1);
  Waiting second{lock()};
  scene_.await_waiters("orders", 2);
  ::kill(dying->pid(), SIGKILL);
  auto hold = first.get();
  ASSERT_TRUE(hold);
  EXPECT_FALSE(second.over());
  hold.reset();
  EXPECT_TRUE(second.get());
}

TEST_F(LockCrashTest, HolderAfterAHandOffIsWatchedToo) {
  auto hold = std::make_optional(lock().acquire());
  Forked next{[&] {
    auto const mine = lock().acquire();
    for (;;) ::pause();
    return "";
  }};
  scene_.await_waiters("orders", 1);
  Waiting last{lock()};
  scene_.await_waiters("orders", 2);
  hold.reset();
  ASSERT_TRUE(eventually([&] {
    auto const owner = lock().owner();
    return owner && owner->pid == next.pid() && owner->lease_left > 1min;
  }));
  ::kill(next.pid(), SIGKILL);
  EXPECT_TRUE(last.get());
}

TEST_F(LockCrashTest, StoppedHolderIsNotRobbed) {
  auto const first = holder();
  ::kill(first->pid(), SIGSTOP);
  ASSERT_TRUE(eventually([&] { return support::ProcessFacts{first->pid()}.state() == 'T'; }));
  EXPECT_TRUE(is_left_alone(scene_.value("orders")));
  ::kill(first->pid(), SIGCONT);
}

TEST_F(LockCrashTest, LivingHolderWhoseConnectionsAreGoneIsNotRobbed) {
  auto const first = holder();
  scene_.kill_connections();
  EXPECT_TRUE(is_left_alone(scene_.value("orders")));
}

TEST_F(LockCrashTest, PidThatIsNobodysIsADeadHolders) {
  scene_.redis("SET", "orders", token(4'194'300, "1", self().place), "PX", 600'000);
  EXPECT_TRUE(lock().try_acquire_for(support::long_enough));
}

TEST_F(LockCrashTest, PidThatBelongsToALaterProcessIsADeadHolders) {
  scene_.redis("SET", "orders", token(::getpid(), "1", self().place), "PX", 600'000);
  EXPECT_TRUE(lock().try_acquire_for(support::long_enough));
}

TEST_F(LockCrashTest, LivingProcessIsLeftAlone) {
  auto const me = self();
  EXPECT_TRUE(is_left_alone(token(::getpid(), me.start, me.place)));
}

TEST_F(LockCrashTest, NothingIsConcludedAboutAnotherPlace) {
  auto const me = self();
  EXPECT_TRUE(is_left_alone(token(4'194'300, "1", "another-boot.1.2")));
  EXPECT_TRUE(is_left_alone(token(4'194'300, "1", me.place + "0")));
  EXPECT_TRUE(is_left_alone(token(4'194'300, "1", "-")));
  EXPECT_TRUE(is_left_alone(token(4'194'300, "-", me.place)));
}

TEST_F(LockCrashTest, NothingIsConcludedFromAStrangersValue) {
  EXPECT_TRUE(is_left_alone("4194300"));
  EXPECT_TRUE(is_left_alone("a/b/c/d/e/f/g"));
}

}  // namespace
}  // namespace tandem
