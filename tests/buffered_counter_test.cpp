#include "tandem/buffered_counter.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::commands_of;
using support::eventually;
using support::FaultProxy;
using support::on_threads;
using support::text_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto highest = std::numeric_limits<std::int64_t>::max();
constexpr auto lowest = std::numeric_limits<std::int64_t>::min();

static_assert(std::is_copy_constructible_v<BufferedCounter> &&
              std::is_nothrow_move_constructible_v<BufferedCounter>);

/// So that nothing is flushed but by what a test does.
constexpr BufferedCounterOptions by_hand{.flush_interval = 12h, .resend_for = 24h};

class BufferedCounterTest : public ::testing::Test {
 protected:
  std::string get(std::string const& key = "hits") {
    return redis_.command("GET", key).as<std::optional<std::string>>().value_or("(nil)");
  }
  bool becomes(std::string const& number) {
    return eventually([&] { return get() == number; });
  }
  std::vector<std::string> keys() {
    return redis_.command("KEYS", "*").as<std::vector<std::string>>();
  }

  testing::RedisServer server_{};
  Client redis_{server_.url() + "?command_timeout=20s"};
};

// ---- What is added ----

TEST_F(BufferedCounterTest, AddsAreSharedByFlush) {
  BufferedCounter hits{redis_, "hits", by_hand};
  hits.add();
  hits.add(5);
  ++hits;
  hits += -2;
  EXPECT_EQ(get(), "(nil)");
  EXPECT_EQ(hits.pending(), 5);
  hits.flush();
  EXPECT_EQ(get(), "5");
  EXPECT_EQ(hits.pending(), 0);
  hits.add(-7);
  hits.flush();
  EXPECT_EQ(get(), "-2");
}

TEST_F(BufferedCounterTest, AddsAreSharedWhenTheIntervalIsOver) {
  BufferedCounter hits{redis_, "hits", {.flush_interval = 5ms}};
  hits.add(3);
  EXPECT_TRUE(becomes("3"));
  // Once more, after it has had nothing to do for a while.
  EXPECT_TRUE(eventually([&] { return hits.pending() == 0; }));
  std::this_thread::yield();
  hits.add(4);
  EXPECT_TRUE(becomes("7"));
}

TEST_F(BufferedCounterTest, AsMuchAsFlushAtIsNotKeptWaiting) {
  BufferedCounter hits{redis_, "hits", {.flush_interval = 12h, .flush_at = 100, .resend_for = 24h}};
  for (int i = 0; i < 100; ++i) hits.add();
  EXPECT_TRUE(becomes("100"));
  hits.add(-250);
  EXPECT_TRUE(becomes("-150"));
}

