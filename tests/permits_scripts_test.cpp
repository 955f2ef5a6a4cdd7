// The scripts of locks that several hold, each alone: what they answer, what they leave, and that
// they may be run twice.
#include <chrono>
#include <cstdint>
#include <string>
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
using ::testing::UnorderedElementsAre;

class PermitsScriptsTest : public ::testing::Test {
 protected:
  struct Answer {
    bool held = false;
    std::uint64_t fence = 0;
    long long left = 0;
    bool leads = false;
    long long limit = 0;
    std::uint64_t last_fence = 0;
    std::vector<std::string> owners{};
  };
  struct How {
    bool join = false;
    std::chrono::milliseconds lease = 10s;
    std::chrono::milliseconds ahead = 0ms;
    int limit = 0;
  };

  Answer acquire(std::string const& token, How const& how) {
    auto const reply =
        redis_.run(scripts::permits_acquire, {"x", "{x}:waiters", "{x}:state"}, token,
                   how.lease.count(), how.join ? 1 : 0, 1000, how.ahead.count(), how.limit);
    Answer out;
    out.held = reply[0].as<int>() == 1;
    if (out.held) {
      out.fence = reply[1].as<std::uint64_t>();
      out.limit = reply[2].as<long long>();
      return out;
    }
    out.left = reply[1].as<long long>();
    out.leads = reply[2].as<int>() == 1;
    out.limit = reply[4].as<long long>();
    out.last_fence = reply[5].as<std::uint64_t>();
    if (!reply[3].as<std::string>().empty()) out.owners.push_back(reply[3].as<std::string>());
    for (std::size_t i = 6; i < reply.size(); ++i) out.owners.push_back(reply[i].as<std::string>());
    return out;
  }
  Answer acquire(std::string const& token) { return acquire(token, How{}); }
  int release(std::string const& token, std::uint64_t fence = 0) {
    return redis_
        .run(scripts::permits_release, {"x", "{x}:waiters", "{x}:state"}, token, 1000, fence)
        .as<int>();
  }
  int renew(std::string const& token, std::chrono::milliseconds lease) {
    return redis_.run(scripts::permits_renew, {"x"}, token, lease.count()).as<int>();
  }
  std::vector<long long> downgrade(std::string const& token, std::string const& shared) {
    return redis_
        .run(scripts::permits_downgrade, {"x", "{x}:waiters", "{x}:state"}, token, shared, 10'000,
             1000)
        .as<std::vector<long long>>();
  }
  template <class... Words>
  std::vector<std::string> commit(std::string const& token, int number, Words const&... words) {
    Reply const reply = redis_.run(scripts::permits_commit, {"x", "{x}:state"}, token, number,
                                   sizeof...(words), words...);
    std::vector<std::string> out{std::to_string(reply[0].as<int>())};
    if (reply.size() > 1) out.push_back(std::to_string(reply[1].as<long long>()));
    return out;
  }
  void wait_for_the_end_of(std::string const& token) {
    ASSERT_TRUE(eventually([&] { return renew_would_fail(token); }));
  }
  bool renew_would_fail(std::string const& token) {
    auto const ends = scene_.redis("ZSCORE", "x", token).as<double>();
    auto const time = scene_.redis("TIME").as<std::vector<long long>>();
    return ends <= static_cast<double>(time[0]) * 1e6 + static_cast<double>(time[1]);
  }
  [[nodiscard]] std::vector<std::string> queue() {
    return scene_.redis("ZRANGE", "{x}:waiters", 0, -1).as<std::vector<std::string>>();
  }
  [[nodiscard]] std::vector<std::string> members() {
    return scene_.redis("ZRANGE", "x", 0, -1).as<std::vector<std::string>>();
  }

  support::LockScene scene_{};
  Client redis_ = scene_.client();
  Ears const a_ears_{scene_.server, "a"};
  Ears const b_ears_{scene_.server, "b"};
  std::string const reader_a_ = "a/1s/1/1/place/host/";
  std::string const reader_b_ = "b/1s/1/1/place/host/";
  std::string const writer_a_ = "a/2/1/1/place/host/";
  std::string const writer_b_ = "b/2/1/1/place/host/";
  std::string const deaf_ = "d/1/1/1/place/host/";
};

TEST_F(PermitsScriptsTest, AllOfThemMayBeRunTwiceAndSaySo) {
  for (auto const& script :
       {scripts::permits_acquire, scripts::permits_commit, scripts::permits_downgrade,
        scripts::permits_holders, scripts::permits_release, scripts::permits_renew,
        scripts::permits_set_limit}) {
    EXPECT_TRUE(script.repeatable()) << script.source().substr(0, script.source().find('\n'));
  }
}

