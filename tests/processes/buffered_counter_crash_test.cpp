// BufferedCounterOptions::survive_crash: processes are killed in the middle of what they do, and
// others deliver what they had added, once.
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/buffered_counter.hpp>

#include "buffering/segment.hpp"
#include "core/fork.hpp"
#include "support/crash_scene.hpp"
#include "support/forked.hpp"
#include "support/patience.hpp"
#include "support/shared_memory.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::Forked;
using support::Shared;
using ::testing::IsEmpty;

class BufferedCounterCrashTest : public support::CrashScene {};

TEST_F(BufferedCounterCrashTest, WhatAKilledProcessHadAddedIsDeliveredByOneThatLives) {
  auto const hits = survivor();
  auto const worker = worker_that_adds(10);
  EXPECT_EQ(number(), 0);
  kill(*worker);
  EXPECT_TRUE(becomes(10));
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(BufferedCounterCrashTest, WhoComesLaterDeliversIt) {
  kill(*worker_that_adds(10));
  kill(*worker_that_adds(200));
  auto const hits = survivor();
  EXPECT_TRUE(becomes(210));
  EXPECT_EQ(hits.pending(), 0);
}

TEST_F(BufferedCounterCrashTest, WhoEndsDeliversItBeforeTheFileGoes) {
  auto const path = path_of_hits();
  std::optional<BufferedCounter> hits{survivor()};
  auto const worker = worker_that_adds(10);
  auto const idle = worker_that_adds(0);
  kill(*worker);
  kill(*idle);
  hits.reset();
  EXPECT_EQ(number(), 10);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(BufferedCounterCrashTest, WhatIsBeingDeliveredForAnotherIsInItsValue) {
  server_.pause();
  auto const worker = worker_that_adds(10);
  auto const hits = survivor();
  kill(*worker);
  server_.resume();
  EXPECT_TRUE(eventually([&] { return hits.value() == 10; }));
  EXPECT_TRUE(becomes(10));
  EXPECT_EQ(hits.value(), 10);
}

TEST_F(BufferedCounterCrashTest, EachAccountIsAdoptedByOneOfThoseWhoTryAtOnce) {
  constexpr int threads = 4;
  auto const of = server_.url();
  Shared<std::atomic<bool>> const there;
  Forked owner{[&]() -> std::string {
    auto const account = detail::Segment::enter(of, "a", 1h);
    *there = true;
    for (;;) ::pause();
  }};
  ASSERT_TRUE(eventually([&] { return there->load(); }));
  std::vector<detail::Segment::Entered> own;
  for (int i = 0; i < threads; ++i) own.push_back(detail::Segment::enter(of, "b", 1h));
  EXPECT_TRUE(own[0].segment->adopt().empty());
  kill(owner);
  // All of them have seen whose it is when the first one finds out that the owner is dead.
  std::array<std::atomic<pid_t>, threads> trying{};
  std::atomic<std::size_t> adopted = 0;
  std::atomic<bool> none_looks = false;
  std::thread gate{[&] {
    detail::NoFork const no_look;
    none_looks = true;
    for (auto const& each : trying) {
      EXPECT_TRUE(eventually([&] { return each != 0; }));
      EXPECT_TRUE(support::falls_asleep(each));
    }
  }};
  ASSERT_TRUE(eventually([&] { return none_looks.load(); }));
  std::array<std::vector<std::unique_ptr<detail::Account>>, threads> theirs;
  support::on_threads(threads, [&](int thread) {
    auto const me = static_cast<std::size_t>(thread);
    trying[me] = ::gettid();
    theirs[me] = own[me].segment->adopt();
    adopted += theirs[me].size();
  });
  gate.join();
  EXPECT_EQ(adopted, 1U);
  for (auto const& mine : theirs) {
    for (auto const& each : mine) each->release();
  }
  auto const path = own[0].segment->path();
  for (auto const& each : own) each.own->release();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(BufferedCounterCrashTest, WhoGoesLeavesTheFileToWhoHasJustCome) {
  std::optional<BufferedCounter> hits{survivor()};
  struct Steps {
    std::atomic<bool> go, claimed, look;
  };
  Shared<Steps> const steps;
  Forked other{[&] {
    (void)eventually([&] { return steps->go.load(); });
    auto const its = survivor();
    steps->claimed = true;
    (void)eventually([&] { return steps->look.load(); });
    return std::to_string(own_files().size());
  }};
  // The last one has seen that nobody else is there, and comes to a stop.
  std::atomic<pid_t> going = 0;
  std::atomic<bool> is_stopped = false;
  std::thread gate{[&] {
    detail::NoFork const no_step;
    is_stopped = true;
    EXPECT_TRUE(eventually([&] { return going != 0; }));
    EXPECT_TRUE(support::falls_asleep(going));
    steps->go = true;
    EXPECT_TRUE(eventually([&] { return steps->claimed.load(); }));
  }};
  ASSERT_TRUE(eventually([&] { return is_stopped.load(); }));
  going = ::gettid();
  hits.reset();
  gate.join();
  steps->look = true;
  EXPECT_EQ(other.told(), "1");
}

/// How much a process has begun to add, and how much it knows that it added.
struct Book {
  std::array<std::atomic<std::int64_t>, 4> begun{};
  std::array<std::atomic<std::int64_t>, 4> added{};
};

/// Adds in two threads, and flushes in one of them, until it is killed.
std::string add_for_ever(BufferedCounter& hits, Book& book, std::size_t me) {
  support::on_threads(2, [&](int thread) {
    for (int i = 0;; ++i) {
      auto const n = 1 + i % 3;
      book.begun[me] += n;
      hits.add(n);
      book.added[me] += n;
      if (thread == 0 && i % 5000 == 4999) hits.flush();
    }
  });
  return {};
}

TEST_F(BufferedCounterCrashTest, AllThatKilledProcessesHadAddedIsCountedAndNothingTwice) {
  std::minstd_rand random{20261128};
  auto const path = path_of_hits();
  constexpr int rounds = 6;
  Shared<Book> const book;
  {
    auto const hits = survivor({.flush_interval = 2ms, .survive_crash = true});
    for (int round = 0; round < rounds; ++round) {
      std::vector<std::unique_ptr<Forked>> workers;
      for (std::size_t me = 0; me < 4; ++me) {
        auto const interval = std::chrono::milliseconds{me % 2 == 0 ? 1 : 1000};
        workers.push_back(std::make_unique<Forked>([&, me, interval] {
          BufferedCounter mine{Client{server_.url() + "?command_timeout=20s"},
                               "hits",
                               {.flush_interval = interval, .survive_crash = true}};
          return add_for_ever(mine, *book, me);
        }));
      }
      for (std::size_t me = 0; me < 4; ++me) {
        auto const enough = book->added[me] + 20'000 + static_cast<std::int64_t>(random() % 30'000);
        EXPECT_TRUE(eventually([&] { return book->added[me] >= enough; }));
        kill(*workers[me]);
      }
    }
  }
  // When the last one that lives is gone, nothing is left to anybody.
  auto const last = std::make_unique<std::optional<BufferedCounter>>(survivor());
  std::int64_t begun = 0;
  std::int64_t added = 0;
  for (std::size_t me = 0; me < 4; ++me) {
    begun += book->begun[me];
    added += book->added[me];
  }
  EXPECT_TRUE(eventually([&] { return number() >= added; })) << number() << " of " << added;
  last->reset();
  EXPECT_TRUE(is_gone(path));
  EXPECT_GE(number(), added);
  EXPECT_LE(number(), begun);
  EXPECT_LE(begun - added, 3 * 2 * 4 * rounds);  // an add of each thread
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(BufferedCounterCrashTest, OfManyWhoLiveOneDeliversIt) {
  auto const one = survivor();
  auto const two = survivor();
  auto const third = worker_that_adds(0);
  auto const fourth = worker_that_adds(0);
  std::int64_t expected = 0;
  for (int round = 0; round < 5; ++round) {
    std::vector<std::unique_ptr<Forked>> workers;
    for (int i = 0; i < 4; ++i) workers.push_back(worker_that_adds(1 + i));
    for (auto const& each : workers) kill(*each);
    expected += 1 + 2 + 3 + 4;
    ASSERT_TRUE(becomes(expected));
  }
}

TEST_F(BufferedCounterCrashTest, WhoIsKilledWhileDeliveringIsFollowedByTheNext) {
  auto const path = path_of_hits();
  std::minstd_rand random{7};
  std::int64_t expected = 0;
  for (int round = 0; round < 30; ++round) {
    // It adopts what the one before it left, and is killed at some moment of that.
    auto const worker = worker_that_adds(1 + round);
    expected += 1 + round;
    auto const moment =
        std::chrono::steady_clock::now() + std::chrono::microseconds{random() % 4000};
    while (std::chrono::steady_clock::now() < moment) {
    }
    kill(*worker);
  }
  {
    auto const last = survivor();
    EXPECT_TRUE(eventually([&] { return number() >= expected; })) << number();
  }
  EXPECT_TRUE(is_gone(path));
  EXPECT_EQ(number(), expected);
}

// ---- Who is not dead, and what is not theirs ----

TEST_F(BufferedCounterCrashTest, WhoIsStoppedIsNotDead) {
  auto const worker = worker_that_adds(10);
  ::kill(worker->pid(), SIGSTOP);
  await_look();
  await_look();
  EXPECT_EQ(number(), 2'000'000);
  ::kill(worker->pid(), SIGCONT);
  kill(*worker);
  auto const hits = survivor();
  EXPECT_TRUE(becomes(2'000'010));
}

TEST_F(BufferedCounterCrashTest, ZombieIsDead) {
  auto const hits = survivor();
  auto const worker = worker_that_adds(10);
  ::kill(worker->pid(), SIGKILL);  // and nobody waits for it
  EXPECT_TRUE(becomes(10));
}

TEST_F(BufferedCounterCrashTest, OtherNamesUsersDatabasesAndServersAreNotMixed) {
  testing::RedisServer const other;
  Client look{other.url()};
  auto const in_another_database =
      worker(server_.url() + "?db=1", [](BufferedCounter& hits) { hits.add(10); });
  auto const on_another_server = worker(other.url(), [](BufferedCounter& hits) { hits.add(200); });
  redis_.command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all");
  auto const of_another_user = worker("unix://app:pw@" + server_.socket_path(),
                                      [](BufferedCounter& hits) { hits.add(3000); });
  kill(*in_another_database);
  kill(*on_another_server);
  kill(*of_another_user);
  auto const hits = survivor();
  BufferedCounter const another_name{client(server_.url()), "others", by_hand};
  BufferedCounter const plain{client(server_.url()), "hits"};
  await_look();
  EXPECT_EQ(number(), 1'000'000);
  EXPECT_EQ(redis_.command("EXISTS", "others").as<int>(), 0);
  EXPECT_EQ(look.command("EXISTS", "hits").as<int>(), 0);
  BufferedCounter const on_the_server{Client{other.url()}, "hits", by_hand};
  EXPECT_TRUE(eventually([&] { return look.command("EXISTS", "hits").as<int>() == 1; }));
  EXPECT_EQ(look.command("GET", "hits").as<int>(), 200);
  BufferedCounter const in_the_database{client(server_.url(), "&db=1"), "hits", by_hand};
  Client second{server_.url() + "?db=1"};
  EXPECT_TRUE(eventually([&] { return second.command("EXISTS", "hits").as<int>() == 1; }));
  EXPECT_EQ(second.command("GET", "hits").as<int>(), 10);
  BufferedCounter const as_the_user{client("unix://app:pw@" + server_.socket_path()), "hits",
                                    by_hand};
  EXPECT_TRUE(becomes(1'003'000));
}

TEST_F(BufferedCounterCrashTest, ChildOfAForkHasAnAccountOfItsOwn) {
  auto hits = survivor();
  hits.add(5);
  Shared<std::atomic<bool>> const added;
  Forked child{[&]() -> std::string {
    hits.add(10);
    *added = true;
    for (;;) ::pause();
  }};
  ASSERT_TRUE(eventually([&] { return added->load(); }));
  kill(child);
  EXPECT_TRUE(becomes(10));  // what the parent has added is the parent's, who lives
  EXPECT_EQ(hits.pending(), 5);
  hits.flush();
  EXPECT_EQ(number(), 15);
}

TEST_F(BufferedCounterCrashTest, ThreadsWithoutACellOfTheirOwnAreCountedToo) {
  constexpr int threads = 300;  // more than an account has cells
  auto const worker = std::make_unique<std::unique_ptr<Forked>>(
      this->worker(server_.url(), [](BufferedCounter& hits) {
        std::barrier all_there{threads};
        support::on_threads(threads, [&](int number) {
          hits.add(number);
          all_there.arrive_and_wait();
          hits.add(number);
        });
        // New threads go on in the cells of those that have ended.
        support::on_threads(threads, [&](int number) { hits.add(number); });
      }));
  kill(**worker);
  auto const hits = survivor();
  EXPECT_TRUE(becomes(3 * threads * (threads - 1) / 2)) << number();
}

}  // namespace
}  // namespace tandem