TEST_F(BufferedCounterTest, FlushAtGoesOnWhileFlushesAreUnderWay) {
  BufferedCounter hits{redis_, "hits", {.flush_interval = 12h, .flush_at = 100, .resend_for = 24h}};
  for (int i = 0; i < 50'000; ++i) hits.add();
  EXPECT_TRUE(eventually([&] { return hits.pending() < 100; })) << hits.pending();
}

TEST_F(BufferedCounterTest, FlushAtThatIsReachedWhileAFlushIsUnderWayIsNotForgotten) {
  FaultProxy proxy{server_};
  proxy.delay(300ms);
  BufferedCounter hits{Client{proxy.url() + "?command_timeout=20s&connect_timeout=20s"},
                       "hits",
                       {.flush_interval = 12h, .flush_at = 100, .resend_for = 24h}};
  hits.add(100);
  ASSERT_TRUE(becomes("100"));  // and the reply is on its way
  hits.add(100);
  EXPECT_TRUE(becomes("200"));
}

TEST_F(BufferedCounterTest, AddsAreSharedByItsEndWhoeverEndsFirst) {
  {
    BufferedCounter hits{redis_, "hits", by_hand};
    hits.add(3);
  }
  EXPECT_EQ(get(), "3");
  {
    std::optional<Client> own{Client{server_.url()}};
    BufferedCounter hits{*own, "hits", by_hand};
    hits.add(4);
    own.reset();
    hits.add(5);
  }
  EXPECT_EQ(get(), "12");
}

TEST_F(BufferedCounterTest, CopiesAreTheSameCounterWhichEndsWithTheLast) {
  std::optional<BufferedCounter> hits{BufferedCounter{redis_, "hits", by_hand}};
  auto copy = *hits;
  hits->add(2);
  hits.reset();
  EXPECT_EQ(copy.pending(), 2);
  EXPECT_EQ(get(), "(nil)");
  { auto const last = std::move(copy); }
  EXPECT_EQ(get(), "2");
}

TEST_F(BufferedCounterTest, ValueIsTheSharedNumberAndWhatThisProcessHasPending) {
  BufferedCounter hits{redis_, "hits", by_hand};
  BufferedCounter same{redis_, "hits", by_hand};
  BufferedCounter another{redis_, "others", by_hand};
  EXPECT_EQ(hits.value(), 0);
  redis_.command("INCRBY", "hits", 100);
  hits.add(5);
  same.add(20);
  another.add(1000);
  EXPECT_EQ(hits.value(), 125);
  hits.flush();
  EXPECT_EQ(get(), "105");
  EXPECT_EQ(hits.value(), 125);
  same.add(1);
  same.flush();
  hits.add(2);
  EXPECT_EQ(hits.value(), 128);
  EXPECT_EQ(same.value(), 128);
}

TEST_F(BufferedCounterTest, ValueNeverFallsWhileOthersFlush) {
  BufferedCounter hits{redis_, "hits", {.flush_interval = 1ms, .flush_at = 10}};
  std::int64_t last = 0;
  for (int i = 0; i < 2000; ++i) {
    hits.add(3);
    auto const now = hits.value();
    ASSERT_EQ(now, last + 3);
    last = now;
  }
}

TEST_F(BufferedCounterTest, WorksBesideCounterIncrbyAndGet) {
  BufferedCounter hits{redis_, "hits", by_hand};
  Counter plain{redis_, "hits"};
  plain.add(10);
  hits.add(5);
  hits.flush();
  EXPECT_EQ(plain.value(), 15);
  redis_.command("INCRBY", "hits", 1);
  EXPECT_EQ(plain.exchange(0), 16);
  hits.add(2);
  hits.flush();
  EXPECT_EQ(plain.value(), 2);
}

TEST_F(BufferedCounterTest, AddsOfManyThreadsAreExactWhileItIsFlushed) {
  constexpr int threads = 4;
  constexpr int adds = 100'000;
  BufferedCounter hits{redis_, "hits", {.flush_interval = 1ms}};
  on_threads(threads, [&](int number) {
    for (int i = 0; i < adds; ++i) hits.add(number + 1);
    if (number == 0) hits.flush();
  });
  hits.flush();
  EXPECT_EQ(get(), std::to_string(adds * (1 + 2 + 3 + 4)));
}

TEST_F(BufferedCounterTest, ThreadsThatHaveEndedAreCounted) {
  BufferedCounter hits{redis_, "hits", by_hand};
  for (int round = 0; round < 50; ++round) {
    std::thread{[&] {
      hits.add();
      hits.add();
    }}.join();
  }
  EXPECT_EQ(hits.pending(), 100);
  hits.flush();
  EXPECT_EQ(get(), "100");
}

TEST_F(BufferedCounterTest, OneThreadAddsToMoreCountersThanItEverHadAtOnce) {
  std::vector<BufferedCounter> counters;
  for (int round = 0; round < 100; ++round) {
    if (round % 3 == 0) counters.clear();
    for (int i = 0; i < 5; ++i) counters.emplace_back(redis_, "hits", by_hand);
    for (auto& each : counters) each.add(), each.add();
  }
  std::int64_t const sum = 2 * 5 * (33 * (1 + 2 + 3) + 1);
  counters.clear();
  EXPECT_EQ(get(), std::to_string(sum));
}

// ---- 64 bits ----

TEST_F(BufferedCounterTest, AllSixtyFourBitsAreExact) {
  BufferedCounter hits{redis_, "hits", by_hand};
  hits.add(highest);
  EXPECT_EQ(hits.value(), highest);
  hits.flush();
  EXPECT_EQ(get(), std::to_string(highest));
  hits.add(lowest);
  hits.flush();
  EXPECT_EQ(get(), "-1");
  hits.add(lowest + 1);
  hits.flush();
  EXPECT_EQ(get(), std::to_string(lowest));
  hits.add((std::int64_t{1} << 53) + 1);
  hits.flush();
  EXPECT_EQ(get(), std::to_string(lowest + (std::int64_t{1} << 53) + 1));
}

TEST_F(BufferedCounterTest, AddThatWouldLeaveSixtyFourBitsIsRefusedAndNotAdded) {
  BufferedCounter hits{redis_, "hits", by_hand};
  hits.add(highest - 1);
  hits.add();
  EXPECT_THAT(text_of<std::overflow_error>([&] { hits.add(); }),
              HasSubstr("hits: adding 1 to what is pending would leave 64 bits"));
  EXPECT_EQ(hits.pending(), highest);
  // For whatever thread adds.
  std::thread{[&] { EXPECT_THROW(hits.add(), std::overflow_error); }}.join();
  hits.add(-3);
  hits.add(2);
  EXPECT_THROW(hits.add(2), std::overflow_error);
  hits.flush();
  EXPECT_EQ(get(), std::to_string(highest - 1));
  hits.add(5);  // there is room again
  EXPECT_EQ(hits.pending(), 5);
  hits.add(lowest);
  EXPECT_THROW(hits.add(-6), std::overflow_error);
  hits.add(5 - highest + highest);
  EXPECT_EQ(hits.pending(), lowest + 10);
}

// ---- What lies in Redis ----

TEST_F(BufferedCounterTest, KeepsOneRecordForEachObjectInTheNumbersSlot) {
  BufferedCounter hits{redis_, "hits", {.flush_interval = 12h, .resend_for = 24h}};
  for (int i = 0; i < 10; ++i) {
    hits.add();
    hits.flush();
  }
  auto all = keys();
  std::erase(all, "hits");
  ASSERT_EQ(all.size(), 1U);
  EXPECT_THAT(all[0], ::testing::MatchesRegex("\\{hits\\}:flushed:[0-9a-f]+\\.[0-9]+"));
  EXPECT_EQ(get(all[0]), "10");
  auto const left = redis_.command("PTTL", all[0]).as<long long>();
  EXPECT_GT(left, (48 * 60 - 1) * 60'000);
  EXPECT_LE(left, 48 * 60 * 60'000);

  BufferedCounter tagged{redis_, "a{b}c", by_hand};
  tagged.add();
  tagged.flush();
  EXPECT_THAT(keys(), ::testing::Contains(::testing::StartsWith("a{b}c:flushed:")));
}

// ---- What it costs ----

TEST_F(BufferedCounterTest, AnyNumberOfAddsIsOneCommandAndNoneIsNone) {
  BufferedCounter hits{redis_, "hits", by_hand};
  hits.add();
  hits.flush();
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          for (int i = 0; i < 1000; ++i) hits.add();
                          hits.flush();
                        }),
            "evalsha 1, get 1, incrby 1, set 1");
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          hits.flush();
                          hits.add(3);
                          hits.add(-3);
                          hits.flush();
                        }),
            "");
  EXPECT_EQ(commands_of(redis_, [&] { (void)hits.value(); }), "eval 1, evalsha 1, get 2");
  EXPECT_EQ(commands_of(redis_, [&] { (void)hits.value(); }), "evalsha 1, get 2");
}

