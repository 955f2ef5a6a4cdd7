// One lock and many processes, some of which are killed, stopped or forked at the wrong moment.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <future>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/lock.hpp>

#include "support/forked.hpp"
#include "support/history.hpp"
#include "support/limited_resource.hpp"
#include "support/lock_scene.hpp"
#include "support/sanitized.hpp"
#include "support/shared_memory.hpp"
#include "support/watched_process.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using support::eventually;
using support::Forked;
using support::History;
using support::long_enough;
using support::Shared;
using support::Waiting;

class LockProcessesTest : public ::testing::Test {
 protected:
  [[nodiscard]] Lock lock(LockOptions const& options = {}) {
    return Lock{scene_.client(), "orders", options};
  }

  /// Marks that processes show one another.
  void mark(std::string const& what) { scene_.redis("SET", "mark " + what, 1); }
  [[nodiscard]] bool marked(std::string const& what) {
    return eventually([&] { return scene_.exists("mark " + what); });
  }
  [[nodiscard]] bool is_marked(std::string const& what) { return scene_.exists("mark " + what); }

  static void signal(Forked const& process, int number) {
    ASSERT_EQ(::kill(process.pid(), number), 0);
  }
  static void stop(Forked const& process) {
    signal(process, SIGSTOP);
    ASSERT_TRUE(eventually([&] { return support::ProcessFacts{process.pid()}.state() == 'T'; }));
  }
  static void go_on(Forked const& process) { signal(process, SIGCONT); }
  /// Until the server knows of `count` listening clients.
  void await_listeners(std::size_t count) {
    ASSERT_TRUE(eventually([&] {
      return scene_.redis("PUBSUB", "CHANNELS", "tandem:*").as<std::vector<std::string>>().size() ==
             count;
    }));
  }

  support::LockScene scene_{};
};

// ---- Killed ----

TEST_F(LockProcessesTest, HolderThatIsKilledIsFollowedWhenItsLeaseEnds) {
  Forked holder{[&] {
    auto const hold = lock({.lease = 1s}).acquire();
    mark("held");
    for (;;) ::pause();
    return "";
  }};
  ASSERT_TRUE(marked("held"));
  auto const fence = scene_.redis("HGET", "{orders}:state", "fence").as<std::uint64_t>();
  Waiting later{lock()};
  scene_.await_waiters("orders", 1);
  EXPECT_FALSE(later.over(1500ms)) << "it is renewed as long as it lives";
  signal(holder, SIGKILL);
  auto const hold = later.get();
  ASSERT_TRUE(hold);
  EXPECT_GT(hold->fence(), fence);
}

TEST_F(LockProcessesTest, WaiterThatIsKilledIsPassedOverByTheReleaseItself) {
  auto const ours = lock();
  auto hold = ours.acquire();
  await_listeners(1);
  Forked waiter{[&] { return lock().try_acquire_for(long_enough) ? "held" : "empty"; }};
  scene_.await_waiters("orders", 1);
  Waiting later{lock()};
  scene_.await_waiters("orders", 2);
  auto const pid = std::to_string(waiter.pid());
  signal(waiter, SIGKILL);
  await_listeners(2);
  hold.release();
  EXPECT_EQ(scene_.waiters("orders"), 0);
  EXPECT_EQ(ours.owner()->pid, ::getpid()) << "and not " << pid;
  EXPECT_TRUE(later.get());
}

// ---- Stopped ----

TEST_F(LockProcessesTest, WaiterThatSleptThroughItsGrantDoesNotTakeItForAHold) {
  auto hold = std::make_optional(lock().acquire());
  Shared<std::atomic<std::uint64_t>> fence_of_the_sleeper;
  Forked sleeper{[&] {
    auto const mine = lock().try_acquire_for(60s);
    if (!mine) return "empty";
    *fence_of_the_sleeper = mine->fence();
    mark("slept");
    return mine->held() ? "held" : "not held";
  }};
  scene_.await_waiters("orders", 1);
  Waiting next{lock()};
  scene_.await_waiters("orders", 2);

  stop(sleeper);
  auto const first = hold->fence();
  hold.reset();
  EXPECT_EQ(lock().owner()->pid, sleeper.pid())
      << "its connection stands, so it is granted the lock";
  auto second = next.get();  // when the grant has lapsed
  ASSERT_TRUE(second);
  EXPECT_GT(second->fence(), first);

  go_on(sleeper);
  scene_.await_waiters("orders", 1);  // it has read its grant, asked, and stands in the queue again
  EXPECT_FALSE(is_marked("slept"));
  EXPECT_TRUE(second->held());
  auto const fence = second->fence();
  second.reset();
  EXPECT_EQ(sleeper.told(), "held");
  EXPECT_GT(*fence_of_the_sleeper, fence);
}

