// Threads and processes that wait for one another in a circle.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/lock.hpp>
#include <tandem/multi_lock.hpp>
#include <tandem/semaphore.hpp>
#include <tandem/shared_lock.hpp>

#include "support/fault_proxy.hpp"
#include "support/forked.hpp"
#include "support/lock_scene.hpp"
#include "support/shared_memory.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::Forked;
using support::Shared;
using ::testing::HasSubstr;

class LockDeadlockTest : public ::testing::Test {
 protected:
  static std::string name(int i) { return "fork " + std::to_string(i); }

  /// How many clients say on the server of some thread that it waits.
  std::size_t said_of_waits() { return scene_.redis("KEYS", "tandem:waits:*").size(); }

  /// Takes `own`, waits until all `count` have theirs, then takes the next one's. What it was told.
  static std::string dine(Client const& client, std::atomic<int>& seated, int own, int count) {
    Lock const left{client, name(own)};
    Lock const right{client, name((own + 1) % count)};
    auto const hold = left.acquire();
    ++seated;
    while (seated < count) std::this_thread::yield();
    try {
      auto const other = right.acquire();
      return "dined";
    } catch (Deadlock const& deadlock) {
      return deadlock.what();
    }
  }

  void expect_one_victim(std::vector<std::string> const& told) {
    int victims = 0;
    for (auto const& each : told) {
      if (each == "dined") continue;
      ++victims;
      EXPECT_THAT(each, HasSubstr("deadlock"));
      for (std::size_t i = 0; i < told.size(); ++i) {
        EXPECT_THAT(each, HasSubstr("holds \"" + name(static_cast<int>(i)) + "\""));
        EXPECT_THAT(each, HasSubstr("waits for \"" + name(static_cast<int>(i)) + "\""));
      }
      EXPECT_THAT(each, HasSubstr("(pid "));
    }
    EXPECT_EQ(victims, 1);
  }

  /// So many processes in one circle.
  void dine_in_processes(int count) {
    Shared<std::atomic<int>> const seated;
    std::vector<std::unique_ptr<Forked>> guests;
    for (int i = 0; i < count; ++i) {
      guests.push_back(std::make_unique<Forked>(
          [&, i] { return dine(scene_.client("guest" + std::to_string(i)), *seated, i, count); }));
    }
    std::vector<std::string> told;
    for (auto const& each : guests) told.push_back(each->told());
    expect_one_victim(told);
  }

  support::LockScene scene_{};
};

TEST_F(LockDeadlockTest, OneOfTwoProcessesIsToldTheCircle) { dine_in_processes(2); }

TEST_F(LockDeadlockTest, OneOfFiveProcessesIsToldTheCircle) { dine_in_processes(5); }

TEST_F(LockDeadlockTest, OneOfTwoThreadsOfOneProcessIsToldTheCircle) {
  auto const client = scene_.client();
  std::atomic<int> seated = 0;
  std::vector<std::string> told(2);
  support::on_threads(
      2, [&](int i) { told[static_cast<std::size_t>(i)] = dine(client, seated, i, 2); });
  expect_one_victim(told);
}

TEST_F(LockDeadlockTest, CircleThatGoesThroughThreadsAndProcessesIsFound) {
  // 0 and 1 are threads of one client, 2 of another.
  auto const one = scene_.client();
  auto const other = scene_.client();
  std::atomic<int> seated = 0;
  std::vector<std::string> told(3);
  support::on_threads(3, [&](int i) {
    told[static_cast<std::size_t>(i)] = dine(i == 2 ? other : one, seated, i, 3);
  });
  expect_one_victim(told);
}

TEST_F(LockDeadlockTest, ThreadThatWaitsForItselfIsTold) {
  Lock const lock{scene_.client(), "orders"};
  auto const hold = lock.acquire();
  EXPECT_THROW((void)lock.acquire(), Deadlock);
  EXPECT_TRUE(hold.held());
}

// ---- Through locks that several hold ----

/// What a thread of `client` is told that has `own` and then asks for another, once all are there.
template <class Have, class Want>
std::string ask_in_turn(std::atomic<int>& seated, int count, Have have, Want want) {
  try {
    auto const own = have();
    ++seated;
    while (seated < count) std::this_thread::yield();
    auto const other = want();
    return "dined";
  } catch (Deadlock const& deadlock) {
    return deadlock.what();
  }
}

int victims_of(std::vector<std::string> const& told) {
  return static_cast<int>(
      std::count_if(told.begin(), told.end(), [](auto const& each) { return each != "dined"; }));
}

