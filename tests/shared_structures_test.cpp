// SharedSet, SharedList and Ranking: one command each on one key.
#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/ranking.hpp>
#include <tandem/shared_list.hpp>
#include <tandem/shared_set.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using support::code_of;
using support::commands_of;
using support::FaultProxy;
using support::text_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class SharedStructuresTest : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] Client client() {
    auto options = Options::from_url(server_.url());
    options.protocol = GetParam();
    return Client{options};
  }

  testing::RedisServer server_{};
  Client redis_ = client();
};

// ---- SharedSet ----

class SharedSetTest : public SharedStructuresTest {
 protected:
  SharedSet<std::int64_t> set_{redis_, "set"};
};

TEST_P(SharedSetTest, HasWhatWasInsertedUntilItIsErased) {
  EXPECT_TRUE(set_.insert(1));
  EXPECT_FALSE(set_.insert(1));
  EXPECT_EQ(set_.insert_many({1, 2, 3}), 2U);
  EXPECT_TRUE(set_.contains(3));
  EXPECT_EQ(set_.size(), 3U);
  EXPECT_THAT(set_.members(), UnorderedElementsAre(1, 2, 3));
  EXPECT_TRUE(redis_.command("SISMEMBER", "set", "3").as<bool>()) << "others read it as text";
  EXPECT_TRUE(set_.erase(1));
  EXPECT_FALSE(set_.erase(1));
  EXPECT_EQ(set_.erase_many({1, 2, 3}), 2U);
  EXPECT_TRUE(set_.empty());
  EXPECT_FALSE(redis_.command("EXISTS", "set").as<bool>());
}

TEST_P(SharedSetTest, EachMemberIsOneCommandAndNothingIsNone) {
  EXPECT_EQ(commands_of(redis_, [&] { set_.insert_many({1, 2}); }), "sadd 1");
  EXPECT_EQ(commands_of(redis_, [&] { (void)set_.members(); }), "smembers 1");
  EXPECT_EQ(commands_of(redis_, [&] { (void)set_.contains(1); }), "sismember 1");
  EXPECT_EQ(commands_of(redis_, [&] { set_.erase_many({}); }), "");
}

TEST_P(SharedSetTest, OneOfManyThreadsIsToldThatItWasFirst) {
  std::atomic<int> first = 0;
  support::on_threads(8, [&](int) { first += set_.insert(7) ? 1 : 0; });
  EXPECT_EQ(first, 1);
}

TEST_P(SharedSetTest, WhatCannotBeDecodedIsNamedAndLeftAsItIs) {
  redis_.command("SADD", "set", "no number");
  EXPECT_THAT(text_of<CodecError>([&] { (void)set_.members(); }), HasSubstr("set \"set\""));
  EXPECT_EQ(set_.size(), 1U);
}

TEST_P(SharedSetTest, KeyOfAnotherTypeIsRefused) {
  redis_.command("SET", "set", "x");
  EXPECT_EQ(code_of([&] { set_.insert(1); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)set_.members(); }), "WRONGTYPE");
  EXPECT_EQ(redis_.command("GET", "set").as<std::string>(), "x");
}

