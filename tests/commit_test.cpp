// What is written only while a lock is held.
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <tandem/counter.hpp>
#include <tandem/lock.hpp>
#include <tandem/shared_map.hpp>

#include "support/fault_proxy.hpp"
#include "support/forked.hpp"
#include "support/lock_scene.hpp"
#include "support/watched_process.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::FaultProxy;
using support::LockSceneTest;

class CommitTest : public LockSceneTest {
 protected:
  Lock lock_{scene_.client(), "orders"};
};

INSTANTIATE_TEST_SUITE_P(Protocol, CommitTest, ::testing::Values(3, 2), support::protocol_name);

TEST_P(CommitTest, AppliesAllThatWasQueuedInOneCommand) {
  auto const hold = lock_.acquire();
  hold.commit([](Transaction& tx) { tx.queue("SET", "first", 1); });
  scene_.reset_count();
  hold.commit([](Transaction& tx) {
    tx.queue("HSET", "order:42", "state", "paid");
    tx.queue("RPUSH", "ledger", std::string{"4\0002\r\n", 5}, "");
  });
  EXPECT_EQ(scene_.count().scripts, 1);
  EXPECT_EQ(scene_.redis("HGET", "order:42", "state").as<std::string>(), "paid");
  EXPECT_EQ(scene_.redis("LINDEX", "ledger", 0).as<std::string>(), (std::string{"4\0002\r\n", 5}));
  EXPECT_EQ(scene_.redis("LLEN", "ledger").as<int>(), 2);
}

TEST_P(CommitTest, WithNothingQueuedSaysNothing) {
  auto const hold = lock_.acquire();
  scene_.reset_count();
  hold.commit([](Transaction&) {});
  EXPECT_EQ(scene_.count().scripts, 0);
}

TEST_P(CommitTest, ReadsAreAskedAtOnce) {
  scene_.redis("SET", "stock", 3);
  auto const hold = lock_.acquire();
  hold.commit([](Transaction& tx) {
    auto const left = tx.read("GET", "stock").as<int>();
    tx.queue("SET", "stock", left - 1);
  });
  EXPECT_EQ(scene_.value("stock"), "2");
}

TEST_P(CommitTest, IsRefusedWhenSomebodyElseHolds) {
  auto hold = lock_.acquire();
  auto const stop = hold.stop_token();
  scene_.redis("SET", "orders", "a stranger");
  EXPECT_TRUE(hold.held()) << "as far as it knows";
  EXPECT_THROW(hold.commit([](Transaction& tx) { tx.queue("SET", "late", 1); }), LockLost);
  EXPECT_FALSE(scene_.exists("late"));
  EXPECT_FALSE(hold.held());
  EXPECT_TRUE(stop.stop_requested());
  EXPECT_EQ(hold.release(), Release::taken_over);
}

TEST_P(CommitTest, IsRefusedWithoutACommandWhenTheHoldIsOver) {
  auto hold = lock_.acquire();
  hold.release();
  scene_.reset_count();
  EXPECT_THROW(hold.commit([](Transaction& tx) { tx.queue("SET", "late", 1); }), LockLost);
  Hold const other = std::move(hold);
  // NOLINTNEXTLINE(bugprone-use-after-move): what is left of it is what is asked
  EXPECT_THROW(hold.commit([](Transaction& tx) { tx.queue("SET", "late", 1); }), LockLost);
  EXPECT_EQ(scene_.count().scripts, 0);
}

TEST_P(CommitTest, CommandThatIsRefusedFirstAppliesNothing) {
  auto const hold = lock_.acquire();
  scene_.redis("SET", "text", "no list");
  try {
    hold.commit([](Transaction& tx) {
      tx.queue("RPUSH", "text", 1);
      tx.queue("SET", "other", 1);
    });
    FAIL();
  } catch (ServerError const& error) {
    EXPECT_EQ(error.code(), "WRONGTYPE");
  }
  EXPECT_FALSE(scene_.exists("other"));
  EXPECT_THROW(hold.commit([](Transaction& tx) { tx.queue("NO-SUCH", 1); }), ServerError);
  EXPECT_THROW(hold.commit([](Transaction& tx) { tx.queue("SUBSCRIBE", "x"); }), ServerError);
  EXPECT_TRUE(hold.held());
}

TEST_P(CommitTest, CommandThatIsRefusedLaterLeavesTheOthersAppliedAndSaysSo) {
  auto const hold = lock_.acquire();
  scene_.redis("SET", "text", "no list");
  try {
    hold.commit([](Transaction& tx) {
      tx.queue("SET", "one", 1);
      tx.queue("RPUSH", "text", 1);
      tx.queue("SET", "two", 1);
    });
    FAIL();
  } catch (ServerError const& error) {
    EXPECT_EQ(error.code(), "WRONGTYPE");
    EXPECT_NE(std::string{error.what()}.find("other commands were applied"), std::string::npos);
  }
  EXPECT_TRUE(scene_.exists("one") && scene_.exists("two"));
}

