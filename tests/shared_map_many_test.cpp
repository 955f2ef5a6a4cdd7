// Many entries of a map at once: in bounded requests, in one moment, in little memory.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <tandem/shared_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"

namespace {

std::atomic<std::ptrdiff_t> in_use = 0;  // bytes, of all that comes from new
std::atomic<std::ptrdiff_t> most_in_use = 0;

}  // namespace

// Counted here, for a promise about memory.
void* operator new(std::size_t size) {
  void* const out = std::malloc(size);
  if (out == nullptr) throw std::bad_alloc{};
  auto const now = in_use += static_cast<std::ptrdiff_t>(::malloc_usable_size(out));
  auto most = most_in_use.load();
  while (now > most && !most_in_use.compare_exchange_weak(most, now)) {
  }
  return out;
}
void operator delete(void* memory) noexcept {
  if (memory != nullptr) in_use -= static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::commands_of;
using support::FaultProxy;
using ::testing::HasSubstr;

using Stock = SharedMap<std::string, std::int64_t>;
using Texts = SharedMap<std::string, std::string>;

class SharedMapManyTest : public ::testing::Test {
 protected:
  /// `count` entries, made by the server itself: key and value are their number.
  void fill(int count) {
    redis_.command("EVAL", "for i = 0, ARGV[1] - 1 do redis.call('HSET', KEYS[1], i, i) end", 1,
                   "stock", count);
  }

  testing::RedisServer server_{};
  Client redis_{server_.url() + "?command_timeout=60s"};
  Stock stock_{redis_, "stock"};
  Client other_{server_.url() + "?command_timeout=60s"};
};

// ---- Requests ----

TEST_F(SharedMapManyTest, HundredThousandEntriesAreSetReadAndErasedAThousandAtATime) {
  constexpr int count = 100'000;
  std::vector<std::pair<std::string, std::int64_t>> entries;
  std::vector<std::string> keys;
  for (int i = 0; i < count; ++i) {
    entries.emplace_back("key" + std::to_string(i), i);
    keys.push_back(entries.back().first);
  }
  stock_.erase("none");  // the server learns the script
  EXPECT_EQ(commands_of(other_, [&] { stock_.set_many(entries); }), "hset 100");
  EXPECT_EQ(stock_.size(), std::size_t{count});
  std::int64_t sum = 0;
  EXPECT_EQ(commands_of(other_,
                        [&] {
                          for (auto const& value : stock_.get_many(keys)) sum += value.value();
                        }),
            "hmget 100");
  EXPECT_EQ(sum, std::int64_t{count} * (count - 1) / 2);
  EXPECT_EQ(commands_of(other_, [&] { EXPECT_EQ(stock_.erase_many(keys), std::size_t{count}); }),
            "evalsha 100, exists 100, hdel 100");
}

TEST_F(SharedMapManyTest, ThousandEntriesAreOneRequestAndOneMoreAreTwo) {
  std::vector<std::pair<std::string, std::int64_t>> entries;
  for (int i = 0; i < 1000; ++i) entries.emplace_back(std::to_string(i), i);
  EXPECT_EQ(commands_of(other_, [&] { stock_.set_many(entries); }), "hset 1");
  entries.emplace_back("1000", 1000);
  EXPECT_EQ(commands_of(other_, [&] { stock_.set_many(entries); }), "hset 2");
}

TEST_F(SharedMapManyTest, LargeValuesAreSentFewAtATime) {
  Texts texts{redis_, "texts"};
  std::vector<std::pair<std::string, std::string>> entries;
  for (int i = 0; i < 12; ++i) entries.emplace_back(std::to_string(i), std::string(300'000, 'x'));
  entries[7].second.assign(3'000'000, 'y');  // larger than a request: goes alone
  EXPECT_EQ(commands_of(other_, [&] { texts.set_many(entries); }), "hset 6");
  EXPECT_EQ(texts.size(), 12U);
}

TEST_F(SharedMapManyTest, LargeValuesAreReadFewAtATime) {
  Texts texts{redis_, "texts"};
  std::vector<std::string> keys;
  for (int i = 0; i < 40; ++i) {
    texts.set(std::to_string(i), std::string(20'000, 'x'));
    for (int round = 0; round < 75; ++round) keys.push_back(std::to_string(i));
  }
  std::vector<std::optional<std::string>> read;
  // 3,000 values of 20 kB: 1,000 of them, which cannot be known to be large, then 250, then 62.
  auto const commands = commands_of(other_, [&] { read = texts.get_many(keys); });
  EXPECT_GT(std::stoi(commands.substr(commands.find("hmget ") + 6)), 10) << commands;
  ASSERT_EQ(read.size(), keys.size());
  for (auto const& value : read) EXPECT_EQ(value.value().size(), 20'000U);
}

TEST_F(SharedMapManyTest, FaultInTheMiddleLeavesWhatWentBefore) {
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  std::vector<std::pair<std::string, std::int64_t>> entries;
  for (int i = 0; i < 2500; ++i) entries.emplace_back(std::to_string(i), i);
  ours.set_many({{"first", 1}});
  stock_.clear();
  proxy.next("HSET", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW(ours.set_many(entries), InDoubt);
  EXPECT_EQ(stock_.size(), 1000U);
}

// ---- One moment ----

TEST_F(SharedMapManyTest, SnapshotIsOfOneMomentWhileOthersMoveEntries) {
  stock_.set_many({{"a", 500}, {"b", 500}, {"c", 0}});
  std::atomic<bool> over = false;
  std::jthread mover{[&] {
    Stock theirs{other_, "stock"};
    for (std::int64_t i = 1; !over; ++i) {
      theirs.set_many({{"a", 500 - i % 100}, {"b", 500 + i % 100}, {"c", i}});
    }
  }};
  EXPECT_TRUE(support::eventually([&] { return *stock_.get("c") > 0; }));
  std::int64_t last = 0;
  int changes = 0;
  for (int round = 0; round < 300; ++round) {
    std::map<std::string, std::int64_t> seen;
    for (auto const& [key, value] : stock_.snapshot()) seen[key] = value;
    EXPECT_EQ(seen["a"] + seen["b"], 1000);
    changes += seen["c"] != last ? 1 : 0;
    last = seen["c"];
  }
  over = true;
  EXPECT_GT(changes, 1) << "nobody moved anything: this showed nothing";
}

TEST_F(SharedMapManyTest, SnapshotIsOneRoundTrip) {
  EXPECT_TRUE(stock_.snapshot().empty());
  fill(10'000);
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  (void)ours.get("0");
  auto const before = proxy.round_trips();
  EXPECT_EQ(ours.snapshot().size(), 10'000U);
  EXPECT_EQ(proxy.round_trips() - before, 1);
  EXPECT_EQ(commands_of(other_, [&] { (void)stock_.snapshot(); }),
            "exec 1, hgetall 1, multi 1, time 1");
}

TEST_F(SharedMapManyTest, SnapshotNamesWhatCannotBeRead) {
  stock_.set("apple", 1);
  redis_.command("HSET", "stock", "pear", "secret");
  EXPECT_THAT(support::text_of<CodecError>([&] { (void)stock_.snapshot(); }),
              HasSubstr("map \"stock\", field \"pear\": an integer"));
}

// ---- Large maps ----

TEST_F(SharedMapManyTest, IterationOverALargeMapTakesNoMoreMemoryThanOverASmallerOne) {
  auto const memory_for = [&](int count) {
    fill(count);
    auto const before = in_use.load();
    most_in_use = before;
    std::int64_t sum = 0;
    int seen = 0;
    for (auto it = stock_.begin(); it != stock_.end(); ++it, ++seen) sum += (*it).second;
    EXPECT_EQ(seen, count);
    EXPECT_EQ(sum, std::int64_t{count} * (count - 1) / 2);
    return most_in_use - before;
  };
  auto const smaller = memory_for(150'000);
  auto const larger = memory_for(600'000);
  EXPECT_LT(larger, smaller + smaller / 4);
  EXPECT_LT(larger, 32 << 20);
}

TEST_F(SharedMapManyTest, EntriesThatStayAreSeenOnceWhileALargeMapShrinks) {
  constexpr int count = 300'000;
  fill(count);
  std::map<std::int64_t, int> seen;
  int steps = 0;
  for (auto const& [key, value] : stock_) {
    if (value % 100 == 0) ++seen[value];
    // To a hundredth: the table has then some 2^12 buckets of the 2^19 it had.
    if (++steps == 200'000) {
      redis_.command(
          "EVAL",
          "for i = 0, ARGV[1] - 1 do if i % 100 ~= 0 then redis.call('HDEL', KEYS[1], i) "
          "end end",
          1, "stock", count);
    }
  }
  EXPECT_GE(steps, 200'000);
  EXPECT_EQ(seen.size(), count / 100U);
  for (auto const& [value, times] : seen) EXPECT_EQ(times, 1) << value;
}

TEST_F(SharedMapManyTest, IterationOverALargeMapSaysThatTheServerWasRestarted) {
  testing::RedisServer server{{.persistent = true}};
  Client redis{server.url() + "?command_timeout=60s"};
  Stock stock{redis, "stock"};
  constexpr int count = 200'000;
  redis.command("EVAL", "for i = 0, ARGV[1] - 1 do redis.call('HSET', KEYS[1], i, i) end", 1,
                "stock", count);
  int seen = 0;
  bool restarted = false;
  auto it = stock.begin();
  auto const go_on = [&] {
    for (; it != stock.end(); ++it) {
      if (++seen == 150'000 && !std::exchange(restarted, true)) server.restart();
    }
  };
  EXPECT_THAT(support::text_of<Unreachable>(go_on), HasSubstr("it was restarted"));
  EXPECT_LT(seen, count);
  seen = 0;
  ++it;
  go_on();
  EXPECT_EQ(seen, count);  // all again
}

}  // namespace
}  // namespace tandem