TEST_F(LockProcessesTest, HolderThatSleptPastItsLeaseKnowsAndDoesNoHarm) {
  Forked sleeper{[&] {
    auto hold = lock({.lease = 500ms}).acquire();
    auto const stop = hold.stop_token();
    mark("held");
    while (!is_marked("taken over")) std::this_thread::sleep_for(1ms);  // is stopped in here
    std::string out = hold.held() ? "held" : "lost";
    out += eventually([&] { return stop.stop_requested(); }) ? ", stopped" : ", not stopped";
    out += hold.release() == Release::taken_over ? ", taken over" : ", something else";
    return out;
  }};
  ASSERT_TRUE(marked("held"));
  Waiting later{lock()};
  scene_.await_waiters("orders", 1);
  stop(sleeper);
  auto const hold = later.get();
  ASSERT_TRUE(hold);
  mark("taken over");
  go_on(sleeper);
  EXPECT_EQ(sleeper.told(), "lost, stopped, taken over");
  EXPECT_TRUE(hold->held());
  EXPECT_EQ(lock().owner()->pid, ::getpid());
}

// ---- Forked ----

TEST_F(LockProcessesTest, ChildOfAForkHoldsNothingAndReleasesNothingByAnyMeans) {
  auto hold = std::make_optional(lock({.lease = 1s}).acquire());
  auto const stop = hold->stop_token();
  EXPECT_EQ(support::in_child([&]() -> std::string {
              if (hold->held()) return "held";
              if (hold->release() != Release::unknown) return "released";
              if (hold->stop_token().stop_requested()) return "stopped";
              hold.reset();
              return "nothing";
            }),
            "nothing");
  EXPECT_EQ(support::in_child([&]() -> std::string {
              *hold = Lock{scene_.client(), "bills"}.acquire();  // over what was inherited
              return hold->held() ? "another" : "lost";
            }),
            "another");
  ASSERT_TRUE(eventually([&, now = hold->valid_until()] { return hold->valid_until() > now; }))
      << "the parent's renewals";
  EXPECT_TRUE(hold->held());
  EXPECT_FALSE(stop.stop_requested());
  EXPECT_EQ(hold->release(), Release::released);
}

TEST_F(LockProcessesTest, ChildThatExitsLeavesItsParentsHoldAlone) {
  static std::optional<Hold> inherited;  // destroyed by exit()
  inherited.emplace(lock({.lease = 60s}).acquire());
  std::fflush(nullptr);
  auto const child = ::fork();
  if (child == 0) std::exit(0);  // NOLINT(concurrency-mt-unsafe): that is the point
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_TRUE(scene_.exists("orders"));
  EXPECT_EQ(inherited->release(), Release::released);
  inherited.reset();
}

TEST_F(LockProcessesTest, LockThatWasMadeAndNotUsedBeforeAForkWorksInTheChild) {
  auto const both = lock();
  EXPECT_EQ(support::in_child([&] { return both.acquire().held() ? "held" : "lost"; }), "held");
}

TEST_F(LockProcessesTest, LockThatWasUsedBeforeAForkWorksInBothAfterIt) {
  auto const both = lock({.lease = 3s});  // a stall must not end it
  both.acquire().release();
  Forked child{[&]() -> std::string {
    auto hold = both.acquire();
    mark("child holds");
    if (!eventually([&, first = hold.valid_until()] { return hold.valid_until() > first; }))
      return "not renewed";
    return hold.release() == Release::released ? "released" : "lost";
  }};
  ASSERT_TRUE(marked("child holds"));
  auto hold = both.try_acquire_for(long_enough);
  ASSERT_TRUE(hold);
  EXPECT_EQ(child.told(), "released");
  ASSERT_TRUE(eventually([&, first = hold->valid_until()] { return hold->valid_until() > first; }));
  EXPECT_EQ(hold->release(), Release::released);
}

