// src/lua/lock/*.lua, each alone: what the server does with the questions of clients that are not
// there.
#include <chrono>
#include <cstdint>
#include <optional>
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
using support::eventually;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LockScriptsTest : public ::testing::Test {
 protected:
  struct Answer {
    bool held = false;
    std::uint64_t fence = 0;
    long long left = 0;
    bool leads = false;
    std::string owner{};
    std::uint64_t last_fence = 0;
  };
  enum class Join { no, yes };

  Answer acquire(std::string const& token, Join join = Join::no,
                 std::chrono::milliseconds lease = 10s) {
    auto const reply =
        redis_.run(scripts::lock_acquire, {"orders", "{orders}:waiters", "{orders}:state"}, token,
                   lease.count(), join == Join::yes ? 1 : 0, 1000);
    if (reply[0].as<int>() == 1) return {.held = true, .fence = reply[1].as<std::uint64_t>()};
    return {.left = reply[1].as<long long>(),
            .leads = reply[2].as<bool>(),
            .owner = reply[3].as<std::string>(),
            .last_fence = reply[5].as<std::uint64_t>()};
  }
  Answer wait(std::string const& token) { return acquire(token, Join::yes); }
  /// After `yield_after` hand-offs the key is left free.
  int release(std::string const& token, int yield_after = 0, std::chrono::milliseconds moment = 10s,
              std::uint64_t fence = 0) {
    return redis_
        .run(scripts::lock_release, {"orders", "{orders}:waiters", "{orders}:state"}, token, 1000,
             fence, yield_after, moment.count())
        .as<int>();
  }
  int release_hold(std::string const& token, std::uint64_t fence) {
    return release(token, 0, 1ms, fence);
  }
  int renew(std::string const& token, std::chrono::milliseconds lease) {
    return redis_.run(scripts::lock_renew, {"orders"}, token, lease.count()).as<int>();
  }

  [[nodiscard]] std::string holder() { return scene_.value("orders"); }
  [[nodiscard]] long long lease_left() { return scene_.redis("PTTL", "orders").as<long long>(); }
  [[nodiscard]] std::vector<std::string> queue() {
    return scene_.redis("ZRANGE", "{orders}:waiters", 0, -1).as<std::vector<std::string>>();
  }

  support::LockScene scene_{};
  Client redis_ = scene_.client();
  Ears const a_ears_{scene_.server, "a"};
  Ears const b_ears_{scene_.server, "b"};
  std::string const a_ = "a/1/100/host/";
  std::string const b_ = "b/1/100/host/";
  std::string const deaf_ = "d/1/100/host/";
};

TEST_F(LockScriptsTest, AllOfThemMayBeRunTwiceAndSaySo) {
  for (auto const& script : {scripts::lock_acquire, scripts::lock_commit, scripts::lock_owner,
                             scripts::lock_release, scripts::lock_renew, scripts::lock_waiters}) {
    EXPECT_TRUE(script.repeatable()) << script.source().substr(0, script.source().find('\n'));
    EXPECT_EQ(redis_.command("SCRIPT", "LOAD", script.source()).as<std::string>(), script.sha1());
  }
}

// ---- acquire ----