TEST_F(LockDeadlockTest, CircleThroughAReaderAndAWriterOfTwoProcessesIsFound) {
  Shared<std::atomic<int>> const seated;
  Forked one{[&] {
    auto const client = scene_.client("reader");
    return ask_in_turn(
        *seated, 2,
        [&] {
          return SharedLock{client, "catalog"}.acquire_shared();
        },
        [&] {
          return Lock{client, "orders"}.acquire();
        });
  }};
  Forked other{[&] {
    auto const client = scene_.client("writer");
    return ask_in_turn(
        *seated, 2,
        [&] {
          return Lock{client, "orders"}.acquire();
        },
        [&] {
          return SharedLock{client, "catalog"}.acquire();
        });
  }};
  std::vector const told{one.told(), other.told()};
  ASSERT_EQ(victims_of(told), 1) << told[0] << told[1];
  auto const& text = told[0] == "dined" ? told[1] : told[0];
  EXPECT_THAT(text, HasSubstr("holds \"catalog\" and waits for \"orders\""));
  EXPECT_THAT(text, HasSubstr("holds \"orders\" and waits for \"catalog\""));
}

TEST_F(LockDeadlockTest, ReaderThatReadsAgainBehindAWriterWhoWaitsForItIsTold) {
  auto const client = scene_.client();
  SharedLock const catalog{client, "catalog"};
  auto const reading = catalog.acquire_shared();
  support::Waiting writer{[&](std::stop_token stop) { return catalog.acquire(stop); }};
  scene_.await_waiters("catalog", 1);
  EXPECT_THROW((void)catalog.acquire_shared(), Deadlock);
  EXPECT_TRUE(reading.held());
  EXPECT_FALSE(writer.over());
}

TEST_F(LockDeadlockTest, WriterIsToldOfACircleThroughAnyOfTheReaders) {
  auto const bystander = SharedLock{scene_.client(), "catalog"}.acquire_shared();
  std::atomic<int> seated = 0;
  std::vector<std::string> told(2);
  support::on_threads(2, [&](int i) {
    auto const client = scene_.client();
    // The writer gives up its turn by a deadline: the bystander stays.
    SharedLock const catalog{client, "catalog"};
    Lock const orders{client, "orders"};
    told[static_cast<std::size_t>(i)] =
        i == 0 ? ask_in_turn(
                     seated, 2, [&] { return catalog.acquire_shared(); },
                     [&] { return orders.acquire(); })
               : ask_in_turn(
                     seated, 2, [&] { return orders.acquire(); },
                     [&] { return catalog.try_acquire_for(5s); });
  });
  EXPECT_EQ(victims_of(told), 1) << told[0] << told[1];
}

TEST_F(LockDeadlockTest, OneIsToldWhenAllWhoHoldAPermitWaitForThoseWhoWantOne) {
  // Both permits are held; their holders wait for two locks whose holders want a permit.
  std::atomic<int> seated = 0;
  std::vector<std::string> told(4);
  support::on_threads(4, [&](int i) {
    auto const client = scene_.client();
    Semaphore const slots{client, "slots", 2};
    Lock const lock{client, name(i % 2)};
    told[static_cast<std::size_t>(i)] =
        i < 2 ? ask_in_turn(
                    seated, 4, [&] { return slots.acquire(); }, [&] { return lock.acquire(); })
              : ask_in_turn(
                    seated, 4, [&] { return lock.acquire(); }, [&] { return slots.acquire(); });
  });
  EXPECT_EQ(victims_of(told), 1) << told[0] << told[1] << told[2] << told[3];
}

// ---- Through several locks as one ----

TEST_F(LockDeadlockTest, CircleThroughOneThatHoldsSomeOfSeveralNamesIsFound) {
  Forked one{[&] {
    auto const client = scene_.client("plain");
    std::atomic<int> alone = 0;
    return ask_in_turn(
        alone, 1,
        [&] {
          auto hold = Lock{client, "b"}.acquire();
          scene_.await_waiters("b", 1);  // the other one has "a" by then
          return hold;
        },
        [&] {
          return Lock{client, "a"}.acquire();
        });
  }};
  Forked other{[&] {
    if (!eventually([&] { return scene_.exists("b"); })) return std::string{"nobody came"};
    try {
      auto const both = MultiLock{scene_.client("several"), {"a", "b"}}.acquire();
      return std::string{"dined"};
    } catch (Deadlock const& deadlock) {
      return std::string{deadlock.what()};
    }
  }};
  std::vector const told{one.told(), other.told()};
  ASSERT_EQ(victims_of(told), 1) << told[0] << told[1];
  auto const& text = told[0] == "dined" ? told[1] : told[0];
  EXPECT_THAT(text, HasSubstr("holds \"a\" and waits for \"b\""));
  EXPECT_THAT(text, HasSubstr("holds \"b\" and waits for \"a\""));
}