TEST_F(BufferedCounterTest, FlushIsOneRoundTrip) {
  FaultProxy proxy{server_};
  BufferedCounter hits{Client{proxy.url()}, "hits", by_hand};
  int least = std::numeric_limits<int>::max();
  for (int i = 0; i < 10; ++i) {  // the event thread connects meanwhile, by the same way
    auto const before = proxy.round_trips();
    hits.add(2);
    hits.flush();
    least = std::min(least, proxy.round_trips() - before);
  }
  EXPECT_EQ(least, 1);
}

// ---- What is refused ----

TEST_F(BufferedCounterTest, BadInputIsRefusedBeforeAnyConversation) {
  Client nowhere{"unix:///nowhere.sock"};
  auto const refused = [&](std::string const& name, BufferedCounterOptions const& options) {
    return text_of<std::invalid_argument>([&] {
      BufferedCounter const counter{nowhere, name, options};
    });
  };
  EXPECT_THAT(refused("", {}), HasSubstr("a buffered counter's name is empty; it is a key of 1 "
                                         "byte or more"));
  EXPECT_THAT(refused("hits", {.flush_interval = 0ms}),
              HasSubstr("was given a flush_interval of 0 ms; it is from 1 ms to 12 hours"));
  EXPECT_THAT(refused("hits", {.flush_interval = 13h}), HasSubstr("flush_interval of 46800000 ms"));
  EXPECT_THAT(refused("hits", {.resend_for = 25h}),
              HasSubstr("resend_for of 90000000 ms; it is from 1 ms to 24 hours"));
  EXPECT_THAT(refused("hits", {.resend_for = -1ms}), HasSubstr("was given a resend_for of -1 ms"));
  EXPECT_THAT(
      refused("hits", {.flush_interval = 12h}),
      HasSubstr("was given a resend_for of 3600000 ms with a flush_interval of 43200000 ms; "
                "it is at least twice as long"));
  EXPECT_THAT(refused("hits", {.flush_interval = 100ms, .resend_for = 199ms}),
              HasSubstr("resend_for of 199 ms with a flush_interval of 100 ms"));
  BufferedCounter const just_long_enough{
      nowhere, "hits", {.flush_interval = 100ms, .resend_for = 200ms}};
  EXPECT_THAT(refused("hits", {.flush_at = -1}),
              HasSubstr("was given a flush_at of -1; it is an amount, or 0 for none"));
}

}  // namespace
}  // namespace tandem