TEST_F(LockScriptsTest, AcquireAskedAgainRecognisesItselfAndBeginsTheLeaseAnew) {
  auto const first = acquire(a_, Join::no, 1s);
  EXPECT_LE(lease_left(), 1'000);
  auto const again = acquire(a_, Join::no, 60s);
  EXPECT_TRUE(first.held && again.held);
  EXPECT_EQ(first.fence, again.fence);
  EXPECT_GT(lease_left(), 1'000);
  EXPECT_LE(lease_left(), 60'000);
}

TEST_F(LockScriptsTest, AcquireThatOnlyTriesLeavesNoTrace) {
  acquire(a_);
  auto const answer = acquire(b_, Join::no);
  EXPECT_FALSE(answer.held);
  EXPECT_EQ(answer.owner, a_);
  EXPECT_GT(answer.left, 0);
  EXPECT_THAT(queue(), IsEmpty());
}

TEST_F(LockScriptsTest, WaiterAskingAgainKeepsItsPlace) {
  acquire("x/1/1/h/");
  EXPECT_TRUE(wait(a_).leads);
  EXPECT_FALSE(wait(b_).leads);
  EXPECT_TRUE(wait(a_).leads);
  EXPECT_THAT(queue(), ElementsAre(a_, b_));
}

TEST_F(LockScriptsTest, NobodyBargesWhenTheKeyIsGoneAndOthersWait) {
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  scene_.redis("DEL", "orders");
  EXPECT_FALSE(acquire("x/2/1/h/").held);
  EXPECT_EQ(holder(), a_);
  EXPECT_THAT(a_ears_.heard(), AllOf(HasSubstr("grant "), HasSubstr(" 0 " + a_)));
  EXPECT_THAT(queue(), ElementsAre(b_));
}

TEST_F(LockScriptsTest, NewcomerJoinsTheEndWhenTheKeyIsGoneAndOthersWait) {
  acquire("x/1/1/h/");
  wait(a_);
  scene_.redis("DEL", "orders");
  auto const answer = wait(b_);
  EXPECT_FALSE(answer.held);
  EXPECT_EQ(answer.owner, a_);
  EXPECT_TRUE(answer.leads);
  EXPECT_LE(answer.left, 1'000) << "until the grant lapses";
  EXPECT_THAT(queue(), ElementsAre(b_));
}

TEST_F(LockScriptsTest, FirstOfTheQueueTakesAKeyThatIsGone) {
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  scene_.redis("DEL", "orders");
  EXPECT_TRUE(wait(a_).held);
  EXPECT_THAT(b_ears_.heard(), HasSubstr("lead 10000 " + b_));
}

TEST_F(LockScriptsTest, SecondOfTheQueueTakesAKeyThatIsGoneWhenTheFirstIsDeaf) {
  acquire("x/1/1/h/");
  wait(deaf_);
  wait(b_);
  scene_.redis("DEL", "orders");
  EXPECT_TRUE(wait(b_).held);
  EXPECT_THAT(queue(), IsEmpty());
}

TEST_F(LockScriptsTest, WaiterGivesAStrangersKeyWithoutExpiryItsOwnLease) {
  scene_.redis("SET", "orders", "stranger");
  EXPECT_FALSE(acquire(a_, Join::no).held);
  EXPECT_EQ(lease_left(), -1) << "who only tries changes nothing";
  EXPECT_EQ(acquire(a_, Join::yes, 5s).left, 5'000);
  EXPECT_GT(lease_left(), 0);
  EXPECT_EQ(holder(), "stranger");
}

// ---- release ----

TEST_F(LockScriptsTest, ReleaseWithoutWaitersFreesTheKey) {
  acquire(a_);
  EXPECT_EQ(release(a_), 1);
  EXPECT_EQ(holder(), "");
}

TEST_F(LockScriptsTest, ReleaseAskedAgainSaysReleasedWhoeverHoldsSince) {
  auto const fence = acquire(a_).fence;
  EXPECT_EQ(release_hold(a_, fence), 1);
  EXPECT_EQ(release_hold(a_, fence), 1) << "nobody";
  auto const next = acquire(b_).fence;
  EXPECT_EQ(release_hold(a_, fence), 1) << "another one";
  EXPECT_EQ(holder(), b_);
  EXPECT_EQ(release_hold(b_, next), 1);
  EXPECT_EQ(release_hold(a_, fence), 1) << "nobody again";
  acquire("x/1/1/h/");
  wait(b_);
  release("x/1/1/h/");
  EXPECT_EQ(release_hold(a_, fence), 1) << "one of many";
}

TEST_F(LockScriptsTest, ReleaseOfWhatWasLostNeverSaysReleased) {
  auto const lost = acquire(a_).fence;
  scene_.redis("DEL", "orders");
  EXPECT_EQ(release_hold(a_, lost), 0);
  auto const next = acquire(b_).fence;
  EXPECT_EQ(release_hold(a_, lost), 2);
  EXPECT_EQ(release_hold(b_, next), 1);
  EXPECT_EQ(release_hold(a_, lost), 0) << "somebody else's release is not its own";
}

TEST_F(LockScriptsTest, ReleaseOfWhatHasExpiredSaysSo) {
  acquire(a_);
  scene_.redis("DEL", "orders");
  EXPECT_EQ(release(a_), 0);
}

TEST_F(LockScriptsTest, ReleaseOfWhatAnotherHoldsSaysSoAndLeavesItAlone) {
  acquire(a_);
  scene_.redis("SET", "orders", "stranger", "PX", 60'000);
  EXPECT_EQ(release(a_), 2);
  EXPECT_EQ(holder(), "stranger");
  EXPECT_GT(lease_left(), 1'000);
}

TEST_F(LockScriptsTest, ReleaseGrantsTheFirstWaiterAndTellsTheNextThatItLeads) {
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  EXPECT_EQ(release("x/1/1/h/"), 1);
  EXPECT_EQ(holder(), a_);
  EXPECT_LE(lease_left(), 1'000) << "a grant is short";
  EXPECT_THAT(a_ears_.heard(), AllOf(HasSubstr("grant "), HasSubstr(" 0 " + a_)));
  EXPECT_THAT(b_ears_.heard(), HasSubstr("lead 1000 " + b_));
  EXPECT_THAT(queue(), ElementsAre(b_));
  EXPECT_TRUE(wait(a_).held);
  EXPECT_GT(lease_left(), 1'000) << "taken up, it lasts for the lease";
}

TEST_F(LockScriptsTest, GrantSaysItsFenceWhichIsGreaterThanTheLastOneThatAWaiterWasTold) {
  auto const before = acquire("x/1/1/h/").fence;
  wait(deaf_);
  auto const told = wait(a_).last_fence;
  EXPECT_EQ(told, before);
  release_hold("x/1/1/h/", before);
  auto const fence = wait(a_).fence;
  EXPECT_GT(fence, told);
  EXPECT_THAT(a_ears_.heard(), HasSubstr("grant " + std::to_string(fence) + " 0 " + a_));
  EXPECT_EQ(wait(b_).last_fence, fence) << "what a message of before it says is not greater";
}

TEST_F(LockScriptsTest, GrantTellsAProcessThatWouldKeepTheLockWhetherOthersWait) {
  std::string const keeps = "b/1k/100/host/";
  acquire("x/1/1/h/");
  wait(keeps);
  release("x/1/1/h/");
  EXPECT_THAT(b_ears_.heard(), HasSubstr(" 0 " + keeps));
  wait("b/2k/100/host/");
  wait(a_);
  release(keeps);
  EXPECT_THAT(b_ears_.heard(), HasSubstr(" 1 b/2k/100/host/"));
}

TEST_F(LockScriptsTest, LeaderIsToldWhoHoldsAndSomebodyOfTheHoldersPlaceToWatchIt) {
  auto const there = [](std::string const& letter, std::string const& place) {
    return letter + "/1/100/7/" + place + "/host/";
  };
  Ears const c_ears{scene_.server, "c"};
  Ears const e_ears{scene_.server, "e"};
  acquire("x/1/1/h/");
  wait(there("a", "here"));
  wait(there("b", "elsewhere"));
  wait(there("c", "elsewhere"));
  wait(there("e", "here"));
  EXPECT_EQ(release("x/1/1/h/"), 1);
  EXPECT_THAT(a_ears_.heard(), AllOf(HasSubstr("grant "), HasSubstr(" 0 " + there("a", "here"))));
  EXPECT_THAT(b_ears_.heard(),
              HasSubstr("lead 1000 " + there("b", "elsewhere") + " " + there("a", "here")));
  EXPECT_THAT(e_ears.heard(), HasSubstr("watch " + there("e", "here") + " " + there("a", "here")));
  EXPECT_TRUE(c_ears.heard_nothing());

  EXPECT_EQ(release(there("a", "here")), 1);
  EXPECT_THAT(b_ears_.heard(),
              AllOf(HasSubstr("grant "), HasSubstr(" 0 " + there("b", "elsewhere"))));
  EXPECT_THAT(c_ears.heard(), HasSubstr(" " + there("b", "elsewhere"))) << "it leads, and sees it";
  EXPECT_TRUE(e_ears.heard_nothing());
}

TEST_F(LockScriptsTest, HolderThatKeepsTheLockIsToldThatItIsWanted) {
  auto const keeping = "aa/1k/100/7/here/host/";
  Ears const ears{scene_.server, "aa"};
  acquire(keeping);
  acquire(b_);
  EXPECT_THAT(ears.heard(), HasSubstr(std::string{"wanted "} + keeping));
  wait(b_);
  EXPECT_THAT(ears.heard(), HasSubstr(std::string{"wanted "} + keeping));
  release(keeping);
  acquire("aa/2/100/7/here/host/");
  wait(b_);
  EXPECT_TRUE(ears.heard_nothing()) << "this one does not";
}

TEST_F(LockScriptsTest, WaitersAreListedInTheirOrderWithTheTimesAtWhichTheyCame) {
  auto const list = [&](int most) {
    return redis_.run(scripts::lock_waiters, {"{orders}:waiters"}, most)
        .as<std::vector<std::string>>();
  };
  EXPECT_EQ(list(10).size(), 1U) << "the time";
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  auto const all = list(10);
  ASSERT_EQ(all.size(), 5U);
  EXPECT_EQ(all[1], a_);
  EXPECT_EQ(all[3], b_);
  EXPECT_LT(std::stoll(all[2]), std::stoll(all[4]));
  EXPECT_LE(std::stoll(all[4]), std::stoll(all[0]));
  EXPECT_EQ(list(1).size(), 3U);
}

TEST_F(LockScriptsTest, WhoComesLaterStandsBehindAlsoWhenTheServersClockWasSetBack) {
  acquire("x/1/1/h/");
  wait(a_);
  scene_.redis("ZADD", "{orders}:waiters", "4000000000000000", a_);  // in the year 2096
  wait(b_);
  EXPECT_THAT(queue(), ElementsAre(a_, b_));
}

TEST_F(LockScriptsTest, ReleaseSkipsTheDeafAndForgetsThem) {
  acquire("x/1/1/h/");
  wait(deaf_);
  wait("d/2/1/h/");
  wait(b_);
  EXPECT_EQ(release("x/1/1/h/"), 1);
  EXPECT_EQ(holder(), b_);
  EXPECT_THAT(queue(), IsEmpty());
}

TEST_F(LockScriptsTest, ReleaseFreesTheKeyWhenNobodyInTheQueueHears) {
  acquire("x/1/1/h/");
  wait(deaf_);
  EXPECT_EQ(release("x/1/1/h/"), 1);
  EXPECT_EQ(holder(), "");
  EXPECT_THAT(queue(), IsEmpty());
}

TEST_F(LockScriptsTest, GrantThatIsNotTakenUpPassesOnWhenItLapses) {
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  release("x/1/1/h/");
  ASSERT_EQ(holder(), a_);
  ASSERT_TRUE(eventually([&] { return holder().empty(); }));
  EXPECT_TRUE(wait(b_).held);
  EXPECT_FALSE(wait(a_).held) << "its grant is over";
}

TEST_F(LockScriptsTest, LeavingWaiterIsOutOfTheQueueAndTheNextLeads) {
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  EXPECT_EQ(release(a_), 2);
  EXPECT_THAT(queue(), ElementsAre(b_));
  EXPECT_THAT(b_ears_.heard(), HasSubstr("lead "));
}

TEST_F(LockScriptsTest, LeavingWaiterWhoDidNotLeadDisturbsNobody) {
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  EXPECT_EQ(release(b_), 2);
  EXPECT_THAT(queue(), ElementsAre(a_));
  EXPECT_TRUE(a_ears_.heard_nothing());
}

TEST_F(LockScriptsTest, LeavingWaiterWhoWasGrantedMeanwhileHandsTheLockOn) {
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  release("x/1/1/h/");
  ASSERT_EQ(holder(), a_);
  EXPECT_EQ(release(a_), 1);
  EXPECT_EQ(holder(), b_);
  EXPECT_THAT(b_ears_.heard(), AllOf(HasSubstr("grant "), HasSubstr(" 0 " + b_)));
}

// ---- renew ----

TEST_F(LockScriptsTest, RenewLengthensOnlyTheHoldersLease) {
  acquire(a_, Join::no, 5s);
  EXPECT_EQ(renew(a_, 60s), 1);
  EXPECT_GT(lease_left(), 5'000);
  EXPECT_LE(lease_left(), 60'000);
  EXPECT_EQ(renew(b_, 1s), 0);
  EXPECT_GT(lease_left(), 5'000);
}

TEST_F(LockScriptsTest, RenewDoesNotBringBackWhatIsGone) {
  acquire(a_);
  scene_.redis("DEL", "orders");
  EXPECT_EQ(renew(a_, 60s), 0);
  EXPECT_EQ(holder(), "");
}

// ---- Fences ----

TEST_F(LockScriptsTest, FencesIncreaseWithEachAcquisitionAndEachGrant) {
  auto const first = acquire("x/1/1/h/").fence;
  wait(a_);
  release("x/1/1/h/");
  auto const second = wait(a_).fence;
  release(a_);
  auto const third = acquire(b_).fence;
  EXPECT_GT(first, 0U);
  EXPECT_GT(second, first);
  EXPECT_GT(third, second);
}

TEST_F(LockScriptsTest, FencesIncreaseAfterTheirCounterWasDeletedOrSetBack) {
  auto const first = acquire(a_).fence;
  release(a_);
  scene_.redis("DEL", "{orders}:state");
  auto const second = acquire(b_).fence;
  EXPECT_GT(second, first);
  release(b_);
  scene_.redis("HSET", "{orders}:state", "fence", 7);
  EXPECT_GT(acquire(a_).fence, second);
}

TEST_F(LockScriptsTest, FencesIncreaseAlsoWhenTheServersClockIsBehindThem) {
  auto const far_ahead = std::uint64_t{1} << 52;
  scene_.redis("HSET", "{orders}:state", "fence", far_ahead);
  EXPECT_EQ(acquire(a_).fence, far_ahead + 1);
  release(a_);
  EXPECT_EQ(acquire(b_).fence, far_ahead + 2);
}

TEST_F(LockScriptsTest, StateOfAHeldLockThatWasDeletedComesBackWithAHigherFence) {
  auto const first = acquire(a_).fence;
  scene_.redis("DEL", "{orders}:state");
  EXPECT_GT(acquire(a_).fence, first);
}

// ---- Strangers ----

TEST_F(LockScriptsTest, KeyIsLeftFreeAfterTheRunOfHandOffsAndThenGoesToTheFirst) {
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  EXPECT_EQ(release("x/1/1/h/", 1), 1);
  ASSERT_TRUE(wait(a_).held);
  EXPECT_EQ(release(a_, 1, 300ms), 1);
  EXPECT_EQ(holder(), "") << "one hand-off was the run";
  EXPECT_THAT(b_ears_.heard(), HasSubstr("lead "));
  EXPECT_FALSE(wait(b_).held) << "not even the first of the queue takes it now";
  EXPECT_FALSE(acquire("x/2/1/h/").held);
  EXPECT_TRUE(eventually([&] { return wait(b_).held; }));
}

TEST_F(LockScriptsTest, KeyThatWasLeftFreeIsHandedToTheFirstByWhoeverAsksAfterTheMoment) {
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  release("x/1/1/h/", 1);
  wait(a_);
  release(a_, 1, 1ms);
  EXPECT_TRUE(eventually([&] { return acquire("x/2/1/h/").owner == b_; }));
  EXPECT_EQ(holder(), b_);
}

TEST_F(LockScriptsTest, ClockThatWasSetBackDoesNotLeaveTheKeyFreeForLonger) {
  acquire("x/1/1/h/");
  wait(a_);
  wait(b_);
  release("x/1/1/h/", 1);
  wait(a_);
  release(a_, 1, 1s);
  ASSERT_FALSE(wait(b_).held);
  // As it looks when the clock goes an hour back.
  auto const until = scene_.redis("HGET", "{orders}:state", "yielding").as<long long>();
  scene_.redis("HSET", "{orders}:state", "yielding", until + 3'600'000);
  EXPECT_TRUE(wait(b_).held);
}

TEST_F(LockScriptsTest, RunsAreNotCountedWhileNobodyWaits) {
  for (int i = 0; i < 5; ++i) {
    acquire(a_);
    release(a_, 2);
  }
  acquire("x/1/1/h/");
  wait(a_);
  release("x/1/1/h/", 2);
  EXPECT_EQ(holder(), a_);
}

TEST_F(LockScriptsTest, KeyLeftFreeIsTakenAtOnceWhenNobodyWaits) {
  acquire("x/1/1/h/");
  wait(a_);
  release("x/1/1/h/", 1);
  wait(a_);
  wait(b_);
  release(a_, 1);
  ASSERT_EQ(holder(), "");
  release(b_);
  EXPECT_TRUE(acquire("x/2/1/h/").held);
}

// ---- Faults ----

TEST_F(LockScriptsTest, KeyOfAnotherTypeIsAnErrorAndStaysAsItIs) {
  scene_.redis("LPUSH", "orders", 1);
  EXPECT_THROW(acquire(a_), ServerError);
  EXPECT_THROW(wait(a_), ServerError);
  EXPECT_THROW(release(a_), ServerError);
  EXPECT_THROW(renew(a_, 1s), ServerError);
  EXPECT_EQ(scene_.redis("LLEN", "orders").as<int>(), 1);
}

TEST_F(LockScriptsTest, ReleaseWorksOnAServerThatIsOutOfMemory) {
  acquire("x/1/1/h/");
  wait(a_);
  scene_.redis("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(release("x/1/1/h/"), 1);
  EXPECT_EQ(holder(), a_);
  EXPECT_EQ(release(a_), 1);
  EXPECT_EQ(holder(), "");
}

}  // namespace
}  // namespace tandem
