#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/id_generator.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::commands_of;
using support::FaultProxy;
using support::text_of;
using ::testing::HasSubstr;

static_assert(std::is_copy_constructible_v<IdGenerator> &&
              std::is_nothrow_move_constructible_v<IdGenerator>);

class IdGeneratorTest : public ::testing::Test {
 protected:
  std::string get(std::string const& key) {
    return redis_.command("GET", key).as<std::optional<std::string>>().value_or("(nil)");
  }

  testing::RedisServer server_{};
  Client redis_{server_.url()};
  IdGenerator ids_{redis_, "orders", {.block = 10}};
};

TEST_F(IdGeneratorTest, NumbersOfOneObjectBeginAtOneAndGrow) {
  for (std::int64_t number = 1; number <= 35; ++number) EXPECT_EQ(ids_.next(), number);
  EXPECT_EQ(get("orders"), "40");
}

TEST_F(IdGeneratorTest, ObjectsHaveBlocksOfTheirOwnAndCopiesShareOne) {
  auto copy = ids_;
  IdGenerator other{redis_, "orders", {.block = 3}};
  EXPECT_EQ(ids_.next(), 1);
  EXPECT_EQ(other.next(), 11);
  EXPECT_EQ(copy.next(), 2);
  EXPECT_EQ(other.next(), 12);
  EXPECT_EQ(other.next(), 13);
  EXPECT_EQ(other.next(), 14);
  EXPECT_EQ(ids_.next(), 3);
}

TEST_F(IdGeneratorTest, BlockIsOneIncrbyAndTheOthersNothing) {
  EXPECT_EQ(commands_of(redis_, [&] { (void)ids_.next(); }), "incrby 1");
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          for (int i = 0; i < 9; ++i) (void)ids_.next();
                        }),
            "");
  EXPECT_EQ(commands_of(redis_, [&] { (void)ids_.next(); }), "incrby 1");
}

TEST_F(IdGeneratorTest, ThreadsShareBlocksAndNoNumberComesTwice) {
  std::mutex mutex;
  std::set<std::int64_t> all;
  auto const commands = commands_of(redis_, [&] {
    support::on_threads(8, [&](int) {
      std::vector<std::int64_t> mine;
      for (int i = 0; i < 500; ++i) mine.push_back(ids_.next());
      EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
      std::lock_guard const guard{mutex};
      all.insert(mine.begin(), mine.end());
    });
  });
  EXPECT_EQ(all.size(), 4000U);
  EXPECT_EQ(*all.begin(), 1);
  EXPECT_EQ(*all.rbegin(), 4000);
  EXPECT_EQ(commands, "incrby 400");
}

TEST_F(IdGeneratorTest, GoesOnFromWhatOthersSet) {
  redis_.command("SET", "orders", "9007199254740993");  // 2^53 + 1
  EXPECT_EQ(ids_.next(), 9007199254740994);
  redis_.command("SET", "orders", -100);
  IdGenerator below{redis_, "orders", {.block = 1}};
  EXPECT_EQ(below.next(), -99);
}

TEST_F(IdGeneratorTest, LastNumbersAreHandedOutAndThenIsAnEnd) {
  constexpr auto highest = std::numeric_limits<std::int64_t>::max();
  redis_.command("SET", "orders", highest - 10);
  for (int i = 9; i >= 0; --i) EXPECT_EQ(ids_.next(), highest - i);
  EXPECT_THAT(text_of<ServerError>([&] { (void)ids_.next(); }), HasSubstr("overflow"));
  EXPECT_EQ(get("orders"), std::to_string(highest));
}

TEST_F(IdGeneratorTest, BadNameAndBlockAreRefusedBeforeAnyConversation) {
  Client nowhere{"unix:///nowhere.sock"};
  auto const text = [&](std::string const& name, std::int64_t block) {
    return text_of<std::invalid_argument>([&] {
      IdGenerator const made{nowhere, name, {.block = block}};
    });
  };
  EXPECT_THAT(text("", 1), HasSubstr("an id generator's name is empty"));
  for (std::int64_t const block : {0LL, -1LL, 1'000'000'001LL}) {
    EXPECT_THAT(text("orders", block),
                HasSubstr("id generator \"orders\": the block is " + std::to_string(block) +
                          "; accepted is 1 to 1000000000"));
  }
}

TEST_F(IdGeneratorTest, RefusalHandsOutNothingAndTheNextCallAsksAgain) {
  redis_.command("RPUSH", "orders", "a");
  EXPECT_EQ(code_of([&] { (void)ids_.next(); }), "WRONGTYPE");
  EXPECT_THAT(text_of<ServerError>([&] { (void)ids_.next(); }), HasSubstr("INCRBY on orders"));
  redis_.command("DEL", "orders");
  EXPECT_EQ(ids_.next(), 1);
}

TEST_F(IdGeneratorTest, BlockWhoseReplyIsLostIsAbandonedForAnother) {
  FaultProxy proxy{server_};
  IdGenerator ids{Client{proxy.url()}, "orders", {.block = 10}};
  proxy.next("INCRBY", FaultProxy::Fault::cut_after_request);
  proxy.next("INCRBY", FaultProxy::Fault::cut_before_request);
  proxy.next("INCRBY", FaultProxy::Fault::cut_in_reply);
  EXPECT_EQ(ids.next(), 21);
  EXPECT_EQ(ids.next(), 22);
  for (int i = 0; i < 8; ++i) (void)ids.next();
  proxy.next("INCRBY", FaultProxy::Fault::cut_and_delay);
  EXPECT_EQ(ids.next(), 31);
  proxy.deliver_delayed();
  EXPECT_TRUE(support::eventually([&] { return get("orders") == "50"; }));
  EXPECT_EQ(ids_.next(), 51);
}

TEST_F(IdGeneratorTest, SilentServerEndsEachThreadsCallAtItsDeadlineAndWhatIsHereGoesOn) {
  auto options = Options::from_url(server_.url());
  options.command_timeout = 500ms;
  IdGenerator ids{Client{options}, "orders", {.block = 10}};
  ASSERT_TRUE(support::eventually([&] { return code_of([&] { (void)ids.next(); }) == "none"; }));
  server_.pause();
  for (int i = 0; i < 9; ++i) (void)ids.next();
  auto const waited = support::time_of(
      [&] { support::on_threads(8, [&](int) { EXPECT_THROW((void)ids.next(), Error); }); });
  server_.resume();
  EXPECT_LT(waited, 500ms + support::stall);
}

}  // namespace
}  // namespace tandem