TEST_F(LockDeadlockTest, CircleThroughOneThatHoldsAllOfSeveralNamesIsFound) {
  std::atomic<int> seated = 0;
  std::vector<std::string> told(2);
  support::on_threads(2, [&](int i) {
    auto const client = scene_.client();
    MultiLock const both{client, {"a", "b"}};
    Lock const last{client, "b"};
    Lock const lock{client, "orders"};
    told[static_cast<std::size_t>(i)] =
        i == 0 ? ask_in_turn(
                     seated, 2, [&] { return both.acquire(); }, [&] { return lock.acquire(); })
               : ask_in_turn(
                     seated, 2, [&] { return lock.acquire(); }, [&] { return last.acquire(); });
  });
  EXPECT_EQ(victims_of(told), 1) << told[0] << told[1];
}

TEST_F(LockDeadlockTest, CircleThatIsClosedWhenTheNextOfSeveralNamesIsWaitedForIsFound) {
  auto first = std::optional{Lock{scene_.client(), "a"}.acquire()};
  std::vector<std::string> told(2);
  std::jthread several{[&] {
    try {
      auto const both = MultiLock{scene_.client(), {"a", "b"}, {.deadlock_after = 10ms}}.acquire();
      told[0] = "dined";
    } catch (Deadlock const& deadlock) {
      told[0] = deadlock.what();
    }
  }};
  scene_.await_waiters("a", 1);
  std::jthread plain{[&] {
    auto const client = scene_.client();
    std::atomic<int> alone = 0;
    told[1] = ask_in_turn(
        alone, 1,
        [&] {
          return Lock{client, "b"}.acquire();
        },
        [&] {
          return Lock{client, "a", {.deadlock_after = 10ms}}.acquire();
        });
  }};
  scene_.await_waiters("a", 2);
  // They have looked, and looked again; now the one has "a", and waits for "b".
  std::this_thread::sleep_for(300ms);  // a wait that goes on is the condition
  first.reset();
  several.join();
  plain.join();
  EXPECT_EQ(victims_of(told), 1) << told[0] << told[1];
}

TEST_F(LockDeadlockTest, ThreadThatWaitsForANameOfSeveralThatItHoldsAlreadyIsTold) {
  auto const client = scene_.client();
  auto const hold = Lock{client, "b"}.acquire();
  EXPECT_THROW((void)MultiLock(client, {"a", "b"}).acquire(), Deadlock);
  EXPECT_TRUE(hold.held());
  EXPECT_TRUE(eventually([&] { return !scene_.exists("a"); })) << "what it had is given back";
}

TEST_F(LockDeadlockTest, PermitOfSomebodyWhoGoesOnIsWaitedFor) {
  // As before, but one of the holders waits for nobody.
  auto const client = scene_.client();
  auto const other = scene_.client();
  Semaphore const slots{client, "slots", 2, {.deadlock_after = 10ms}};
  auto free = std::make_optional(slots.acquire());
  std::atomic<int> seated = 0;
  std::vector<std::string> told(2);
  std::jthread leaves{[&] {
    scene_.await_waiters("slots", 1);
    // They have looked, and looked again.
    EXPECT_TRUE(eventually([&] { return said_of_waits() == 2U; }));
    std::this_thread::sleep_for(500ms);  // a wait that goes on is the condition
    free.reset();
  }};
  support::on_threads(2, [&](int i) {
    auto const& mine = i == 0 ? client : other;
    Semaphore const permits{mine, "slots", 2, {.deadlock_after = 10ms}};
    Lock const lock{mine, "orders", {.deadlock_after = 10ms}};
    told[static_cast<std::size_t>(i)] =
        i == 0 ? ask_in_turn(
                     seated, 2, [&] { return permits.acquire(); }, [&] { return lock.acquire(); })
               : ask_in_turn(
                     seated, 2, [&] { return lock.acquire(); }, [&] { return permits.acquire(); });
  });
  EXPECT_EQ(victims_of(told), 0) << told[0] << told[1];
}

