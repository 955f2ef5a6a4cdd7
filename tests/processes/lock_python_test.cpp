// One lock, used by tandem's processes and by Python's with the Lock of redis-py.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tandem/lock.hpp>

#include "support/forked.hpp"
#include "support/history.hpp"
#include "support/lock_scene.hpp"
#include "support/shared_memory.hpp"
#include "support/sockets.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using support::Descriptor;
using support::eventually;
using support::Forked;
using support::History;
using support::HoldOrder;
using support::long_enough;
using support::required;
using support::Shared;
using support::Waiting;

/// A Python process with a Lock of redis-py's of the name "orders". support/use_lock.py has what it
/// can be told, and what it answers.
class Python {
 public:
  explicit Python(std::string const& socket, std::string const& lease = "60") {
    int ends[2];
    required(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
    line_ = Descriptor{ends[0]};
    Descriptor const theirs{ends[1]};
    process_.emplace([&]() -> std::string {
      constexpr auto python = "/usr/bin/python3";
      required(::dup2(theirs.get(), STDIN_FILENO), "dup2");
      required(::dup2(theirs.get(), STDOUT_FILENO), "dup2");
      // -I: with Debian's modules, whatever the environment says
      ::execl(python, python, "-I", TANDEM_USE_LOCK, socket.c_str(), "orders", lease.c_str(),
              nullptr);
      return "there is no /usr/bin/python3";
    });
    EXPECT_EQ(hear(), "ready");
  }

  /// Its answer; how it ended, when it did not answer.
  std::string operator()(std::string const& words) {
    say(words);
    return hear();
  }
  void say(std::string const& words) const {
    auto const line = words + "\n";
    EXPECT_EQ(::send(line_.get(), line.data(), line.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(line.size()));
  }
  [[nodiscard]] std::string hear() {
    auto const give_up = steady_clock::now() + 60s;
    for (std::size_t end = 0; (end = heard_.find('\n')) == std::string::npos;) {
      pollfd event{line_.get(), POLLIN, 0};
      auto const left = std::chrono::ceil<std::chrono::milliseconds>(give_up - steady_clock::now());
      if (left.count() <= 0 || ::poll(&event, 1, static_cast<int>(left.count())) == 0)
        return "no answer";
      char buffer[4096];
      auto const got = ::read(line_.get(), buffer, sizeof buffer);
      if (got <= 0) return "ended: " + process_->told();
      heard_.append(buffer, static_cast<std::size_t>(got));
    }
    auto const end = heard_.find('\n');
    auto out = heard_.substr(0, end);
    heard_.erase(0, end + 1);
    return out;
  }

 private:
  Descriptor line_{};
  std::string heard_{};
  std::optional<Forked> process_{};
};

class LockPythonTest : public ::testing::Test {
 protected:
  [[nodiscard]] Lock lock(LockOptions const& options = {}) {
    return Lock{scene_.client(), "orders", options};
  }
  [[nodiscard]] std::string socket() { return scene_.server.socket_path(); }

  support::LockScene scene_{};
};

// ---- Who holds ----

TEST_F(LockPythonTest, WhoeverHoldsTheOtherIsRefused) {
  Python python{socket()};
  ASSERT_EQ(python("try"), "True");
  EXPECT_FALSE(lock().try_acquire());
  EXPECT_FALSE(lock().try_acquire_for(50ms));
  EXPECT_EQ(python("owned"), "True");
  EXPECT_EQ(python("release"), "None");
  auto hold = lock().try_acquire();
  ASSERT_TRUE(hold);
  EXPECT_EQ(python("try"), "False");
  EXPECT_EQ(hold->release(), Release::released);
  EXPECT_EQ(python("try"), "True");
}

TEST_F(LockPythonTest, PythonWhichWaitsFollowsOurRelease) {
  Python python{socket()};
  auto hold = lock().acquire();
  python.say("wait 20");
  ASSERT_TRUE(eventually([&] {
    return scene_.redis("INFO", "commandstats").as<std::string>().find("cmdstat_set:") !=
           std::string::npos;
  })) << "it asks";
  EXPECT_EQ(hold.release(), Release::released);
  EXPECT_EQ(python.hear(), "True");
  EXPECT_FALSE(lock().try_acquire());
}

TEST_F(LockPythonTest, OurWaiterFollowsTheReleaseOfPythonWithoutPolling) {
  Python python{socket()};
  std::vector<std::chrono::microseconds> took;
  for (int i = 0; i < 9; ++i) {
    scene_.reset_count();
    ASSERT_EQ(python("try"), "True");
    Waiting later{lock()};
    scene_.await_waiters("orders", 1);
    scene_.await_tracking();
    scene_.reset_count();
    auto const released = steady_clock::now();
    ASSERT_EQ(python("release"), "None");
    ASSERT_TRUE(later.over(5s)) << "sooner than it would look anyway";
    auto const hold = later.get();
    took.push_back(
        std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - released));
    ASSERT_TRUE(hold);
    EXPECT_LE(scene_.count().all, 2 + 1 + 3 + 1)
        << "Python's release, unknown to the server at first; an answer to a question of before, a "
           "look at the key, and the acquisition";
  }
  std::nth_element(took.begin(), took.begin() + 4, took.end());
  std::printf("median of 9: %lld us\n", static_cast<long long>(took[4].count()));
  // The target is 50 ms. Without notice it would be the lease of a minute.
  EXPECT_LE(took[4], 1s);
}

TEST_F(LockPythonTest, OurWaitersSendAtMostOneCommandASecondEachWhilePythonHolds) {
  constexpr int waiters = 4;
  Python python{socket()};
  ASSERT_EQ(python("try"), "True");
  std::vector<std::unique_ptr<Forked>> waiting;
  for (int i = 0; i < waiters; ++i) {
    waiting.push_back(
        std::make_unique<Forked>([&] { return lock().try_acquire_for(60s) ? "held" : "empty"; }));
  }
  scene_.await_waiters("orders", waiters);
  scene_.await_tracking();

  scene_.reset_count();
  auto const begin = steady_clock::now();
  std::this_thread::sleep_for(3s);  // of idleness
  auto const all = scene_.count().all;
  std::chrono::duration<double> const idle = steady_clock::now() - begin;
  auto const each = static_cast<double>(all) / waiters / idle.count();
  std::printf("%lld commands of %d waiters: %.2f for each and second\n", all, waiters, each);
  EXPECT_LE(each, 1);
  EXPECT_EQ(python("release"), "None");
  for (auto const& each_of_them : waiting) EXPECT_EQ(each_of_them->told(), "held");
}

// ---- Who holds no longer ----

TEST_F(LockPythonTest, ReleaseOfPythonRaisesWhenTheLockIsOursByThenAndLeavesItToUs) {
  Python python{socket(), "0.3"};
  ASSERT_EQ(python("try"), "True");
  auto hold = lock().try_acquire_for(long_enough);
  ASSERT_TRUE(hold);
  EXPECT_EQ(python("owned"), "False");
  EXPECT_EQ(python("extend 60"), "LockNotOwnedError");
  EXPECT_EQ(python("release"), "LockNotOwnedError");
  EXPECT_TRUE(hold->held());
  EXPECT_EQ(hold->release(), Release::released);
}

TEST_F(LockPythonTest, OurReleaseSaysTakenOverWhenTheLockIsPythonsByThenAndLeavesItToIt) {
  Python python{socket()};
  auto hold = lock({.lease = 300ms, .renew = false}).acquire();
  ASSERT_EQ(python("wait 20"), "True");
  EXPECT_FALSE(hold.held());
  EXPECT_EQ(hold.release(), Release::taken_over);
  EXPECT_EQ(python("owned"), "True");
  EXPECT_EQ(python("release"), "None");
}

TEST_F(LockPythonTest, LockThatPythonExtendsIsNotTakenWhenItWouldHaveEnded) {
  Python python{socket(), "0.5"};
  ASSERT_EQ(python("try"), "True");
  Waiting later{lock()};
  scene_.await_waiters("orders", 1);
  ASSERT_EQ(python("extend 60"), "True");
  EXPECT_FALSE(later.over(1s)) << "twice the lease that it was told of";
  EXPECT_EQ(python("owned"), "True");
  EXPECT_EQ(python("release"), "None");
  EXPECT_TRUE(later.over(5s)) << "sooner than it would look anyway";
  EXPECT_TRUE(later.get());
}

TEST_F(LockPythonTest,
       LockOfPythonWithoutATimeoutIsGivenOurLeaseByTheFirstWaiterAndPythonIsToldAtItsRelease) {
  Python python{socket(), "none"};
  ASSERT_EQ(python("try"), "True");
  EXPECT_FALSE(lock({.lease = 300ms}).try_acquire());
  EXPECT_EQ(scene_.redis("PTTL", "orders").as<int>(), -1) << "who does not wait has no say in it";
  auto hold = lock({.lease = 300ms}).try_acquire_for(long_enough);
  ASSERT_TRUE(hold) << "a living holder cannot be told from one that died";
  EXPECT_EQ(python("release"), "LockNotOwnedError");
  EXPECT_EQ(hold->release(), Release::released);
}

// ---- Many ----

constexpr int of_each = 4;

struct Swarm {
  std::atomic<bool> over{false};
  History history{};
};

/// What the Pythons do in use_lock.py, with ours.
std::string compete(Swarm& swarm, int slot, Client redis, Lock const& lock) {
  while (!swarm.over) {
    auto const hold = lock.try_acquire_for(30s);
    if (!hold) return "waited for nothing";
    auto* const entry = swarm.history.enter(slot, *hold);
    auto const seen = redis.command("GET", "sum").as<std::optional<std::int64_t>>().value_or(0);
    std::this_thread::sleep_for(1ms);  // in which a second holder's one gets lost
    redis.command("SET", "sum", seen + 1);
    History::leave(entry);
  }
  return "done";
}

TEST_F(LockPythonTest, ProcessesOfBothHoldItOneAtATimeAndEachHasItsTurn) {
  constexpr std::size_t turns = 20;
  Shared<Swarm> const swarm;
  std::vector<std::unique_ptr<Forked>> ours;
  for (int slot = 0; slot < of_each; ++slot) {
    ours.push_back(std::make_unique<Forked>([&, slot] {
      // Python asks each 5 ms: it must meet a key that is free.
      return compete(*swarm, slot, scene_.client(),
                     lock({.yield_to_foreign = 5, .yield_for = 50ms}));
    }));
  }
  std::vector<std::unique_ptr<Python>> pythons;
  for (int i = 0; i < of_each; ++i) {
    pythons.push_back(std::make_unique<Python>(socket()));
    pythons.back()->say("compete");
  }
  EXPECT_TRUE(eventually(
      [&] {
        auto const by_slot = swarm->history.holds_by_slot(of_each);
        auto const by_python = scene_.redis("HVALS", "turns").as<std::vector<std::size_t>>();
        auto const enough = [](auto each) { return static_cast<std::size_t>(each) >= turns; };
        return std::all_of(by_slot.begin(), by_slot.end(), enough) && by_python.size() == of_each &&
               std::all_of(by_python.begin(), by_python.end(), enough);
      },
      60s))
      << "each of them has its turns";
  scene_.redis("SET", "stop", 1);
  swarm->over = true;

  HoldOrder order;
  std::size_t theirs = 0;
  for (auto const& each : ours) EXPECT_EQ(each->told(), "done");
  for (auto const& python : pythons) {
    std::istringstream moments{python->hear()};
    support::PastHold hold{.how = "Python left"};
    while (moments >> hold.entered >> hold.ended) {
      order.add(hold);
      ++theirs;
    }
    EXPECT_TRUE(moments.eof()) << "told: " << moments.str();
  }
  swarm->history.take_out(order);
  EXPECT_EQ(order.look(), "");
  EXPECT_EQ(swarm->history.overflows(), 0U);
  std::printf("%zu holds, %zu of them Python's\n", order.looked_at(), theirs);
  EXPECT_EQ(scene_.value("sum"), std::to_string(order.looked_at()))
      << "two at a time would have lost one another's";
}

}  // namespace
}  // namespace tandem
