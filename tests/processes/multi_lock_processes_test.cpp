// Several locks of processes that are killed while they hold them, or some of them.
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <tandem/lock.hpp>
#include <tandem/multi_lock.hpp>

#include "support/forked.hpp"
#include "support/lock_scene.hpp"
#include "support/shared_memory.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::Forked;
using support::Shared;
using support::Waiting;

using Names = std::vector<std::string>;
using MultiWaiting = support::WaitingFor<MultiHold>;

class MultiLockProcessesTest : public ::testing::Test {
 protected:
  [[nodiscard]] MultiLock several(Names names) {
    return MultiLock{scene_.client(), std::move(names), {.lease = 10min}};
  }
  [[nodiscard]] Lock one(std::string const& name) {
    return Lock{scene_.client(), name, {.lease = 10min}};
  }
  /// A process that acquires them, and keeps what it gets until it is killed.
  [[nodiscard]] std::unique_ptr<Forked> taker(Names const& names) {
    return std::make_unique<Forked>([this, names] {
      auto const hold = several(names).acquire();
      for (;;) ::pause();
      return "";
    });
  }
  [[nodiscard]] bool is_held_by(Forked const& process, std::string const& name) {
    return eventually([&] {
      auto const owner = one(name).owner();
      return owner && owner->pid == process.pid();
    });
  }

  support::LockScene scene_{};
};

TEST_F(MultiLockProcessesTest, KilledHolderIsFollowedAtOnceByTheWaitersOfEachName) {
  auto const holder = taker({"a", "b"});
  ASSERT_TRUE(is_held_by(*holder, "b"));
  auto const client = scene_.client();  // of one client: it sees one death, and two locks
  Waiting first{Lock{client, "a"}};
  Waiting second{Lock{client, "b"}};
  scene_.await_waiters("a", 1);
  scene_.await_waiters("b", 1);
  EXPECT_FALSE(first.over(100ms)) << "it has looked, and saw it alive";
  ::kill(holder->pid(), SIGKILL);
  EXPECT_TRUE(first.over(5s)) << "sooner than it would look anyway";
  EXPECT_TRUE(second.over(5s));
  EXPECT_TRUE(first.get() && second.get());
}

TEST_F(MultiLockProcessesTest, KilledHolderIsFollowedAtOnceByOneThatWantsAllItsNames) {
  auto const holder = taker({"a", "b", "c"});
  ASSERT_TRUE(is_held_by(*holder, "c"));
  MultiWaiting later{several({"a", "b", "c"})};
  scene_.await_waiters("a", 1);
  EXPECT_FALSE(later.over(100ms));
  ::kill(holder->pid(), SIGKILL);
  EXPECT_TRUE(later.over(5s));
  EXPECT_TRUE(later.get());
}

TEST_F(MultiLockProcessesTest, HolderOfTheNameThatOneHasComeToIsWatchedAndNoneThatItHasPassed) {
  auto before = taker({"a"});
  auto const after = taker({"b"});
  ASSERT_TRUE(is_held_by(*before, "a"));
  ASSERT_TRUE(is_held_by(*after, "b"));
  MultiWaiting later{several({"a", "b"})};
  scene_.await_waiters("a", 1);
  before.reset();
  scene_.await_waiters("b", 1);
  EXPECT_FALSE(later.over(100ms));
  ::kill(after->pid(), SIGKILL);
  EXPECT_TRUE(later.over(5s));
  auto const hold = later.get();
  EXPECT_TRUE(hold && hold->held());
}

TEST_F(MultiLockProcessesTest, OneThatIsKilledHalfWayLeavesWhatItHeldAndItsPlace) {
  auto mine = std::optional{one("b").acquire()};
  auto const half_way = taker({"a", "b", "c"});
  ASSERT_TRUE(is_held_by(*half_way, "a"));
  scene_.await_waiters("b", 1);
  Waiting first{one("a")};
  Waiting second{one("b")};
  scene_.await_waiters("a", 1);
  scene_.await_waiters("b", 2);
  EXPECT_FALSE(first.over(100ms));
  ::kill(half_way->pid(), SIGKILL);
  EXPECT_TRUE(first.over(5s));
  EXPECT_TRUE(first.get());
  mine.reset();
  EXPECT_TRUE(second.over(5s)) << "a dead waiter is passed over";
  EXPECT_TRUE(second.get());
}

TEST_F(MultiLockProcessesTest, NoNameIsHeldTwiceAndAllGetTheirTurnAlsoWhenSomeAreKilled) {
  constexpr std::size_t names = 5, processes = 8;
  struct Seat {
    std::atomic<std::size_t> killed = 0;  // so many who sat there
    std::atomic<int> rounds = 0;
  };
  struct Table {
    std::array<Seat, processes> seats;
    std::array<std::atomic<std::size_t>, names> inside;  // by whom it is held; 0: by nobody
    std::atomic<int> violations = 0;
  };
  Shared<Table> const table;
  auto const name = [](std::size_t i) { return "name " + std::to_string(i); };
  auto const is_dead = [&](std::size_t who) {
    return table->seats[(who - 1) % processes].killed > (who - 1) / processes;
  };
  auto const use = [&](std::size_t self, std::vector<std::size_t> const& which) {
    for (auto const i : which) {
      auto const other = table->inside[i].exchange(self);
      if (other != 0 && !is_dead(other)) ++table->violations;
    }
    for (auto const i : which) {
      if (table->inside[i].exchange(0) != self) ++table->violations;
    }
  };
  auto const take_a_seat = [&](std::size_t own) {
    return std::make_unique<Forked>([&, own] {
      std::minstd_rand random{static_cast<unsigned>(::getpid())};
      auto const client = scene_.client();
      auto& seat = table->seats[own];
      auto const self = seat.killed * processes + own + 1;
      for (;;) {
        std::vector<std::size_t> which;
        for (std::size_t i = 0; i < names; ++i) {
          if (random() % 2 == 0) which.push_back(i);
        }
        if (which.empty()) continue;
        if (own == 0) which.resize(1);  // uses plain locks only
        if (which.size() == 1) {
          auto const hold = Lock{client, name(which.front()), {.lease = 10min}}.acquire();
          use(self, which);
        } else {
          Names some;
          for (auto const i : which) some.push_back(name(i));
          auto const hold = MultiLock{client, some, {.lease = 10min}}.acquire();
          use(self, which);
        }
        ++seat.rounds;
      }
      return "";
    });
  };
  std::array<std::unique_ptr<Forked>, processes> all;
  for (std::size_t i = 0; i < processes; ++i) all[i] = take_a_seat(i);
  for (std::size_t kills = 0; kills < 16; ++kills) {
    auto const which = kills % processes;
    auto& seat = table->seats[which];
    int const before = seat.rounds;
    ASSERT_TRUE(eventually([&] { return seat.rounds >= before + 5; })) << "seat " << which;
    ++seat.killed;
    all[which].reset();
    all[which] = take_a_seat(which);
  }
  EXPECT_EQ(table->violations, 0);
}

}  // namespace
}  // namespace tandem