TEST_F(LockDeadlockTest, WhoWaitsForACircleItIsNoPartOfWaitsOn) {
  auto const client = scene_.client();
  std::atomic<int> seated = 0;
  std::vector<std::string> told(2);
  std::atomic<bool> third = false;
  std::jthread outside{[&] {
    while (seated < 2) std::this_thread::yield();
    auto const mine = Lock{client, "mine"}.acquire();
    auto const both = Lock{client, name(0)}.acquire();
    third = true;
  }};
  support::on_threads(
      2, [&](int i) { told[static_cast<std::size_t>(i)] = dine(client, seated, i, 2); });
  expect_one_victim(told);
  EXPECT_TRUE(eventually([&] { return third.load(); }));
}

TEST_F(LockDeadlockTest, LongWaitIsNoDeadlock) {
  auto const one = scene_.client();
  auto const other = scene_.client();
  auto hold = std::make_optional(Lock{one, "a"}.acquire());
  std::atomic<bool> got = false;
  std::jthread waiter{[&] {
    auto const mine = Lock{other, "b"}.acquire();
    auto const both = Lock{other, "a", {.deadlock_after = 10ms}}.acquire();
    got = true;
  }};
  // It has looked, and looked again.
  EXPECT_TRUE(eventually([&] { return said_of_waits() == 1U; }));
  std::this_thread::sleep_for(300ms);  // a wait that goes on is the condition
  EXPECT_FALSE(got);
  hold.reset();
  EXPECT_TRUE(eventually([&] { return got.load(); }));
}

TEST_F(LockDeadlockTest, WaitWithoutHoldingAnythingSaysNothing) {
  auto const hold = Lock{scene_.client(), "a"}.acquire();
  Lock const other{scene_.client(), "a", {.deadlock_after = 10ms}};
  EXPECT_FALSE(other.try_acquire_for(200ms));
  EXPECT_EQ(said_of_waits(), 0U);
}

TEST_F(LockDeadlockTest, WhatWasSaidIsTakenBackWhenTheWaitIsOver) {
  auto const client = scene_.client();
  auto const hold = Lock{scene_.client(), "a"}.acquire();
  auto const mine = Lock{client, "b"}.acquire();
  EXPECT_FALSE((Lock{client, "a", {.deadlock_after = 10ms}}.try_acquire_for(200ms)));
  EXPECT_EQ(said_of_waits(), 0U);
}

TEST_F(LockDeadlockTest, WhatWasSaidIsTakenBackAlsoWhenTheServerWasOutOfReach) {
  support::FaultProxy way{scene_.server};
  Client const client{way.url()};
  auto const hold = Lock{scene_.client(), "a"}.acquire();
  auto const mine = Lock{client, "b"}.acquire();
  // That of the thread, and that of the background.
  for (int i = 0; i < 2; ++i) way.next("HDEL", support::FaultProxy::Fault::cut_before_request);
  std::jthread out_of_reach{[&] {
    EXPECT_TRUE(eventually([&] { return said_of_waits() == 1U; }));
    way.refuse(true);
  }};
  EXPECT_FALSE((Lock{client, "a", {.deadlock_after = 10ms}}.try_acquire_for(500ms)));
  out_of_reach.join();
  EXPECT_EQ(said_of_waits(), 1U);
  way.refuse(false);
  EXPECT_TRUE(eventually([&] { return said_of_waits() == 0U; }));
}

TEST_F(LockDeadlockTest, LookingForACircleDoesNotOutliveTheDeadlineOfTheCall) {
  auto const client = scene_.client();
  auto const hold = Lock{scene_.client(), "a"}.acquire();
  auto const mine = Lock{client, "b"}.acquire();
  std::jthread silence{[&] {
    scene_.await_waiters("a", 1);
    scene_.server.pause();
  }};
  auto const begun = std::chrono::steady_clock::now();
  // The server takes 2 s not to answer.
  EXPECT_FALSE((Lock{client, "a", {.deadlock_after = 300ms}}.try_acquire_for(500ms)));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 1500ms);
  silence.join();
  scene_.server.resume();
}

TEST_F(LockDeadlockTest, CircleIsLeftAloneWhenAskedNotToLook) {
  auto const client = scene_.client();
  Lock const lock{client, "orders", {.deadlock_after = 0ms}};
  auto const hold = lock.acquire();
  EXPECT_FALSE(lock.try_acquire_for(1500ms));
}

}  // namespace
}  // namespace tandem