TEST_P(CommitTest, IsAppliedOnceWhenItsReplyWasLost) {
  FaultProxy proxy{scene_.server};
  auto options = scene_.options();
  options.unix_socket = proxy.url().substr(std::string{"unix://"}.size());
  Lock const lock{Client{options}, "orders"};
  auto const hold = lock.acquire();
  int done = 0;
  for (auto const fault : {FaultProxy::Fault::cut_before_request, FaultProxy::Fault::cut_in_request,
                           FaultProxy::Fault::cut_after_request, FaultProxy::Fault::cut_in_reply}) {
    hold.commit([](Transaction& tx) { tx.queue("INCR", "paid"); });
    proxy.next("EVALSHA", fault);
    hold.commit([](Transaction& tx) { tx.queue("INCR", "paid"); });
    EXPECT_EQ(scene_.value("paid"), std::to_string(done += 2));
  }
}

TEST_P(CommitTest, LargeCommandsAreAppliedAndTooLargeOnesRefusedBeforehand) {
  auto const hold = lock_.acquire();
  std::string const large(8 << 20, 'x');
  hold.commit([&](Transaction& tx) {
    for (int i = 0; i < 1000; ++i) tx.queue("RPUSH", "list", i);
    tx.queue("SET", "large", large);
  });
  EXPECT_EQ(scene_.redis("LLEN", "list").as<int>(), 1000);
  EXPECT_EQ(scene_.redis("STRLEN", "large").as<std::size_t>(), large.size());

  std::vector<Argument> words{"RPUSH", "many"};
  words.resize(7000, "word");
  hold.commit([&](Transaction& tx) { tx.queue_words(words); });
  EXPECT_EQ(scene_.redis("LLEN", "many").as<int>(), 6998);
  words.emplace_back("word");
  EXPECT_THROW(hold.commit([&](Transaction& tx) { tx.queue_words(words); }), std::invalid_argument);
}

TEST_P(CommitTest, CounterAddsOnlyWhileHeld) {
  auto const hold = lock_.acquire();
  Counter counter{scene_.client(), "count"};
  EXPECT_EQ(counter.add(3, hold), 3);
  scene_.redis("SET", "count", 9'007'199'254'740'993);  // 2^53 + 1, which Lua's numbers cannot tell
  EXPECT_EQ(counter.add(2, hold), 9'007'199'254'740'995);
  scene_.redis("SET", "count", std::numeric_limits<std::int64_t>::max());
  EXPECT_THROW(counter.add(1, hold), ServerError);
  EXPECT_EQ(counter.value(), std::numeric_limits<std::int64_t>::max());
  scene_.redis("SET", "orders", "a stranger");
  EXPECT_THROW(counter.add(-1, hold), LockLost);
  EXPECT_EQ(counter.value(), std::numeric_limits<std::int64_t>::max());
}

TEST_P(CommitTest, CounterUnderAHoldIsOneCommand) {
  auto const hold = lock_.acquire();
  Counter counter{scene_.client(), "count"};
  (void)counter.add(1, hold);
  scene_.reset_count();
  (void)counter.add(1, hold);
  EXPECT_EQ(scene_.count().scripts, 1);
}

TEST_P(CommitTest, MapSetsOnlyWhileHeld) {
  auto const hold = lock_.acquire();
  SharedMap<std::string, std::int64_t> stock{scene_.client(), "stock"};
  stock.set("apple", 9, hold);
  EXPECT_EQ(stock.get("apple"), 9);
  scene_.redis("SET", "orders", "a stranger");
  EXPECT_THROW(stock.set("apple", 10, hold), LockLost);
  EXPECT_EQ(stock.get("apple"), 9);
}

TEST_P(CommitTest, OnAServerOutOfMemoryAppliesNothing) {
  auto const hold = lock_.acquire();
  scene_.redis("CONFIG", "SET", "maxmemory", 1);
  try {
    hold.commit([](Transaction& tx) {
      tx.queue("SET", "one", 1);
      tx.queue("DEL", "other");
    });
    FAIL();
  } catch (ServerError const& error) {
    EXPECT_EQ(error.code(), "OOM");
  }
  scene_.redis("CONFIG", "SET", "maxmemory", 0);
  EXPECT_FALSE(scene_.exists("one"));
}

TEST(CommitAfterAPauseTest, WritesOfAHolderThatWasStoppedPastItsLeaseAreRefused) {
  support::LockScene scene;
  support::Forked holder{[&]() -> std::string {
    Lock const lock{scene.client(), "orders", {.lease = 1s}};
    auto hold = lock.acquire();
    // In the middle of a section: it does not look at the clock before it writes.
    ::raise(SIGSTOP);
    try {
      hold.commit([](Transaction& tx) { tx.queue("SET", "order", "old"); });
      return "committed";
    } catch (LockLost const&) {
      return hold.release() == Release::taken_over ? "refused, taken over" : "refused";
    }
  }};
  ASSERT_TRUE(eventually([&] { return support::ProcessFacts{holder.pid()}.state() == 'T'; }));
  auto const hold = Lock{scene.client(), "orders"}.try_acquire_for(support::long_enough);
  ASSERT_TRUE(hold);
  hold->commit([](Transaction& tx) { tx.queue("SET", "order", "new"); });
  ::kill(holder.pid(), SIGCONT);
  EXPECT_EQ(holder.told(), "refused, taken over");
  EXPECT_EQ(scene.value("order"), "new");
}

}  // namespace
}  // namespace tandem
