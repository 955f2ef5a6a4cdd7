#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/counter.hpp>
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
using ::testing::HasSubstr;

constexpr auto highest = std::numeric_limits<std::int64_t>::max();
constexpr auto lowest = std::numeric_limits<std::int64_t>::min();

/// Counter::add_within, the plain one and the one that is applied exactly once.
class CounterWithinTest : public ::testing::TestWithParam<bool> {
 protected:
  testing::RedisServer server_{};
  Client redis_{server_.url()};
  Counter stock_{redis_, "stock", {.exactly_once = GetParam()}};
};

INSTANTIATE_TEST_SUITE_P(PlainAndOnce, CounterWithinTest, ::testing::Bool());

TEST_P(CounterWithinTest, AddsWhereTheSumLiesWithinAndElseNothing) {
  EXPECT_EQ(stock_.add_within(3, 0, 5), 3);
  EXPECT_EQ(stock_.add_within(3, 0, 5), std::nullopt);
  EXPECT_EQ(stock_.value(), 3);
  EXPECT_EQ(stock_.add_within(2, 0, 5), 5);
  EXPECT_EQ(stock_.add_within(-5, 0, 5), 0);
  EXPECT_EQ(stock_.add_within(-1, 0, 5), std::nullopt);
  EXPECT_EQ(stock_.add_within(0, 1, 5), std::nullopt);
  EXPECT_EQ(stock_.value(), 0);
  EXPECT_EQ(stock_.add_within(7, 7, 7), 7);
}

TEST_P(CounterWithinTest, RefusalWritesNoNumber) {
  EXPECT_EQ(stock_.add_within(1, 5, 9), std::nullopt);
  EXPECT_EQ(redis_.command("EXISTS", "stock").as<int>(), 0);
}

TEST_P(CounterWithinTest, ExpirySetByOthersStays) {
  EXPECT_EQ(stock_.add_within(1, 0, 5), 1);
  redis_.command("EXPIRE", "stock", 1000);
  EXPECT_EQ(stock_.add_within(1, 0, 5), 2);
  EXPECT_EQ(stock_.add_within(9, 0, 5), std::nullopt);
  EXPECT_GT(redis_.command("TTL", "stock").as<int>(), 0);
}

/// What add_within has to do, in numbers with more bits than it has.
std::optional<std::int64_t> sum_within(std::int64_t old, std::int64_t n, std::int64_t low,
                                       std::int64_t high) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(old, n, &sum) || sum < low || sum > high) return std::nullopt;
  return sum;
}

TEST_P(CounterWithinTest, AllSixtyFourBitsAreExact) {
  constexpr std::int64_t inexact = (std::int64_t{1} << 53) + 1;  // where a double is not
  std::vector<std::int64_t> const edges{lowest,  lowest + 1,  -inexact,    -10,    -9,
                                        -1,      0,           1,           9,      10,
                                        inexact, inexact + 1, highest - 1, highest};
  std::mt19937 random{20261123};
  auto const any = [&] {
    return edges[std::uniform_int_distribution<std::size_t>{0, edges.size() - 1}(random)];
  };
  int added = 0;
  for (int i = 0; i < 3000; ++i) {
    auto const old = any(), n = any(), low = any(), high = any();
    if (low > high) continue;
    redis_.command("SET", "stock", old);
    auto const expected = sum_within(old, n, low, high);
    ASSERT_EQ(stock_.add_within(n, low, high), expected)
        << old << " + " << n << " within " << low << " and " << high;
    ASSERT_EQ(stock_.value(), expected.value_or(old));
    added += expected ? 1 : 0;
  }
  EXPECT_GT(added, 300);
}

TEST_P(CounterWithinTest, SumBeyondSixtyFourBitsLiesInNoRange) {
  stock_.exchange(highest);
  EXPECT_EQ(stock_.add_within(1, lowest, highest), std::nullopt);
  EXPECT_EQ(code_of([&] { stock_.add(1); }), "ERR");  // which has no range to answer with
  EXPECT_EQ(stock_.value(), highest);
  stock_.exchange(lowest);
  EXPECT_EQ(stock_.add_within(-1, lowest, highest), std::nullopt);
  EXPECT_EQ(stock_.add_within(lowest, lowest, highest), std::nullopt);
  EXPECT_EQ(stock_.value(), lowest);
}

TEST_P(CounterWithinTest, RangeWithoutANumberIsRefusedBeforeAnyConversation) {
  Counter nowhere{Client{"unix:///nowhere.sock"}, "stock", {.exactly_once = GetParam()}};
  EXPECT_THAT(text_of<std::invalid_argument>([&] { (void)nowhere.add_within(1, 5, 4); }),
              HasSubstr("counter \"stock\": there is no number from 5 to 4"));
}

TEST_P(CounterWithinTest, KeyThatHoldsNoNumberIsRefusedAndLeftAlone) {
  for (auto const* text : {"seven", "07", "-0", "+1", "1.5", " 1", "", "9223372036854775808",
                           "-9223372036854775809", "99999999999999999999"}) {
    redis_.command("SET", "stock", text);
    EXPECT_EQ(code_of([&] { (void)stock_.add_within(1, lowest, highest); }), "ERR") << text;
    EXPECT_EQ(code_of([&] { (void)stock_.add_within(0, 7, 7); }), "ERR") << text;
    EXPECT_EQ(redis_.command("GET", "stock").as<std::string>(), text);
  }
  redis_.command("DEL", "stock");
  redis_.command("RPUSH", "stock", "a");
  EXPECT_EQ(code_of([&] { (void)stock_.add_within(1, 0, 5); }), "WRONGTYPE");
  EXPECT_EQ(redis_.command("LLEN", "stock").as<int>(), 1);
}

TEST_P(CounterWithinTest, NeverMoreThanThereIsAmongManyThreads) {
  stock_.exchange(100);
  std::atomic<int> taken = 0;
  support::on_threads(8, [&](int) {
    while (stock_.add_within(-1, 0, 100)) ++taken;
  });
  EXPECT_EQ(taken, 100);
  EXPECT_EQ(stock_.value(), 0);
}

TEST(CounterWithinPlainTest, IsOneScriptThatIsNotSentAgainInDoubt) {
  testing::RedisServer const server;
  Client redis{server.url()};
  FaultProxy proxy{server};
  Counter stock{Client{proxy.url()}, "stock"};
  EXPECT_EQ(stock.add_within(1, 0, 5), 1);
  EXPECT_EQ(commands_of(redis, [&] { (void)stock.add_within(1, 0, 5); }),
            "evalsha 1, get 1, incrby 1");
  EXPECT_EQ(commands_of(redis, [&] { (void)stock.add_within(9, 0, 5); }), "evalsha 1, get 1");
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW((void)stock.add_within(1, 0, 5), InDoubt);
  EXPECT_EQ(stock.value(), 3);
}

}  // namespace
}  // namespace tandem