TEST_P(SharedSetTest, ReadsAreAskedAgainAndWritesAreNot) {
  FaultProxy way{server_};
  SharedSet<std::int64_t> far{Client{way.url()}, "set"};
  way.next("SADD", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW(far.insert(1), InDoubt);
  way.next("SCARD", FaultProxy::Fault::cut_after_request);
  EXPECT_EQ(far.size(), 1U);
}

// ---- SharedList ----

class SharedListTest : public SharedStructuresTest {
 protected:
  using List = SharedList<std::int64_t>;
  using WhenFull = SharedListOptions::WhenFull;

  List list_{redis_, "list", {.most = 3}};
};

TEST_P(SharedListTest, GivesBackWhatWasPutThereInItsOrder) {
  list_.push_back(2);
  list_.push_back(3);
  list_.push_front(1);
  EXPECT_THAT(list_.range(0, 10), ElementsAre(1, 2, 3));
  EXPECT_THAT(list_.range(1, 1), ElementsAre(2));
  EXPECT_THAT(list_.range(3, 5), IsEmpty());
  EXPECT_THAT(list_.range(0, std::numeric_limits<std::size_t>::max()), ElementsAre(1, 2, 3));
  EXPECT_THAT(list_.range(std::numeric_limits<std::size_t>::max(), 1), IsEmpty());
  EXPECT_EQ(list_.at(0), 1);
  EXPECT_EQ(list_.at(-1), 3);
  EXPECT_EQ(list_.at(3), std::nullopt);
  EXPECT_EQ(list_.pop_front(), 1);
  EXPECT_EQ(list_.pop_back(), 3);
  EXPECT_EQ(list_.pop_back(), 2);
  EXPECT_EQ(list_.pop_back(), std::nullopt);
  EXPECT_TRUE(list_.empty());
}

TEST_P(SharedListTest, IsNeverLongerThanItsBoundAndDropsAtTheOtherEnd) {
  for (int i = 1; i <= 5; ++i) EXPECT_TRUE(list_.push_back(i));
  EXPECT_THAT(list_.range(0, 10), ElementsAre(3, 4, 5));
  list_.push_front(9);
  EXPECT_THAT(list_.range(0, 10), ElementsAre(9, 3, 4));
  std::vector<std::int64_t> const many{10, 11, 12, 13};
  list_.push_front_many(many);
  EXPECT_THAT(list_.range(0, 10), ElementsAre(13, 12, 11));
  list_.push_back_many(many);
  EXPECT_THAT(list_.range(0, 10), ElementsAre(11, 12, 13));
}

TEST_P(SharedListTest, RefusesWhenFullWhereItIsToldTo) {
  List strict{redis_, "list", {.most = 2, .when_full = WhenFull::refuse}};
  EXPECT_TRUE(strict.push_back(1));
  std::vector<std::int64_t> const two{2, 3};
  EXPECT_FALSE(strict.push_back_many(two)) << "all or none";
  EXPECT_TRUE(strict.push_back(2));
  EXPECT_FALSE(strict.push_front(0));
  EXPECT_THAT(strict.range(0, 10), ElementsAre(1, 2));
}

TEST_P(SharedListTest, WhatOthersPushIsBoundedByTheNextPushHere) {
  redis_.command("RPUSH", "list", 1, 2, 3, 4, 5);
  list_.push_back(6);
  EXPECT_THAT(list_.range(0, 10), ElementsAre(4, 5, 6));
}

TEST_P(SharedListTest, EachMemberIsOneCommand) {
  list_.push_back(1);
  EXPECT_EQ(commands_of(redis_, [&] { list_.push_back(1); }), "evalsha 1, llen 1, rpush 1");
  EXPECT_EQ(commands_of(redis_, [&] { (void)list_.range(0, 3); }), "lrange 1");
  EXPECT_EQ(commands_of(redis_, [&] { list_.push_back_many({}); }), "");
}

TEST_P(SharedListTest, ManyAreTakenAtOnceAndTooManyRefusedBeforehand) {
  List large{redis_, "large", {.most = 10'000}};
  std::vector<std::int64_t> many(7000, 1);
  EXPECT_TRUE(large.push_back_many(many));
  EXPECT_EQ(large.size(), 7000U);
  many.push_back(1);
  EXPECT_THROW(large.push_back_many(many), std::invalid_argument);
  EXPECT_EQ(large.size(), 7000U);
}

TEST_P(SharedListTest, LengthOutOfRangeAndEmptyNameAreRefusedBeforeAnyIo) {
  Client const nowhere{"unix:///nowhere"};
  EXPECT_THROW((List{nowhere, "list", {.most = 0}}), std::invalid_argument);
  EXPECT_THROW((List{nowhere, ""}), std::invalid_argument);
}

TEST_P(SharedListTest, KeyOfAnotherTypeIsRefused) {
  redis_.command("SET", "list", "x");
  EXPECT_EQ(code_of([&] { list_.push_back(1); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { list_.pop_back(); }), "WRONGTYPE");
  EXPECT_EQ(redis_.command("GET", "list").as<std::string>(), "x");
}

TEST_P(SharedListTest, WhatCannotBeDecodedIsNamed) {
  redis_.command("RPUSH", "list", "no number");
  EXPECT_THAT(text_of<CodecError>([&] { (void)list_.range(0, 1); }), HasSubstr("list \"list\""));
  EXPECT_EQ(list_.size(), 1U);
}

TEST_P(SharedListTest, LostReplyToAPushIsNotSentAgain) {
  FaultProxy way{server_};
  List far{Client{way.url()}, "list"};
  list_.push_back(0);
  way.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW(far.push_back(1), InDoubt);
  EXPECT_EQ(far.size(), 2U);
}

// ---- Ranking ----

class RankingTest : public SharedStructuresTest {
 protected:
  using Players = Ranking<std::string>;
  static std::vector<std::string> members_of(std::vector<Players::Place> const& places) {
    std::vector<std::string> out;
    for (auto const& each : places) out.push_back(each.member);
    return out;
  }

  Players players_{redis_, "players"};
};

TEST_P(RankingTest, OrdersByScoreFromTheHighestOn) {
  EXPECT_DOUBLE_EQ(players_.add("ann", 10), 10);
  EXPECT_DOUBLE_EQ(players_.add("ann", 0.5), 10.5);
  players_.set("bob", 20);
  players_.set("cid", -1);
  EXPECT_EQ(players_.rank("bob"), 0U);
  EXPECT_EQ(players_.rank("cid"), 2U);
  EXPECT_EQ(players_.rank("dan"), std::nullopt);
  EXPECT_EQ(players_.score("ann"), 10.5);
  EXPECT_EQ(players_.score("dan"), std::nullopt);
  EXPECT_EQ(players_.size(), 3U);
  auto const top = players_.top(2);
  EXPECT_THAT(members_of(top), ElementsAre("bob", "ann"));
  EXPECT_EQ(top[1].rank, 1U);
  EXPECT_DOUBLE_EQ(top[1].score, 10.5);
  EXPECT_THAT(members_of(players_.top(100)), ElementsAre("bob", "ann", "cid"));
  EXPECT_THAT(players_.top(0), IsEmpty());
  EXPECT_TRUE(players_.erase("cid"));
  EXPECT_FALSE(players_.erase("cid"));
}

TEST_P(RankingTest, ShowsWhoStandsAroundAMember) {
  for (int i = 0; i < 7; ++i) players_.set(std::to_string(i), 10 - i);
  auto const around = players_.around("3", 2);
  EXPECT_THAT(members_of(around), ElementsAre("1", "2", "3", "4", "5"));
  EXPECT_EQ(around.front().rank, 1U);
  EXPECT_DOUBLE_EQ(around.front().score, 9);
  EXPECT_THAT(members_of(players_.around("0", 1)), ElementsAre("0", "1"));
  EXPECT_THAT(members_of(players_.around("6", 1)), ElementsAre("5", "6"));
  EXPECT_THAT(members_of(players_.around("3", 0)), ElementsAre("3"));
  EXPECT_EQ(players_.around("3", std::numeric_limits<std::size_t>::max()).size(), 7U);
  EXPECT_THAT(players_.around("nobody", 2), IsEmpty());
}

TEST_P(RankingTest, NoPointIsLostAmongManyThreads) {
  support::on_threads(8, [&](int) {
    for (int i = 0; i < 50; ++i) players_.add("ann", 1);
  });
  EXPECT_EQ(players_.score("ann"), 400);
}

TEST_P(RankingTest, EachMemberIsOneCommand) {
  EXPECT_EQ(commands_of(redis_, [&] { players_.add("ann", 1); }), "zincrby 1");
  EXPECT_EQ(commands_of(redis_, [&] { (void)players_.top(3); }), "zrevrange 1");
  (void)players_.around("ann", 1);
  EXPECT_EQ(commands_of(redis_, [&] { (void)players_.around("ann", 1); }),
            "evalsha 1, zrevrange 1, zrevrank 1");
}

TEST_P(RankingTest, ScoreThatIsNoNumberIsRefusedAndChangesNothing) {
  players_.set("ann", 1);
  EXPECT_THROW(players_.set("ann", std::nan("")), std::invalid_argument);
  EXPECT_THROW(players_.add("ann", std::nan("")), std::invalid_argument);
  EXPECT_EQ(players_.score("ann"), 1);
  players_.set("top", std::numeric_limits<double>::infinity());
  EXPECT_EQ(players_.rank("top"), 0U);
  EXPECT_NE(code_of([&] { players_.add("top", -std::numeric_limits<double>::infinity()); }), "none")
      << "infinity less infinity is no number";
}

TEST_P(RankingTest, KeyOfAnotherTypeIsRefused) {
  redis_.command("SET", "players", "x");
  EXPECT_EQ(code_of([&] { players_.add("ann", 1); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)players_.top(1); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)players_.around("ann", 1); }), "WRONGTYPE");
}

TEST_P(RankingTest, WhatCannotBeDecodedIsNamed) {
  redis_.command("ZADD", "players", 1, "no number");
  Ranking<std::int64_t> const numbers{redis_, "players"};
  EXPECT_THAT(text_of<CodecError>([&] { (void)numbers.top(1); }), HasSubstr("ranking \"players\""));
}

INSTANTIATE_TEST_SUITE_P(WithResp, SharedSetTest, ::testing::Values(2, 3));
INSTANTIATE_TEST_SUITE_P(WithResp, SharedListTest, ::testing::Values(2, 3));
INSTANTIATE_TEST_SUITE_P(WithResp, RankingTest, ::testing::Values(2, 3));

}  // namespace
}  // namespace tandem
