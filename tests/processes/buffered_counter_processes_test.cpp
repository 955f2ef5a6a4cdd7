#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <tandem/buffered_counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/forked.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/reports.hpp"
#include "support/shared_memory.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::eventually;
using support::FaultProxy;
using support::Forked;
using support::in_child;
using Fault = FaultProxy::Fault;

constexpr BufferedCounterOptions by_hand{.flush_interval = 12h, .resend_for = 24h};

class BufferedCounterProcessesTest : public ::testing::Test {
 protected:
  std::int64_t number(std::string const& key = "hits") {
    return redis_.command("GET", key).as<std::optional<std::int64_t>>().value_or(0);
  }

  testing::RedisServer server_{};
  Client redis_{server_.url() + "?command_timeout=20s"};
};

TEST_F(BufferedCounterProcessesTest, AcknowledgedFlushesOfEightProcessesSumExactlyOverABadNetwork) {
  constexpr int processes = 8;
  FaultProxy proxy{server_};
  // What a child has added, and which of it a flush that returned has confirmed.
  struct Book {
    std::array<std::atomic<std::int64_t>, processes> added{};
    std::array<std::atomic<std::int64_t>, processes> confirmed{};
    std::atomic<int> done{0};
  };
  support::Shared<Book> const book;
  std::vector<std::unique_ptr<Forked>> children;
  for (std::size_t me = 0; me < processes; ++me) {
    children.push_back(std::make_unique<Forked>([&, me] {
      std::minstd_rand random{static_cast<unsigned>(me) + 1};
      {
        BufferedCounter hits{Client{proxy.url() + "?command_timeout=20s&connect_timeout=20s"},
                             "hits",
                             {.flush_interval = 2ms}};
        for (int round = 0; round < 60; ++round) {
          for (int i = 0; i < 100; ++i) {
            auto const n = static_cast<std::int64_t>(random() % 1000) - 300;
            hits.add(n);
            book->added[me] += n;
          }
          auto const so_far = book->added[me].load();
          hits.flush();
          book->confirmed[me] = so_far;
        }
      }
      ++book->done;
      return std::string{"done"};
    }));
  }
  std::minstd_rand random{99};
  std::array const faults{Fault::cut_before_request, Fault::cut_in_request,
                          Fault::cut_after_request, Fault::cut_in_reply, Fault::cut_and_delay};
  ASSERT_TRUE(eventually(
      [&] {
        proxy.forget();  // one at a time: each flush gets through in the end
        proxy.next(random() % 4 == 0 ? "EVAL" : "EVALSHA", faults[random() % faults.size()]);
        if (random() % 16 == 0) redis_.command("SCRIPT", "FLUSH");
        if (random() % 16 == 0) proxy.deliver_delayed();
        return book->done == processes;
      },
      100s));
  for (auto const& child : children) EXPECT_EQ(child->told(), "done");
  proxy.deliver_delayed();
  std::int64_t sum = 0;
  for (std::size_t me = 0; me < processes; ++me) {
    EXPECT_EQ(book->added[me], book->confirmed[me]);
    sum += book->confirmed[me];
  }
  EXPECT_EQ(number(), sum);
}

TEST_F(BufferedCounterProcessesTest, ProcessThatIsKilledLosesWhatItHadNotFlushedAndNoMore) {
  struct Book {
    std::atomic<std::int64_t> added{0};
    std::atomic<std::int64_t> confirmed{0};
  };
  for (int round = 0; round < 5; ++round) {
    redis_.command("DEL", "hits");
    support::Shared<Book> const book;
    Forked const child{[&]() -> std::string {
      BufferedCounter hits{Client{server_.url()}, "hits", by_hand};
      for (;;) {
        for (int i = 0; i < 10; ++i) {
          ++book->added;
          hits.add();
        }
        auto const so_far = book->added.load();
        hits.flush();
        book->confirmed = so_far;
      }
    }};
    EXPECT_TRUE(eventually([&] { return book->confirmed > 100 * round; }));
    ::kill(child.pid(), SIGKILL);
    // Its last command may still be on its way through the server: ask until two answers agree.
    std::int64_t counted = -1;
    EXPECT_TRUE(eventually([&] { return counted == std::exchange(counted, number()); }));
    EXPECT_GE(counted, book->confirmed);
    EXPECT_LE(counted, book->added);
    EXPECT_LE(counted, book->confirmed + 10);
  }
}

TEST_F(BufferedCounterProcessesTest, ChildBeginsWithNothingPendingAndTheParentsAddsAreCountedOnce) {
  std::optional<BufferedCounter> hits{BufferedCounter{redis_, "hits", by_hand}};
  hits->add(5);
  EXPECT_EQ(in_child([&] {
              auto out = std::to_string(hits->pending());
              hits->add(100);
              out += ' ' + std::to_string(hits->pending());
              out += ' ' + std::to_string(hits->value());
              hits->flush();
              hits->add(1000);
              hits.reset();  // the end of the child's counter flushes what is the child's
              return out;
            }),
            "0 100 100");
  EXPECT_EQ(number(), 1100);
  // A child that does nothing with it, but for its end.
  EXPECT_EQ(in_child([&] { return hits.reset(), std::string{"ended"}; }), "ended");
  EXPECT_EQ(number(), 1100);
  EXPECT_EQ(hits->pending(), 5);
  hits->flush();
  EXPECT_EQ(number(), 1105);
  EXPECT_EQ(redis_.command("KEYS", "{hits}:flushed:*").size(), 2U);
}

TEST_F(BufferedCounterProcessesTest, WhatIsInDoubtInTheParentIsNothingOfTheChilds) {
  FaultProxy proxy{server_};
  BufferedCounter hits{Client{proxy.url() + "?command_timeout=300ms"}, "hits", by_hand};
  hits.add();
  ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
  proxy.next("EVALSHA", Fault::swallow_reply);
  hits.add(10);
  EXPECT_THROW(hits.flush(), InDoubt);
  EXPECT_EQ(in_child([&] {
              auto out = std::to_string(hits.pending());
              hits.add(100);
              while (code_of([&] { hits.flush(); }) != "none") {
              }
              return out;
            }),
            "0");
  EXPECT_EQ(number(), 111);
  ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
  EXPECT_EQ(number(), 111);
}

TEST_F(BufferedCounterProcessesTest, ForksAmongThreadsThatAddLoseNothing) {
  if (support::child_may_find_malloc_locked) {
    GTEST_SKIP() << "the address sanitizer's allocator may be locked in a child";
  }
  BufferedCounter hits{redis_, "hits", {.flush_interval = 1ms}};
  std::atomic<bool> done = false;
  std::array<std::int64_t, 2> added{};
  std::vector<std::thread> threads;
  for (auto& mine : added) {
    threads.emplace_back([&] {
      while (!done) {
        hits.add();
        ++mine;
      }
    });
  }
  constexpr int children = 20;
  for (int i = 0; i < children; ++i) {
    EXPECT_EQ(in_child([&] {
                auto const begins_with = hits.pending();
                hits.add(1);
                hits.flush();
                return std::to_string(begins_with);
              }),
              "0");
  }
  done = true;
  for (auto& thread : threads) thread.join();
  hits.flush();
  EXPECT_EQ(number(), added[0] + added[1] + children);
}

}  // namespace
}  // namespace tandem
