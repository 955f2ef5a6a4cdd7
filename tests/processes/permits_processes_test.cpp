// Readers, writers and holders of permits that are processes, and die or stand still.
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <tandem/semaphore.hpp>
#include <tandem/shared_lock.hpp>
#include <tandem/shared_map.hpp>

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

class PermitsProcessesTest : public ::testing::Test {
 protected:
  [[nodiscard]] SharedLock catalog(SharedLockOptions const& options = {.lease = 10min}) {
    return SharedLock{scene_.client(), "catalog", options};
  }
  [[nodiscard]] Semaphore slots(unsigned limit) {
    return Semaphore{scene_.client(), "slots", limit, {.lease = 10min}};
  }
  /// A process that has what `acquire` gives, until it is killed.
  template <class Acquire>
  [[nodiscard]] std::unique_ptr<Forked> holder(Acquire acquire) {
    Shared<std::atomic<bool>> const holds;
    auto out = std::make_unique<Forked>([&] {
      auto const hold = acquire();
      *holds = true;
      for (;;) ::pause();
      return "";
    });
    EXPECT_TRUE(eventually([&] { return holds->load(); }));
    return out;
  }

  support::LockScene scene_{};
};

TEST_F(PermitsProcessesTest, KilledWriterIsFollowedAtOnceByAReader) {
  auto const writer = holder([&] { return catalog().acquire(); });
  auto const lock = catalog();
  Waiting later{[lock](std::stop_token stop) { return lock.acquire_shared(stop); }};
  scene_.await_waiters("catalog", 1);
  EXPECT_FALSE(later.over(100ms)) << "it has looked, and saw it alive";
  ::kill(writer->pid(), SIGKILL);
  EXPECT_TRUE(later.over(5s)) << "sooner than it would look anyway";
  EXPECT_TRUE(later.get());
}

TEST_F(PermitsProcessesTest, WriterFollowsAtOnceWhenTheLastOfSeveralReadersIsKilled) {
  auto const one = holder([&] { return catalog().acquire_shared(); });
  auto const other = holder([&] { return catalog().acquire_shared(); });
  auto const lock = catalog();
  Waiting later{[lock](std::stop_token stop) { return lock.acquire(stop); }};
  scene_.await_waiters("catalog", 1);
  ::kill(one->pid(), SIGKILL);
  EXPECT_TRUE(eventually([&] { return catalog().holders().size() == 1U; }));
  EXPECT_FALSE(later.over(100ms)) << "a live one is not robbed";
  ::kill(other->pid(), SIGKILL);
  EXPECT_TRUE(later.over(5s));
  EXPECT_TRUE(later.get());
}

TEST_F(PermitsProcessesTest, PermitOfAKilledProcessComesBackAtOnce) {
  auto const mine = slots(2).acquire();
  auto const theirs = holder([&] { return slots(2).acquire(); });
  auto const semaphore = slots(2);
  Waiting later{[semaphore](std::stop_token stop) { return semaphore.acquire(stop); }};
  scene_.await_waiters("slots", 1);
  EXPECT_FALSE(later.over(100ms));
  ::kill(theirs->pid(), SIGKILL);
  EXPECT_TRUE(later.over(5s));
  EXPECT_TRUE(later.get());
  EXPECT_TRUE(mine.held());
}

TEST_F(PermitsProcessesTest, SecondOfTheQueueSeesTheDeathOfTheOneThatWasServedBeforeIt) {
  auto first = holder([&] { return catalog().acquire(); });
  auto second = std::make_unique<Forked>([&] {
    auto const hold = catalog().acquire();
    ::kill(::getpid(), SIGKILL);
    return "";
  });
  scene_.await_waiters("catalog", 1);
  auto const lock = catalog();
  Waiting third{[lock](std::stop_token stop) { return lock.acquire(stop); }};
  scene_.await_waiters("catalog", 2);
  first.reset();
  EXPECT_EQ(second->told(), "signal 9");
  EXPECT_TRUE(third.over(5s));
  EXPECT_TRUE(third.get());
}

TEST_F(PermitsProcessesTest, WriterThatStoodStillForLongerThanItsLeaseWritesNoMore) {
  Forked writer{[&] {
    auto const lock = catalog({.lease = 300ms});
    auto const hold = lock.acquire();
    SharedMap<std::string, int> stock{scene_.client(), "stock"};
    stock.set("apple", 1, hold);
    ::kill(::getpid(), SIGSTOP);
    std::string out = hold.held() ? "held, " : "lost, ";
    try {
      stock.set("apple", 2, hold);
      return out + "written";
    } catch (LockLost const&) {
      return out + "refused";
    }
  }};
  ASSERT_TRUE(eventually([&] { return scene_.exists("stock"); }));
  auto const next = catalog().try_acquire_for(support::long_enough);
  ASSERT_TRUE(next);
  SharedMap<std::string, int> stock{scene_.client(), "stock"};
  stock.set("apple", 3, *next);
  ::kill(writer.pid(), SIGCONT);
  EXPECT_EQ(writer.told(), "lost, refused");
  EXPECT_EQ(stock.get("apple"), 3);
}

TEST_F(PermitsProcessesTest, ReadersAndWritersOfManyProcessesNeverMeetAlsoWhenSomeAreKilled) {
  struct Seat {
    std::atomic<int> mode = 0;  // 1 reads, 2 writes
    std::atomic<bool> killed = false;
    std::atomic<int> rounds = 0;
  };
  struct Table {
    std::array<Seat, 8> seats;
    std::atomic<int> violations = 0;
  };
  Shared<Table> const table;
  auto const take_a_seat = [&](std::size_t own) {
    return std::make_unique<Forked>([&, own] {
      std::minstd_rand random{static_cast<unsigned>(::getpid())};
      auto const lock = catalog({.lease = 10s, .writers_ahead = 5ms});
      auto& seat = table->seats[own];
      for (;;) {
        bool const writes = random() % 4 == 0;
        auto const hold = writes ? lock.acquire() : lock.acquire_shared();
        seat.mode = writes ? 2 : 1;
        for (auto const& other : table->seats) {
          if (&other == &seat || other.killed) continue;
          if (other.mode == 2 || (writes && other.mode == 1)) ++table->violations;
        }
        seat.mode = 0;
        ++seat.rounds;
      }
      return "";
    });
  };
  std::array<std::unique_ptr<Forked>, 8> processes;
  for (std::size_t i = 0; i < processes.size(); ++i) processes[i] = take_a_seat(i);
  for (int kills = 0; kills < 12; ++kills) {
    auto const which = static_cast<std::size_t>(kills) % processes.size();
    auto& seat = table->seats[which];
    int const before = seat.rounds;
    ASSERT_TRUE(eventually([&] { return seat.rounds >= before + 5; })) << "seat " << which;
    seat.killed = true;
    processes[which].reset();
    seat.mode = 0;
    seat.killed = false;
    processes[which] = take_a_seat(which);
  }
  EXPECT_EQ(table->violations, 0);
}

}  // namespace
}  // namespace tandem
