// src/lua/multi_lock/*.lua, each alone, and beside those of the plain lock.
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scripts.hpp"
#include "support/ears.hpp"
#include "support/lock_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Ears;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

class MultiLockScriptsTest : public ::testing::Test {
 protected:
  struct Answer {
    bool held = false;
    std::uint64_t fence = 0;
    long long left = 0;
    bool leads = false;
    std::string owner{};
    int which = 0;
  };
  enum class Join { no, yes };

  template <class... Words>
  Reply run(Script const& script, std::vector<std::string> const& keys, Words const&... arguments) {
    std::vector<Argument> words{Argument("EVAL"), Argument(script.source()), Argument(keys.size())};
    for (auto const& each : keys) words.emplace_back(each);
    (words.emplace_back(arguments), ...);
    return redis_.execute(words);
  }

  static std::vector<std::string> keys_of(Names const& names) {
    std::vector<std::string> out;
    for (auto const& each : names) {
      out.insert(out.end(), {each, "{" + each + "}:waiters", "{" + each + "}:state"});
    }
    return out;
  }

  Answer acquire(Names const& names, std::string const& token, Join join = Join::no,
                 std::chrono::milliseconds lease = 10s) {
    auto const reply = run(scripts::multi_lock_acquire, keys_of(names), token, lease.count(),
                           join == Join::yes ? 1 : 0, 1000);
    if (reply[0].as<int>() == 1) return {.held = true, .fence = reply[1].as<std::uint64_t>()};
    return {.left = reply[1].as<long long>(),
            .leads = reply[2].as<bool>(),
            .owner = reply[3].as<std::string>(),
            .which = reply[5].as<int>()};
  }
  Answer wait(Names const& names, std::string const& token) {
    return acquire(names, token, Join::yes);
  }
  int release(Names const& names, std::string const& token, std::uint64_t fence = 0) {
    return run(scripts::multi_lock_release, keys_of(names), token, 1000, fence).as<int>();
  }
  int renew(Names const& names, std::string const& token, std::chrono::milliseconds lease) {
    return run(scripts::multi_lock_renew, names, token, lease.count()).as<int>();
  }