TEST_F(LockProcessesTest, ForkWhileOtherThreadsWaitLeavesThemAndTheChildWell) {
  auto const both = lock();
  auto hold = std::make_optional(Lock{scene_.client(), "orders"}.acquire());
  Waiting one{both};
  scene_.await_waiters("orders", 1);
  Waiting other{both};  // behind that one, in this process
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(support::in_child([&]() -> std::string {
                if (both.try_acquire()) return "let in";
                if (both.try_acquire_for(50ms)) return "let in after waiting";
                return scene_.waiters("orders") == 1 ? "out" : "queue is wrong";
              }),
              "out");
  }
  hold.reset();
  EXPECT_TRUE(one.get());
  EXPECT_TRUE(other.get());
}

TEST_F(LockProcessesTest, ForksDuringAcquisitionsOfOtherThreadsHarmNobody) {
  if (support::child_may_find_malloc_locked) GTEST_SKIP() << "the sanitizer's fault";
  auto const both = lock();
  std::atomic<bool> over = false;
  std::vector<std::jthread> busy;
  for (int i = 0; i < 2; ++i) {
    busy.emplace_back([&] {
      while (!over) {
        auto const hold = both.acquire();
        EXPECT_TRUE(hold.held());
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(
        support::in_child([&] { return both.try_acquire_for(long_enough) ? "held" : "empty"; }),
        "held");
  }
  over = true;
}

// ---- Many ----

constexpr int processes = 8;

struct Swarm {
  std::atomic<bool> over{false};
  std::array<std::atomic<int>, processes> acquisitions{};
  support::LimitedResource resource{};
  std::atomic<std::uint64_t> highest_fence{0};
  std::atomic<int> refused_writes{0};
  std::atomic<int> faults{0};
  History history{};

  /// What a resource does that knows fences: it refuses one lower than it has seen.
  void write(std::uint64_t fence) {
    auto seen = highest_fence.load();
    while (fence > seen && !highest_fence.compare_exchange_weak(seen, fence)) {
    }
    if (fence < seen) ++refused_writes;
  }
};

TEST_F(LockProcessesTest, EightProcessesShareALockFairlyAndOneAtATime) {
  Shared<Swarm> const swarm;
  std::vector<std::unique_ptr<Forked>> members;
  for (int slot = 0; slot < processes; ++slot) {
    members.push_back(std::make_unique<Forked>([&, slot] {
      auto const mine = lock();
      while (!swarm->over) {
        auto const hold = mine.try_acquire_for(long_enough);
        if (!hold) return "gave up";
        auto* const entry = swarm->history.enter(slot, *hold);
        swarm->resource.use(50us);
        History::leave(entry);
      }
      return "done";
    }));
  }
  // The race begins when all are in it, and they come in one after the other.
  ASSERT_TRUE(eventually([&] {
    auto const holds = swarm->history.holds_by_slot(processes);
    return std::all_of(holds.begin(), holds.end(), [](int each) { return each > 0; });
  }));
  auto const before = swarm->history.holds_by_slot(processes);
  std::this_thread::sleep_for(2s);  // of the race
  auto const after = swarm->history.holds_by_slot(processes);
  swarm->over = true;
  for (auto const& each : members) EXPECT_EQ(each->told(), "done");

  std::vector<int> holds;
  for (std::size_t i = 0; i < processes; ++i) holds.push_back(after[i] - before[i]);
  auto const [least, most] = std::minmax_element(holds.begin(), holds.end());
  std::printf("%d to %d acquisitions for each of %d processes in 2 s: %.3f\n", *least, *most,
              processes, static_cast<double>(*least) / *most);
  EXPECT_GE(*least * 2, *most);
  EXPECT_EQ(swarm->resource.collisions(), 0);
  EXPECT_EQ(swarm->history.fault(), "");
}

/// Acquires, works and releases until it is over or killed, whatever happens around it.
std::string work(Swarm& swarm, int slot, Lock const& lock) {
  std::minstd_rand random{static_cast<unsigned>(::getpid())};
  while (!swarm.over) {
    try {
      auto const hold = lock.try_acquire_for(2s);
      if (!hold) continue;
      auto* const entry = swarm.history.enter(slot, *hold);
      auto const until = steady_clock::now() + std::chrono::microseconds{random() % 3000};
      while (History::look(entry, *hold) && steady_clock::now() < until)
        std::this_thread::sleep_for(100us);
      swarm.write(hold->fence());
      History::leave(entry);
    } catch (Error const&) {
      ++swarm.faults;  // the server was away for longer than this call was willing to wait
    }
  }
  return "done";
}

class LockSwarmTest : public ::testing::Test {
 protected:
  std::unique_ptr<Forked> member(int slot) {
    return std::make_unique<Forked>([this, slot] {
      auto options = scene_.options();
      options.on_error = [](Error const&) {
      };  // of holds that were lost: that is what the test is about
      return work(*swarm_, slot, Lock{Client{options}, "orders", {.lease = 500ms}});
    });
  }

  /// Does `fault` again and again for `time`, then lets all finish and checks what they wrote down.
  template <class Fault>
  void run(std::chrono::milliseconds time, Fault&& fault) {
    for (int slot = 0; slot < processes; ++slot) members_.push_back(member(slot));
    auto const end = steady_clock::now() + time;
    for (int round = 0; steady_clock::now() < end; ++round) {
      std::this_thread::sleep_for(
          std::chrono::milliseconds{20 + random_() % 80});  // between two faults
      fault(round);
    }
    auto const before = swarm_->history.holds_by_slot(processes);
    EXPECT_TRUE(eventually([&] {
      auto const now = swarm_->history.holds_by_slot(processes);
      for (std::size_t i = 0; i < processes; ++i) {
        if (now[i] == before[i]) return false;
      }
      return true;
    })) << "each of them goes on when the faults are over";
    swarm_->over = true;
    for (auto const& each : members_) EXPECT_EQ(each->told(), "done");

    auto const holds = swarm_->history.holds_by_slot(processes);
    auto const [least, most] = std::minmax_element(holds.begin(), holds.end());
    std::printf("%zu holds, %d to %d for each; %d calls failed, %d writes with an old fence\n",
                swarm_->history.holds(), *least, *most, swarm_->faults.load(),
                swarm_->refused_writes.load());
    EXPECT_GT(*least, 0);
    EXPECT_EQ(swarm_->history.fault(), "");
  }

  [[nodiscard]] std::size_t anyone() { return random_() % processes; }

  support::LockScene scene_{3, {.persistent = true}};
  Shared<Swarm> const swarm_;
  std::vector<std::unique_ptr<Forked>> members_{};
  std::minstd_rand random_{20261123};
};

TEST_F(LockSwarmTest,
       NoTwoHoldsAreValidAtOnceWhileProcessesAreKilledAndConnectionsCutAndTheServerRestarts) {
  run(6s, [&](int round) {
    if (round == 50) {
      scene_.server.restart();
    } else if (round % 3 == 0) {
      auto const slot = anyone();
      auto const pid = members_[slot]->pid();
      auto const before = History::now();
      members_[slot].reset();  // kill -9
      swarm_->history.died(pid, before);
      members_[slot] = member(static_cast<int>(slot));
    } else if (round % 3 == 1) {
      scene_.kill_connections();
    }
  });
}

TEST_F(LockSwarmTest, NoTwoHoldsAreValidAtOnceWhileProcessesAndTheServerAreStoppedPastTheirLeases) {
  run(6s, [&](int round) {
    if (round % 8 == 7) {
      scene_.server.pause();
      std::this_thread::sleep_for(std::chrono::milliseconds{random_() % 700});  // a lease is 500
      scene_.server.resume();
      return;
    }
    auto const& sleeper = *members_[anyone()];
    ASSERT_EQ(::kill(sleeper.pid(), SIGSTOP), 0);
    std::this_thread::sleep_for(std::chrono::milliseconds{random_() % 700});
    ASSERT_EQ(::kill(sleeper.pid(), SIGCONT), 0);
  });
}

}  // namespace
}  // namespace tandem