// ---- acquire ----

TEST_F(PermitsScriptsTest, AcquireAskedAgainRecognisesItselfAndCountsOnce) {
  auto const first = acquire(reader_a_, {.lease = 1s});
  acquire(reader_b_);
  auto const again = acquire(reader_a_, {.lease = 60s});
  EXPECT_TRUE(first.held && again.held);
  EXPECT_EQ(first.fence, again.fence);
  EXPECT_THAT(members(), ElementsAre(reader_b_, reader_a_)) << "its lease began anew";
}

TEST_F(PermitsScriptsTest, AcquireThatOnlyTriesLeavesNoTraceAndNamesWhoHolds) {
  acquire(reader_a_, {.lease = 5s});
  acquire(reader_b_);
  auto const answer = acquire(writer_a_);
  EXPECT_FALSE(answer.held);
  EXPECT_THAT(answer.owners, ElementsAre(reader_a_, reader_b_));
  EXPECT_GT(answer.left, 0);
  EXPECT_LE(answer.left, 5'000);
  EXPECT_THAT(queue(), IsEmpty());
}

TEST_F(PermitsScriptsTest, WaiterAskingAgainKeepsItsPlaceAndMakesSureThatTheFirstLives) {
  acquire(writer_a_);
  EXPECT_TRUE(acquire(deaf_, {.join = true}).leads);
  EXPECT_FALSE(acquire(writer_b_, {.join = true}).leads);
  EXPECT_THAT(queue(), ElementsAre(deaf_, writer_b_));
  EXPECT_TRUE(acquire(writer_b_, {.join = true}).leads);
  EXPECT_THAT(queue(), ElementsAre(writer_b_));
}

TEST_F(PermitsScriptsTest, WriterStandsBeforeThoseWhoHaveWaitedForLess) {
  acquire(writer_a_);
  acquire(reader_a_, {.join = true});
  acquire(writer_b_, {.join = true, .ahead = 1h});
  acquire(reader_b_, {.join = true});
  EXPECT_THAT(queue(), ElementsAre(writer_b_, reader_a_, reader_b_));
}

TEST_F(PermitsScriptsTest, FencesGrowAlsoWhenTheCounterWasLost) {
  auto const one = acquire(reader_a_).fence;
  auto const two = acquire(reader_b_).fence;
  EXPECT_GT(two, one);
  release(reader_a_);
  scene_.redis("DEL", "{x}:state");
  EXPECT_GT(acquire(reader_a_).fence, two);
}

TEST_F(PermitsScriptsTest, HolderWhoseStateWasDeletedIsAnswered) {
  acquire(reader_a_);
  scene_.redis("DEL", "{x}:state");
  auto const again = acquire(reader_a_);
  EXPECT_TRUE(again.held);
  EXPECT_GT(again.fence, 0U);
}

TEST_F(PermitsScriptsTest, EndedLeaseMakesRoom) {
  acquire(writer_a_, {.lease = 10ms});
  wait_for_the_end_of(writer_a_);
  EXPECT_TRUE(acquire(reader_b_).held);
}

TEST_F(PermitsScriptsTest, FirstLimitStays) {
  EXPECT_EQ(acquire(reader_a_, {.limit = 1}).limit, 1);
  auto const refused = acquire(reader_b_, {.limit = 9});
  EXPECT_FALSE(refused.held);
  EXPECT_EQ(refused.limit, 1);
}

// ---- release ----

TEST_F(PermitsScriptsTest, ReleaseAskedAgainAnswersTheSame) {
  auto const fence = acquire(reader_a_).fence;
  acquire(reader_b_);
  EXPECT_EQ(release(reader_a_, fence), 1);
  EXPECT_EQ(release(reader_a_, fence), 1);
  EXPECT_THAT(members(), ElementsAre(reader_b_));
}

TEST_F(PermitsScriptsTest, ReleaseAfterTheLeaseAnswersTheSameEachTime) {
  auto const fence = acquire(writer_a_, {.lease = 10ms}).fence;
  wait_for_the_end_of(writer_a_);
  EXPECT_EQ(release(writer_a_, fence), 0);
  EXPECT_EQ(release(writer_a_, fence), 0);
  acquire(writer_b_);
  EXPECT_EQ(release(writer_a_, fence), 2);
}

TEST_F(PermitsScriptsTest, ReleaseOfADeletedKeyAnswersTheSameEachTime) {
  auto const fence = acquire(writer_a_).fence;
  scene_.redis("DEL", "x");
  EXPECT_EQ(release(writer_a_, fence), 0);
  EXPECT_EQ(release(writer_a_, fence), 0);
}

TEST_F(PermitsScriptsTest, ReleaseOfATokenThatIsNotThereYetSaysSo) {
  acquire(reader_b_);
  EXPECT_EQ(release(reader_a_), 2);
  release(reader_b_);
  EXPECT_EQ(release(reader_a_), 0);
}

TEST_F(PermitsScriptsTest, WhoLostIsForgottenAfterADay) {
  auto const fence = acquire(writer_a_, {.lease = 10ms}).fence;
  wait_for_the_end_of(writer_a_);
  auto const now = scene_.redis("TIME").as<std::vector<long long>>()[0];
  scene_.redis("ZADD", "x", (now - 86'000) * 1'000'000, writer_a_);
  release(acquire(reader_b_).held ? reader_b_ : "", 1);
  EXPECT_THAT(members(), ElementsAre(writer_a_));
  EXPECT_EQ(release(writer_a_, fence), 0);
  scene_.redis("ZADD", "x", (now - 87'000) * 1'000'000, writer_a_);
  acquire(reader_b_);
  release(reader_b_);
  EXPECT_THAT(members(), IsEmpty());
  EXPECT_THAT(scene_.redis("HKEYS", "{x}:state").as<std::vector<std::string>>(),
              ElementsAre("fence"));
}

TEST_F(PermitsScriptsTest, GrantSaysItsFenceWhichIsGreaterThanTheLastOneThatAWaiterWasTold) {
  auto const before = acquire(writer_a_).fence;
  acquire(deaf_, {.join = true});
  auto const told = acquire(writer_b_, {.join = true}).last_fence;
  EXPECT_EQ(told, before);
  release(writer_a_);
  auto const fence = acquire(writer_b_).fence;
  EXPECT_GT(fence, told);
  EXPECT_THAT(b_ears_.heard(), HasSubstr("grant " + std::to_string(fence) + " 0 " + writer_b_));
  EXPECT_EQ(acquire(reader_a_).last_fence, fence)
      << "what a message of before it says is not greater";
}

TEST_F(PermitsScriptsTest, ReleaseGrantsToTheFirstWhoLivesAndTellsWhoLeadsThen) {
  acquire(writer_a_);
  acquire(deaf_, {.join = true});
  acquire(writer_b_, {.join = true});
  auto const next = "a/3/1/1/place/host/";
  acquire(next, {.join = true});
  EXPECT_EQ(release(writer_a_), 1);
  EXPECT_THAT(members(), ElementsAre(writer_b_));
  EXPECT_THAT(queue(), ElementsAre(next));
  EXPECT_THAT(b_ears_.heard(), AllOf(HasSubstr("grant "), HasSubstr(" 0 " + writer_b_)));
  EXPECT_THAT(a_ears_.heard(), HasSubstr(std::string{"first "} + next));
}

TEST_F(PermitsScriptsTest, ReleaseOfAWriterGrantsToAllReadersUpToTheNextWriter) {
  acquire(writer_a_);
  acquire(reader_a_, {.join = true});
  acquire(reader_b_, {.join = true});
  acquire(writer_b_, {.join = true});
  acquire("a/4s/1/1/place/host/", {.join = true});
  release(writer_a_);
  EXPECT_THAT(members(), UnorderedElementsAre(reader_a_, reader_b_));
  EXPECT_THAT(queue(), ElementsAre(writer_b_, "a/4s/1/1/place/host/"));
}

TEST_F(PermitsScriptsTest, WhoTakesItsTurnByAskingLetsInThoseBehindItWhoFit) {
  acquire(writer_a_);
  acquire(reader_a_, {.join = true});
  acquire(reader_b_, {.join = true});
  scene_.redis("DEL", "x");
  EXPECT_TRUE(acquire(reader_a_, {.join = true}).held);
  EXPECT_THAT(members(), UnorderedElementsAre(reader_a_, reader_b_)) << "it fits as well";
}

TEST_F(PermitsScriptsTest, GrantThatIsNotTakenUpEndsSoon) {
  acquire(writer_a_);
  acquire(writer_b_, {.join = true, .lease = 1h});
  release(writer_a_);
  auto const ends = scene_.redis("ZSCORE", "x", writer_b_).as<double>();
  auto const now = static_cast<double>(scene_.redis("TIME").as<std::vector<long long>>()[0]) * 1e6;
  EXPECT_LE(ends, now + 2.1e6);
}

TEST_F(PermitsScriptsTest, FullServerStillReleases) {
  acquire(reader_a_);
  scene_.redis("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(release(reader_a_), 1);
  scene_.redis("CONFIG", "SET", "maxmemory", 0);
  EXPECT_THAT(members(), IsEmpty());
}

// ---- renew ----

TEST_F(PermitsScriptsTest, RenewLengthensOnlyWhatIsHeld) {
  acquire(writer_a_, {.lease = 1s});
  EXPECT_EQ(renew(writer_a_, 60s), 1);
  EXPECT_EQ(renew(writer_b_, 60s), 0);
  EXPECT_THAT(members(), ElementsAre(writer_a_));
  acquire(writer_a_, {.lease = 10ms});
  wait_for_the_end_of(writer_a_);
  EXPECT_EQ(renew(writer_a_, 60s), 0);
}

// ---- downgrade ----

TEST_F(PermitsScriptsTest, DowngradeAskedAgainAnswersTheSame) {
  auto const alone = acquire(writer_a_).fence;
  auto const first = downgrade(writer_a_, reader_a_);
  EXPECT_THAT(first, ElementsAre(1, ::testing::Gt(static_cast<long long>(alone))));
  EXPECT_EQ(downgrade(writer_a_, reader_a_), first);
  EXPECT_THAT(members(), ElementsAre(reader_a_));
}

TEST_F(PermitsScriptsTest, DowngradeOfWhatIsNotHeldHoldsNothing) {
  EXPECT_THAT(downgrade(writer_a_, reader_a_), ElementsAre(0));
  EXPECT_THAT(members(), IsEmpty());
}

// ---- commit ----

TEST_F(PermitsScriptsTest, CommitAskedAgainIsAppliedOnce) {
  acquire(reader_a_);
  acquire(reader_b_);
  EXPECT_THAT(commit(reader_a_, 1, "INCR", "n"), ElementsAre("1", "1"));
  EXPECT_THAT(commit(reader_b_, 1, "INCR", "n"), ElementsAre("1", "2")) << "a number is one's own";
  EXPECT_THAT(commit(reader_a_, 1, "INCR", "n"), ElementsAre("1", "1"));
  EXPECT_EQ(scene_.value("n"), "2");
}

TEST_F(PermitsScriptsTest, LateCopyOfACommitIsNotAppliedAfterAnother) {
  acquire(reader_a_);
  commit(reader_a_, 1, "INCR", "n");
  commit(reader_a_, 2, "INCR", "n");
  EXPECT_THAT(commit(reader_a_, 1, "INCR", "n"), ElementsAre("0"));
  EXPECT_EQ(scene_.value("n"), "2");
}

TEST_F(PermitsScriptsTest, CommitIsRefusedToWhoseLeaseHasEnded) {
  acquire(reader_a_, {.lease = 10ms});
  wait_for_the_end_of(reader_a_);
  EXPECT_THAT(commit(reader_a_, 1, "INCR", "n"), ElementsAre("0"));
  EXPECT_FALSE(scene_.exists("n"));
}

TEST_F(PermitsScriptsTest, CommitsLeaveNothingBehindAfterTheRelease) {
  acquire(reader_a_);
  commit(reader_a_, 1, "INCR", "n");
  release(reader_a_);
  EXPECT_THAT(scene_.redis("HKEYS", "{x}:state").as<std::vector<std::string>>(),
              UnorderedElementsAre("fence"));
}

TEST_F(PermitsScriptsTest, HigherLimitLetsThoseInWhoWaitAndALowerOneNobodyOut) {
  auto const next = "b/2s/1/1/place/host/";
  EXPECT_TRUE(acquire(reader_a_, {.limit = 1}).held);
  EXPECT_FALSE(acquire(reader_b_, {.join = true, .limit = 1}).held);
  EXPECT_FALSE(acquire(next, {.join = true, .limit = 1}).held);
  auto const set_limit = [&](int limit) {
    return redis_.run(scripts::permits_set_limit, {"x", "{x}:waiters", "{x}:state"}, limit, 10'000)
        .as<int>();
  };
  EXPECT_EQ(set_limit(2), 1);
  EXPECT_THAT(members(), ::testing::UnorderedElementsAre(reader_a_, reader_b_));
  EXPECT_THAT(queue(), ElementsAre(next));
  EXPECT_EQ(set_limit(1), 1);
  EXPECT_THAT(members(), ::testing::UnorderedElementsAre(reader_a_, reader_b_));
}

}  // namespace
}  // namespace tandem