  // A plain lock's.
  Answer acquire_one(std::string const& name, std::string const& token, Join join = Join::no) {
    auto const reply =
        run(scripts::lock_acquire, keys_of({name}), token, 10'000, join == Join::yes ? 1 : 0, 1000);
    if (reply[0].as<int>() == 1) return {.held = true, .fence = reply[1].as<std::uint64_t>()};
    return {.leads = reply[2].as<bool>(), .owner = reply[3].as<std::string>()};
  }
  Answer wait_one(std::string const& name, std::string const& token) {
    return acquire_one(name, token, Join::yes);
  }
  int release_one(std::string const& name, std::string const& token, std::uint64_t fence = 0,
                  int yield_after = 0) {
    return run(scripts::lock_release, keys_of({name}), token, 1000, fence, yield_after, 10'000)
        .as<int>();
  }

  [[nodiscard]] std::string holder(std::string const& name) { return scene_.value(name); }
  [[nodiscard]] long long lease_left(std::string const& name) {
    return scene_.redis("PTTL", name).as<long long>();
  }
  [[nodiscard]] std::vector<std::string> queue(std::string const& name) {
    return scene_.redis("ZRANGE", "{" + name + "}:waiters", 0, -1).as<std::vector<std::string>>();
  }
  [[nodiscard]] std::uint64_t fence(std::string const& name) {
    return scene_.redis("HGET", "{" + name + "}:state", "fence").as<std::uint64_t>();
  }

  support::LockScene scene_{};
  Client redis_ = scene_.client();
  Ears const a_ears_{scene_.server, "a"};
  Ears const b_ears_{scene_.server, "b"};
  std::string const a_ = "a/1/100/host/";
  std::string const b_ = "b/1/100/host/";
  std::string const deaf_ = "d/1/100/host/";
  std::string const other_ = "e/1/100/host/";
  Names const both_{"orders", "stock"};
};

TEST_F(MultiLockScriptsTest, AllOfThemMayBeRunTwiceAndSaySo) {
  for (auto const& script : {scripts::multi_lock_acquire, scripts::multi_lock_commit,
                             scripts::multi_lock_release, scripts::multi_lock_renew}) {
    EXPECT_TRUE(script.repeatable()) << script.source().substr(0, script.source().find('\n'));
  }
}

// ---- acquire, all of them ----

TEST_F(MultiLockScriptsTest, AcquireTakesAllForOneTokenWithOneFence) {
  auto const answer = acquire(both_, a_);
  ASSERT_TRUE(answer.held);
  for (auto const& each : both_) {
    EXPECT_EQ(holder(each), a_);
    EXPECT_GT(lease_left(each), 1'000);
    EXPECT_LE(lease_left(each), 10'000);
    EXPECT_EQ(fence(each), answer.fence);
  }
}

TEST_F(MultiLockScriptsTest, AcquireAskedAgainRecognisesItselfAndBeginsTheLeaseAnew) {
  auto const first = acquire(both_, a_, Join::no, 1s);
  auto const again = acquire(both_, a_, Join::no, 60s);
  EXPECT_TRUE(first.held && again.held);
  EXPECT_EQ(first.fence, again.fence);
  for (auto const& each : both_) EXPECT_GT(lease_left(each), 1'000);
}

TEST_F(MultiLockScriptsTest, FenceIsGreaterThanAnyBeforeOfEachName) {
  auto const far_ahead = std::uint64_t{1} << 52;
  scene_.redis("HSET", "{stock}:state", "fence", far_ahead);
  auto const first = acquire(both_, a_);
  EXPECT_EQ(first.fence, far_ahead + 1);
  EXPECT_EQ(fence("orders"), first.fence);
  release(both_, a_, first.fence);
  auto const plain = acquire_one("orders", b_);
  EXPECT_EQ(plain.fence, far_ahead + 2);
  release_one("orders", b_, plain.fence);
  EXPECT_EQ(acquire(both_, a_).fence, far_ahead + 3);
}

TEST_F(MultiLockScriptsTest, ExcludesAndIsExcludedByThePlainLockOfEachName) {
  acquire(both_, a_);
  EXPECT_FALSE(acquire_one("stock", b_).held);
  EXPECT_EQ(acquire_one("orders", b_).owner, a_);
  release(both_, a_);
  EXPECT_TRUE(acquire_one("stock", b_).held);
  EXPECT_FALSE(acquire(both_, a_).held);
}

TEST_F(MultiLockScriptsTest, AcquireThatOnlyTriesLeavesNoTrace) {
  acquire_one("stock", b_);
  auto const answer = acquire(both_, a_);
  EXPECT_FALSE(answer.held);
  EXPECT_EQ(answer.which, 1);
  EXPECT_EQ(answer.owner, b_);
  EXPECT_GT(answer.left, 0);
  EXPECT_EQ(holder("orders"), "");
  EXPECT_THAT(queue("stock"), IsEmpty());
}

TEST_F(MultiLockScriptsTest, TryThatIsAskedAgainKeepsNothingWhenAPartWasLostMeanwhile) {
  acquire(both_, a_);  // its answer was lost
  scene_.redis("SET", "stock", "stranger");
  wait_one("orders", b_);
  EXPECT_FALSE(acquire(both_, a_).held);
  EXPECT_EQ(holder("orders"), b_) << "handed on at once";
}

// ---- acquire, name by name ----

TEST_F(MultiLockScriptsTest, WaiterHoldsWhatComesBeforeAndStandsInOneQueue) {
  Names const names{"a", "b", "c", "d"};
  acquire_one("b", other_);
  acquire_one("d", other_);
  auto const answer = wait(names, a_);
  EXPECT_FALSE(answer.held);
  EXPECT_EQ(answer.which, 1);
  EXPECT_TRUE(answer.leads);
  EXPECT_EQ(answer.owner, other_);
  EXPECT_EQ(holder("a"), a_);
  EXPECT_GT(lease_left("a"), 1'000);
  EXPECT_THAT(queue("b"), ElementsAre(a_));
  EXPECT_EQ(holder("c"), "");
  EXPECT_THAT(queue("d"), IsEmpty());
}

TEST_F(MultiLockScriptsTest, GrantOfAPlainReleaseLetsItGoOnFromThere) {
  Names const names{"a", "b", "c"};
  acquire_one("b", other_);
  acquire_one("c", b_);
  wait(names, a_);
  EXPECT_EQ(release_one("b", other_), 1);
  EXPECT_THAT(a_ears_.heard(), HasSubstr(" 0 " + a_));
  auto const next = wait(names, a_);
  EXPECT_EQ(next.which, 2);
  EXPECT_EQ(holder("b"), a_);
  EXPECT_GT(lease_left("b"), 1'000) << "a whole lease, not a grant";
  EXPECT_THAT(queue("c"), ElementsAre(a_));
  release_one("c", b_);
  auto const all = wait(names, a_);
  EXPECT_TRUE(all.held);
  for (auto const& each : names) EXPECT_EQ(fence(each), all.fence) << each;
}

TEST_F(MultiLockScriptsTest, WaiterAskingAgainKeepsItsPlaceAndRenewsWhatItHolds) {
  acquire_one("stock", other_);
  acquire(both_, a_, Join::yes, 1s);
  wait_one("stock", b_);
  auto const again = acquire(both_, a_, Join::yes, 60s);
  EXPECT_TRUE(again.leads);
  EXPECT_GT(lease_left("orders"), 1'000);
  EXPECT_THAT(queue("stock"), ElementsAre(a_, b_));
}

TEST_F(MultiLockScriptsTest, NobodyBargesWhenAKeyIsGoneAndOthersWait) {
  acquire_one("stock", other_);
  wait_one("stock", b_);
  scene_.redis("DEL", "stock");
  auto const answer = wait(both_, a_);
  EXPECT_FALSE(answer.held);
  EXPECT_EQ(answer.owner, b_);
  EXPECT_THAT(b_ears_.heard(), HasSubstr(" 0 " + b_));
  EXPECT_THAT(queue("stock"), ElementsAre(a_));
}

TEST_F(MultiLockScriptsTest, FirstOfTheQueueTakesAKeyThatIsGoneAndNamesTheNextLeader) {
  acquire_one("stock", other_);
  wait(both_, a_);
  wait_one("stock", b_);
  scene_.redis("DEL", "stock");
  EXPECT_TRUE(wait(both_, a_).held);
  EXPECT_THAT(b_ears_.heard(), HasSubstr("lead 10000 " + b_));
  EXPECT_THAT(queue("stock"), ElementsAre(b_));
}

TEST_F(MultiLockScriptsTest, DeafOnesBeforeItInTheQueueArePassedOver) {
  acquire_one("stock", other_);
  wait_one("stock", deaf_);
  wait(both_, a_);
  scene_.redis("DEL", "stock");
  EXPECT_TRUE(wait(both_, a_).held);
  EXPECT_THAT(queue("stock"), IsEmpty());
}

TEST_F(MultiLockScriptsTest, KeyThatIsLeftFreeForStrangersIsNotTaken) {
  acquire_one("stock", other_);
  wait_one("stock", a_);
  wait_one("stock", b_);
  release_one("stock", other_, 0, 1);
  wait_one("stock", a_);
  release_one("stock", a_, 0, 1);
  ASSERT_EQ(holder("stock"), "");
  auto const answer = wait(both_, other_);
  EXPECT_FALSE(answer.held);
  EXPECT_EQ(answer.owner, "");
  EXPECT_GT(answer.left, 1'000);
  EXPECT_EQ(holder("orders"), other_);
}

TEST_F(MultiLockScriptsTest, WhatLiesBehindANameThatWasLostIsGivenBack) {
  Names const names{"a", "b", "c"};
  acquire_one("c", other_);
  wait(names, a_);
  scene_.redis("SET", "a", "stranger", "PX", 60'000);
  wait_one("b", b_);
  auto const answer = wait(names, a_);
  EXPECT_EQ(answer.which, 0);
  EXPECT_THAT(queue("a"), ElementsAre(a_));
  EXPECT_EQ(holder("b"), b_) << "handed to who waited for it";
  EXPECT_THAT(queue("c"), IsEmpty());
}

TEST_F(MultiLockScriptsTest, NextOfAQueueThatItLeavesIsToldToLead) {
  acquire_one("stock", other_);
  wait(both_, a_);
  wait_one("stock", b_);
  scene_.redis("SET", "orders", "stranger", "PX", 60'000);
  EXPECT_EQ(wait(both_, a_).which, 0);
  EXPECT_THAT(b_ears_.heard(), HasSubstr("lead "));
  EXPECT_THAT(queue("stock"), ElementsAre(b_));
}

TEST_F(MultiLockScriptsTest, WaiterThatOnlyTriesThisTimeKeepsItsPlaceAndNothingElse) {
  acquire_one("stock", other_);
  wait(both_, a_);
  EXPECT_FALSE(acquire(both_, a_, Join::no).held);
  EXPECT_EQ(holder("orders"), "");
  EXPECT_THAT(queue("stock"), ElementsAre(a_));
}

TEST_F(MultiLockScriptsTest, StrangersKeyWithoutExpiryIsGivenTheWaitersLease) {
  scene_.redis("SET", "stock", "stranger");
  EXPECT_FALSE(acquire(both_, a_, Join::no).held);
  EXPECT_EQ(lease_left("stock"), -1) << "who only tries changes nothing";
  EXPECT_EQ(acquire(both_, a_, Join::yes, 5s).left, 5'000);
  EXPECT_GT(lease_left("stock"), 0);
  EXPECT_EQ(holder("stock"), "stranger");
}

TEST_F(MultiLockScriptsTest, HolderThatKeepsALockIsToldThatItIsWanted) {
  auto const keeping = "aa/1k/100/7/here/host/";
  Ears const ears{scene_.server, "aa"};
  acquire_one("stock", keeping);
  acquire(both_, a_);
  EXPECT_THAT(ears.heard(), HasSubstr(std::string{"wanted "} + keeping));
}

// ---- release ----

TEST_F(MultiLockScriptsTest, ReleaseHandsEachNameToItsFirstWaiter) {
  acquire(both_, other_);
  wait_one("orders", a_);
  wait_one("stock", b_);
  EXPECT_EQ(release(both_, other_), 1);
  EXPECT_EQ(holder("orders"), a_);
  EXPECT_EQ(holder("stock"), b_);
  EXPECT_THAT(a_ears_.heard(), HasSubstr(" 0 " + a_));
  EXPECT_THAT(b_ears_.heard(), HasSubstr(" 0 " + b_));
}

TEST_F(MultiLockScriptsTest, ReleaseAskedAgainSaysReleasedWhoeverHoldsSince) {
  auto const fence = acquire(both_, a_).fence;
  EXPECT_EQ(release(both_, a_, fence), 1);
  EXPECT_EQ(release(both_, a_, fence), 1) << "nobody";
  auto const next = acquire_one("stock", b_).fence;
  EXPECT_EQ(release(both_, a_, fence), 1) << "another one";
  EXPECT_EQ(holder("stock"), b_);
  release_one("stock", b_, next);
  acquire(both_, other_);
  EXPECT_EQ(release(both_, a_, fence), 1) << "both";
}

TEST_F(MultiLockScriptsTest, PlainReleaseAskedAgainSaysReleasedAlsoWhenAMultiLockCameAfterIt) {
  auto const fence = acquire_one("orders", b_).fence;
  EXPECT_EQ(release_one("orders", b_, fence), 1);
  acquire_one("stock", other_);
  wait(both_, a_);  // holds the one, with a fence of its own ...
  release_one("stock", other_);
  ASSERT_TRUE(wait(both_, a_).held);  // ... and both, with another
  EXPECT_EQ(release_one("orders", b_, fence), 1);
}

TEST_F(MultiLockScriptsTest, ReleaseTellsTheWorstOfItsParts) {
  Names const names{"a", "b", "c"};
  auto const fence = acquire(names, a_).fence;
  scene_.redis("DEL", "b");
  EXPECT_EQ(release(names, a_, fence), 0) << "one has expired";
  EXPECT_EQ(holder("a") + holder("c"), "");
  auto const second = acquire(names, a_).fence;
  scene_.redis("SET", "b", "stranger");
  scene_.redis("DEL", "c");
  EXPECT_EQ(release(names, a_, second), 2) << "one was taken over";
  EXPECT_EQ(holder("a"), "");
  EXPECT_EQ(holder("b"), "stranger");
}

TEST_F(MultiLockScriptsTest, LeavingWaiterGivesBackWhatItHoldsAndIsOutOfTheQueue) {
  Names const names{"a", "b", "c"};
  acquire_one("c", other_);
  wait(names, a_);
  wait_one("b", b_);
  release(names, a_);
  EXPECT_EQ(holder("a"), "");
  EXPECT_EQ(holder("b"), b_);
  EXPECT_EQ(holder("c"), other_);
  EXPECT_THAT(queue("c"), IsEmpty());
}

TEST_F(MultiLockScriptsTest, PlainReleaseInTheNameOfADeadHolderGivesBackThatNameOnly) {
  acquire(both_, deaf_);
  wait_one("stock", b_);
  EXPECT_EQ(release_one("stock", deaf_), 1);
  EXPECT_EQ(holder("stock"), b_);
  EXPECT_EQ(holder("orders"), deaf_);
}

TEST_F(MultiLockScriptsTest, ReleaseWorksOnAServerThatIsOutOfMemory) {
  acquire(both_, other_);
  wait_one("stock", b_);
  scene_.redis("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(release(both_, other_), 1);
  EXPECT_EQ(holder("orders"), "");
  EXPECT_EQ(holder("stock"), b_);
}

// ---- renew ----

TEST_F(MultiLockScriptsTest, RenewLengthensTheLeasesOfAllOrOfNone) {
  acquire(both_, a_, Join::no, 5s);
  EXPECT_EQ(renew(both_, a_, 60s), 1);
  for (auto const& each : both_) EXPECT_GT(lease_left(each), 5'000);
  scene_.redis("DEL", "stock");
  EXPECT_EQ(renew(both_, a_, 600s), 0);
  EXPECT_LT(lease_left("orders"), 60'001);
  EXPECT_EQ(holder("stock"), "");
}

TEST_F(MultiLockScriptsTest, RenewLengthensNothingWhereOneIsAnothers) {
  acquire(both_, a_, Join::no, 5s);
  scene_.redis("SET", "stock", "stranger", "PX", 1000);
  EXPECT_EQ(renew(both_, a_, 60s), 0);
  EXPECT_LE(lease_left("orders"), 5'000);
  EXPECT_LE(lease_left("stock"), 1'000);
  EXPECT_EQ(renew(both_, b_, 60s), 0);
  EXPECT_LE(lease_left("orders"), 5'000);
}

// ---- commit ----

TEST_F(MultiLockScriptsTest, CommitIsAppliedWhileAllAreHeldAndOnce) {
  std::vector<std::string> const keys{"{orders}:state", "orders", "stock"};
  acquire(both_, a_);
  auto const commit = [&](int number) {
    return run(scripts::multi_lock_commit, keys, a_, number, 2, "INCR", "done")[0].as<int>();
  };
  EXPECT_EQ(commit(1), 1);
  EXPECT_EQ(commit(1), 1) << "asked again";
  EXPECT_EQ(commit(2), 1);
  EXPECT_EQ(scene_.value("done"), "2");
  scene_.redis("DEL", "stock");
  EXPECT_EQ(commit(2), 1) << "it was applied";
  EXPECT_EQ(commit(3), 0);
  EXPECT_EQ(scene_.value("done"), "2");
}

// ---- Faults ----

TEST_F(MultiLockScriptsTest, KeyOfAnotherTypeIsAnErrorAndLeavesTheOthersAlone) {
  scene_.redis("LPUSH", "stock", 1);
  EXPECT_THROW(acquire(both_, a_), ServerError);
  EXPECT_THROW(wait(both_, a_), ServerError);
  EXPECT_THROW(renew({"stock", "orders"}, a_, 1s), ServerError);
  EXPECT_EQ(holder("orders"), "");
  EXPECT_EQ(scene_.redis("LLEN", "stock").as<int>(), 1);
}

TEST_F(MultiLockScriptsTest, ReleaseGivesBackTheOthersWhenOneKeyIsOfAnotherType) {
  acquire({"a", "b", "c"}, a_);
  scene_.redis("DEL", "b");
  scene_.redis("LPUSH", "b", 1);
  EXPECT_THROW(release({"a", "b", "c"}, a_), ServerError);
  EXPECT_EQ(holder("a") + holder("c"), "");
}

}  // namespace
}  // namespace tandem
