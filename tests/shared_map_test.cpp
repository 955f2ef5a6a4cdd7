#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/shared_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"

struct Price {
  std::string currency;
  double amount = 0;
  bool operator==(Price const&) const = default;
};

template <>
struct tandem::Codec<Price> {
  static std::string encode(Price const& price) {
    return price.currency + Codec<double>::encode(price.amount);
  }
  static Price decode(std::string_view bytes) {
    if (bytes.size() < 4) throw CodecError{"a price was wanted"};
    return {std::string{bytes.substr(0, 3)}, Codec<double>::decode(bytes.substr(3))};
  }
};

namespace tandem {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using support::code_of;
using support::commands_of;
using support::FaultProxy;

using Stock = SharedMap<std::string, std::int64_t>;
using Texts = SharedMap<std::string, std::string>;
using Seen = std::map<std::string, int>;  // key, and how often it came

template <class Map>
concept Adds = requires(Map map) {
  map.add("key", 1);
};
template <class Map, class Change>
concept Updates = requires(Map map, Change change) {
  map.update("key", change);
};
template <class Map>
concept Iterates = requires(Map map) {
  map.begin();
};

static_assert(Adds<Stock> && Adds<SharedMap<std::string, std::uint8_t>>);
static_assert(!Adds<Texts> && !Adds<SharedMap<std::string, double>> &&
              !Adds<SharedMap<std::string, bool>>);
static_assert(Updates<Stock, int (*)(std::optional<std::int64_t>)>);
static_assert(Updates<Stock, std::optional<std::int64_t> (*)(std::optional<std::int64_t>)>);
static_assert(!Updates<Stock, std::string (*)(std::optional<std::int64_t>)>, "a text is no number");
static_assert(!Updates<Stock, std::int64_t (*)()>, "what is there has to be looked at");
static_assert(std::ranges::input_range<Stock> && std::ranges::input_range<Stock const>);
static_assert(!std::is_copy_constructible_v<Stock::Iterator>, "it goes over the entries once");
static_assert(Iterates<SharedMap<std::string_view, int>>);
static_assert(!Iterates<SharedMap<std::pair<std::string_view, int>, int>>,
              "such a key can be written, not read");
static_assert(std::is_same_v<SharedMap<std::string_view, int>::key_type, std::string>);
static_assert(!std::is_constructible_v<Stock, std::string, Client>);

class SharedMapTest : public ::testing::Test {
 protected:
  static Options with_timeout(std::string const& url, std::chrono::milliseconds timeout) {
    auto options = Options::from_url(url);
    options.command_timeout = timeout;
    return options;
  }

  std::string hget(std::string const& key, std::string const& field) {
    return redis_.command("HGET", key, field).as<std::optional<std::string>>().value_or("(nil)");
  }

  testing::RedisServer server_{};
  Client redis_{
      with_timeout(server_.url(), 30s)};  // a sanitizer on a busy machine may need a while
  Stock stock_{redis_, "stock"};
  Client other_{
      with_timeout(server_.url(), 30s)};  // another process, as far as the server can tell
};

/// The text of the CodecError that `act` throws.
std::string codec_error_of(std::function<void()> const& act) {
  try {
    act();
  } catch (CodecError const& error) {
    return error.what();
  }
  return "none";
}

/// Entries `prefix`0, `prefix`1, ... of one write.
std::vector<std::pair<std::string, std::int64_t>> numbered(std::string const& prefix,
                                                           std::int64_t count) {
  std::vector<std::pair<std::string, std::int64_t>> out;
  for (std::int64_t i = 0; i < count; ++i) out.emplace_back(prefix + std::to_string(i), i);
  return out;
}

std::vector<std::string> keys_of(std::vector<std::pair<std::string, std::int64_t>> const& entries) {
  std::vector<std::string> out;
  out.reserve(entries.size());
  for (auto const& entry : entries) out.push_back(entry.first);
  return out;
}

template <class Map>
int count_by_going_over(Map const& map) {
  int out = 0;
  for (auto it = map.begin(); it != map.end(); ++it) ++out;
  return out;
}

/// How many of `prefix`0 ... `prefix`<count - 1> were seen exactly once.
std::int64_t seen_once(Seen const& seen, std::string const& prefix, std::int64_t count) {
  std::int64_t out = 0;
  for (auto const& [key, value] : numbered(prefix, count)) {
    auto const found = seen.find(key);
    if (found != seen.end() && found->second == 1) ++out;
  }
  return out;
}

// ---- One entry ----

TEST_F(SharedMapTest, SetEntryIsReadBackByAnyClient) {
  stock_.set("apple", 3);
  EXPECT_EQ(stock_.get("apple"), 3);
  EXPECT_EQ((Stock{other_, "stock"}.get("apple")), 3);
  stock_.set("apple", -7);
  EXPECT_EQ(stock_.get("apple"), -7);
}

TEST_F(SharedMapTest, AbsentEntryIsAnEmptyOptional) {
  EXPECT_EQ(stock_.get("apple"), std::nullopt);
  EXPECT_FALSE(stock_.contains("apple"));
}

TEST_F(SharedMapTest, HashIsReadableAndWritableByOtherClientsOfRedis) {
  stock_.set("apple", 3);
  EXPECT_EQ(hget("stock", "apple"), "3");
  redis_.command("HSET", "stock", "pear", "0042");
  EXPECT_EQ(stock_.get("pear"), 42);
  EXPECT_EQ(redis_.command("KEYS", "*").as<std::vector<std::string>>(),
            std::vector<std::string>{"stock"});
}

TEST_F(SharedMapTest, InsertStoresOnlyWhatIsAbsent) {
  EXPECT_TRUE(stock_.insert("pear", 5));
  EXPECT_FALSE(stock_.insert("pear", 6));
  EXPECT_EQ(stock_.get("pear"), 5);
}

TEST_F(SharedMapTest, EraseSaysWhetherThereWasAnEntry) {
  stock_.set("pear", 5);
  EXPECT_TRUE(stock_.contains("pear"));
  EXPECT_TRUE(stock_.erase("pear"));
  EXPECT_FALSE(stock_.erase("pear"));
  EXPECT_FALSE(stock_.contains("pear"));
}

TEST_F(SharedMapTest, SizeCountsEntriesAndClearLeavesNone) {
  EXPECT_EQ(stock_.size(), 0U);
  EXPECT_TRUE(stock_.empty());
  stock_.clear();
  stock_.set_many(numbered("n", 1000));
  EXPECT_EQ(stock_.size(), 1000U);
  EXPECT_FALSE(stock_.empty());
  stock_.clear();
  EXPECT_EQ(stock_.size(), 0U);
  EXPECT_EQ(redis_.command("EXISTS", "stock").as<int>(), 0);
}

TEST_F(SharedMapTest, MapsOfDifferentNamesShareNothingAndCopiesShareEverything) {
  auto copy = stock_;
  copy.set("apple", 1);
  EXPECT_EQ(stock_.get("apple"), 1);
  EXPECT_EQ((Stock{redis_, "Stock"}.get("apple")), std::nullopt);
  EXPECT_EQ(stock_.name(), "stock");
}

TEST_F(SharedMapTest, EmptyNameIsRefusedBeforeAnyInput) {
  Client nowhere{"unix:///nowhere/redis.sock"};
  EXPECT_THROW((Stock{nowhere, ""}), std::invalid_argument);
  EXPECT_NO_THROW((Stock{nowhere, "x"}));
}

// ---- Many entries ----

TEST_F(SharedMapTest, ManyEntriesAreSetAtOnceAndTheLastOfOneKeyStays) {
  stock_.set_many({{"a", 1}, {"b", 2}, {"a", 3}});
  EXPECT_EQ(stock_.get("a"), 3);
  EXPECT_EQ(stock_.size(), 2U);
  stock_.set_many(std::map<std::string_view, int>{{"c", 4}});
  EXPECT_EQ(stock_.get("c"), 4);
  stock_.set_many(std::vector<std::pair<std::string, std::int64_t>>{});
  EXPECT_EQ(stock_.size(), 3U);
}

TEST_F(SharedMapTest, ManyEntriesAreReadInTheOrderAskedFor) {
  stock_.set_many({{"a", 1}, {"b", 2}});
  using Answers = std::vector<std::optional<std::int64_t>>;
  EXPECT_EQ(stock_.get_many({"b", "none", "a", "b"}), (Answers{2, std::nullopt, 1, 2}));
  EXPECT_EQ(stock_.get_many(std::vector<std::string_view>{"a"}), Answers{1});
  EXPECT_EQ(stock_.get_many(std::vector<std::string>{}), Answers{});
}

TEST_F(SharedMapTest, ManyEntriesAreErasedAndCounted) {
  stock_.set_many(numbered("n", 10));
  EXPECT_EQ(stock_.erase_many({"n0", "n1", "none"}), 2U);
  EXPECT_EQ(stock_.erase_many(keys_of(numbered("n", 10))), 8U);
  EXPECT_EQ(stock_.erase_many(std::vector<std::string>{}), 0U);
}

// ---- Atomic changes ----

TEST_F(SharedMapTest, UpdateStoresWhatTheFunctionMakesOfTheEntry) {
  EXPECT_EQ(
      stock_.update("apple", [](std::optional<std::int64_t> n) { return n.value_or(10) + 1; }), 11);
  EXPECT_EQ(
      stock_.update("apple", [](std::optional<std::int64_t> n) { return n.value_or(10) + 1; }), 12);
  EXPECT_EQ(stock_.get("apple"), 12);
}

TEST_F(SharedMapTest, UpdateThatMakesNothingErasesTheEntry) {
  stock_.set_many({{"apple", 1}, {"pear", 2}});
  auto const sell = [](std::optional<std::int64_t> n) {
    return n.value_or(0) > 1 ? std::optional{*n - 1} : std::nullopt;
  };
  EXPECT_EQ(stock_.update("apple", sell), std::nullopt);
  EXPECT_EQ(stock_.update("pear", sell), 1);
  EXPECT_EQ(stock_.update("none", sell), std::nullopt);
  EXPECT_EQ(stock_.get_many({"apple", "pear"}),
            (std::vector<std::optional<std::int64_t>>{std::nullopt, 1}));
}

TEST_F(SharedMapTest, UpdateBeginsAgainWithWhatAnotherStoredMeanwhile) {
  stock_.set("apple", 1);
  Stock theirs{other_, "stock"};
  std::vector<std::optional<std::int64_t>> given;
  stock_.update("apple", [&](std::optional<std::int64_t> n) {
    given.push_back(n);
    if (given.size() == 1) theirs.set("apple", 100);
    if (given.size() == 2) theirs.erase("apple");
    if (given.size() == 3) theirs.set("apple", 1000);
    return n.value_or(0) + 1;
  });
  EXPECT_EQ(given, (std::vector<std::optional<std::int64_t>>{1, 100, std::nullopt, 1000}));
  EXPECT_EQ(stock_.get("apple"), 1001);
}

TEST_F(SharedMapTest, UpdateComparesBytesSoThatForeignSpellingsCanBeUpdated) {
  redis_.command("HSET", "stock", "apple", "007");
  EXPECT_EQ(stock_.update("apple", [](std::optional<std::int64_t> n) { return *n + 1; }), 8);
  EXPECT_EQ(hget("stock", "apple"), "8");
}

TEST_F(SharedMapTest, UpdateThatOthersForestallUntilTheDeadlineThrowsConflictAndAppliesNothing) {
  Stock ours{Client{with_timeout(server_.url(), 1s)}, "stock"};
  std::int64_t theirs = 0;
  auto const forestalled = [&](std::optional<std::int64_t>) {
    stock_.set("apple", ++theirs);
    if (theirs == 3) std::this_thread::sleep_for(1s);  // to the deadline
    return std::int64_t{-1};
  };
  EXPECT_THROW(ours.update("apple", forestalled), Conflict);
  EXPECT_EQ(theirs, 3);
  EXPECT_EQ(stock_.get("apple"), 3);
}

TEST_F(SharedMapTest, UpdateWhoseFunctionOutlivesTheDeadlineAppliesNothing) {
  Stock ours{Client{with_timeout(server_.url(), 1s)}, "stock"};
  auto const slow = [](std::optional<std::int64_t>) {
    std::this_thread::sleep_for(1s);  // as long as the deadline
    return 1;
  };
  EXPECT_THROW(ours.update("apple", slow), Conflict);
  EXPECT_FALSE(stock_.contains("apple"));
}

TEST_F(SharedMapTest, UpdateWhoseFunctionThrowsAppliesNothing) {
  stock_.set("apple", 1);
  EXPECT_THROW(stock_.update("apple",
                             [](std::optional<std::int64_t>) -> std::int64_t {
                               throw std::domain_error{"no"};
                             }),
               std::domain_error);
  EXPECT_EQ(stock_.get("apple"), 1);
}

TEST_F(SharedMapTest, UpdateByEightThreadsAtOnceLosesNothing) {
  constexpr std::size_t threads = 8;
  constexpr int rounds = 150;
  std::atomic<int> conflicts = 0;
  {
    std::vector<std::jthread> workers(threads);
    for (auto& worker : workers) {
      worker = std::jthread([&] {
        for (int round = 0; round < rounds; ++round) {
          int calls = 0;
          stock_.update("apple", [&](std::optional<std::int64_t> n) {
            ++calls;
            return n.value_or(0) + 1;
          });
          conflicts += calls - 1;
        }
      });
    }
  }
  EXPECT_EQ(stock_.get("apple"), std::int64_t{threads} * rounds);
  EXPECT_GT(conflicts, 0) << "they never met: this showed nothing";
}

TEST_F(SharedMapTest, CompareExchangeStoresOnlyOverTheExpectedValue) {
  EXPECT_FALSE(stock_.compare_exchange("apple", 0, 5));
  EXPECT_FALSE(stock_.contains("apple"));
  stock_.set("apple", 4);
  EXPECT_FALSE(stock_.compare_exchange("apple", 3, 5));
  EXPECT_EQ(stock_.get("apple"), 4);
  EXPECT_TRUE(stock_.compare_exchange("apple", 4, 5));
  EXPECT_EQ(stock_.get("apple"), 5);
  EXPECT_TRUE(stock_.compare_exchange("apple", 5, 5));
}

TEST_F(SharedMapTest, EmptyTextIsAnEntryAndNoEntryIsNot) {
  Texts texts{redis_, "texts"};
  EXPECT_FALSE(texts.compare_exchange("a", "", "b"));
  texts.set("a", "");
  EXPECT_EQ(texts.get("a"), "");
  EXPECT_TRUE(texts.compare_exchange("a", "", "b"));
  texts.set("a", "");
  texts.update("a", [](std::optional<std::string> text) { return text ? "was there" : "was not"; });
  EXPECT_EQ(texts.get("a"), "was there");
}

TEST_F(SharedMapTest, AddReturnsTheNewValue) {
  EXPECT_EQ(stock_.add("apple", 10), 10);
  EXPECT_EQ(stock_.add("apple", -12), -2);
  EXPECT_EQ(hget("stock", "apple"), "-2");
}

TEST_F(SharedMapTest, AddThatOverflowsChangesNothing) {
  stock_.set("apple", std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(code_of([&] { stock_.add("apple", 1); }), "ERR");
  EXPECT_EQ(stock_.get("apple"), std::numeric_limits<std::int64_t>::max());
}

TEST_F(SharedMapTest, AddWhoseSumTheTypeCannotHoldThrowsCodecErrorNamingTheEntry) {
  SharedMap<std::string, std::uint8_t> small{redis_, "small"};
  EXPECT_EQ(small.add("n", 255), 255);
  EXPECT_EQ(codec_error_of([&] { small.add("n", 1); }),
            "tandem: map \"small\", field \"n\": an integer from 0 to 255 was wanted, something "
            "else of length 3 is there");
  EXPECT_EQ(small.add("n", -256), 0);
}

// ---- Types ----

TEST_F(SharedMapTest, KeysAndValuesAreOfAnyTypeWithACodec) {
  SharedMap<std::pair<int, bool>, std::optional<std::vector<double>>> map{redis_, "nested"};
  map.set({1, true}, std::vector<double>{0.5, -1});
  map.set({2, false}, std::nullopt);
  EXPECT_EQ(map.get({1, true}).value(), (std::vector<double>{0.5, -1}));
  EXPECT_TRUE(map.get({2, false}).has_value());
  EXPECT_FALSE(map.get({2, false})->has_value());
  EXPECT_FALSE(map.get({3, false}).has_value());
  for (auto const [key, value] : map) EXPECT_EQ(value.has_value(), key.second);
}

TEST_F(SharedMapTest, TypeOfTheUserTakesPartByItsCodec) {
  SharedMap<std::string, Price> prices{redis_, "prices"};
  prices.set("tea", {"EUR", 2.5});
  EXPECT_EQ(hget("prices", "tea"), "EUR2.5");
  EXPECT_EQ(prices.get("tea"), (Price{"EUR", 2.5}));
  EXPECT_TRUE(prices.compare_exchange("tea", {"EUR", 2.5}, {"EUR", 3}));
}

TEST_F(SharedMapTest, KeysMayBePassedAndKeptAsViews) {
  SharedMap<std::string_view, bool> flags{redis_, "flags"};
  std::string const line = "fast=1";
  flags.set(std::string_view{line}.substr(0, 4), true);
  flags.set_many({{"slow", false}});
  for (auto const& [key, value] : flags) EXPECT_EQ(key == "fast", value);
  EXPECT_EQ(flags.size(), 2U);
}

TEST_F(SharedMapTest, KeysValuesAndNamesAreBytes) {
  for (auto const& bytes :
       {"\0"s, "a\0b"s, "\r\n"s, ""s, "\xff\xfe\x80"s, "{a} b{"s, "*1\r\n$4\r\nPING\r\n"s}) {
    Texts texts{redis_, "name " + bytes};
    texts.set(bytes, bytes);
    EXPECT_EQ(texts.get(bytes), bytes);
    EXPECT_TRUE(texts.contains(bytes));
    EXPECT_EQ(texts.get_many({bytes}).front(), bytes);
    EXPECT_TRUE(texts.compare_exchange(bytes, bytes, bytes + "x"));
    EXPECT_EQ(texts.update(bytes, [](auto text) { return text.value() + '\0'; }), bytes + "x\0"s);
    for (auto const& [key, value] : texts) {
      EXPECT_EQ(key, bytes);
      EXPECT_EQ(value, bytes + "x\0"s);
    }
    EXPECT_TRUE(texts.erase(bytes));
  }
}

TEST_F(SharedMapTest, ValueOfSixteenMebibytesPassesUnchanged) {
  std::string large(16 << 20, '\0');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * i >> 7);
  Texts texts{Client{with_timeout(server_.url(), 60s)}, "texts"};
  texts.set("large", large);
  EXPECT_TRUE(texts.get("large") == large);
  EXPECT_TRUE(texts.update("large", [](auto text) { return text.value() + "!"; }) == large + "!");
  EXPECT_TRUE(texts.compare_exchange("large", large + "!", large));
  EXPECT_TRUE((*texts.begin()).second == large);
}

TEST_F(SharedMapTest, ValueOfSixtyFourMebibytesIsStoredAndRead) {
  std::string const large(64 << 20, '\xff');
  Texts texts{Client{with_timeout(server_.url(), 100s)}, "texts"};
  texts.set("large", large);
  EXPECT_TRUE(texts.get("large") == large);
}

// ---- What it costs ----

TEST_F(SharedMapTest, EachMemberIsOneCommand) {
  stock_.set("apple", 1);
  EXPECT_EQ(commands_of(other_, [&] { stock_.set("apple", 1); }), "hset 1");
  EXPECT_EQ(commands_of(other_, [&] { (void)stock_.get("apple"); }), "hget 1");
  EXPECT_EQ(commands_of(other_, [&] { (void)stock_.get("none"); }), "hget 1");
  EXPECT_EQ(commands_of(other_, [&] { stock_.add("apple", 1); }), "hincrby 1");
  EXPECT_EQ(commands_of(other_, [&] { stock_.set_many(numbered("n", 500)); }), "hset 1");
  EXPECT_EQ(commands_of(other_, [&] { (void)stock_.get_many(keys_of(numbered("n", 500))); }),
            "hmget 1");
  EXPECT_EQ(commands_of(other_, [&] { stock_.set_many(numbered("n", 0)); }), "");
  EXPECT_EQ(commands_of(other_, [&] { (void)stock_.get_many(std::vector<std::string>{}); }), "");
}

TEST_F(SharedMapTest, ScriptIsOneCommandAndUpdateIsAReadAndAScript) {
  stock_.set("apple", 1);
  auto const increment = [](std::optional<std::int64_t> n) { return n.value_or(0) + 1; };
  stock_.update("apple", increment);  // the server learns the script
  stock_.clear();
  stock_.set("apple", 1);
  EXPECT_EQ(commands_of(other_, [&] { stock_.update("apple", increment); }),
            "evalsha 1, hget 2, hlen 1, hset 1, zscore 1");
  EXPECT_EQ(commands_of(other_, [&] { stock_.update("apple", [](auto n) { return *n; }); }),
            "hget 1");
  EXPECT_EQ(commands_of(other_, [&] { (void)stock_.compare_exchange("apple", 2, 3); }),
            "evalsha 1, hget 1, hlen 1, hset 1, zscore 1");
  EXPECT_EQ(commands_of(other_, [&] { (void)stock_.compare_exchange("apple", 2, 3); }),
            "evalsha 1, hget 1, hlen 1");
  EXPECT_EQ(commands_of(other_, [&] { stock_.clear(); }), "evalsha 1, hlen 1, unlink 2");
}

TEST_F(SharedMapTest, WhatDoesNotSeeTheValueIsAScriptOfFewCommands) {
  auto const all = [&] {
    stock_.insert("apple", 1);
    (void)stock_.contains("apple");
    (void)stock_.size();
    stock_.erase("apple");
  };
  all();  // the server learns the scripts
  EXPECT_EQ(commands_of(other_, [&] { stock_.insert("apple", 1); }),
            "evalsha 1, hexists 1, hset 1");
  EXPECT_EQ(commands_of(other_, [&] { stock_.insert("apple", 2); }),
            "evalsha 1, hexists 1, hget 1");
  EXPECT_EQ(commands_of(other_, [&] { (void)stock_.contains("apple"); }),
            "evalsha 1, hexists 1, zscore 1");
  EXPECT_EQ(commands_of(other_, [&] { (void)stock_.size(); }), "evalsha 1, exists 1, hlen 1");
  EXPECT_EQ(commands_of(other_, [&] { stock_.erase("apple"); }), "evalsha 1, exists 1, hdel 1");
  stock_.set_many(numbered("n", 500));
  EXPECT_EQ(commands_of(other_, [&] { stock_.erase_many(keys_of(numbered("n", 500))); }),
            "evalsha 1, exists 1, hdel 1");
}

TEST_F(SharedMapTest, UpdateTakesTwoRoundTripsAndOneMoreForEachConflict) {
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  auto const increment = [](std::optional<std::int64_t> n) { return n.value_or(0) + 1; };
  ours.update("apple", increment);
  auto before = proxy.round_trips();
  ours.update("apple", increment);
  EXPECT_EQ(proxy.round_trips() - before, 2);

  before = proxy.round_trips();
  int calls = 0;
  ours.update("apple", [&](std::optional<std::int64_t> n) {
    if (++calls <= 3) stock_.add("apple", 10);
    return *n + 1;
  });
  EXPECT_EQ(stock_.get("apple"), 33);
  EXPECT_EQ(proxy.round_trips() - before, 5);
}

TEST_F(SharedMapTest, IterationOfASmallMapIsOneCommand) {
  stock_.set_many(numbered("n", 100));
  EXPECT_EQ(commands_of(other_, [&] { EXPECT_EQ(count_by_going_over(stock_), 100); }), "hscan 1");
  stock_.clear();
  EXPECT_EQ(commands_of(other_, [&] { EXPECT_EQ(count_by_going_over(stock_), 0); }), "hscan 1");
}

TEST_F(SharedMapTest, IterationOfALargeMapTakesAboutACommandForAThousandEntries) {
  stock_.set_many(numbered("n", 20'000));
  auto const commands =
      commands_of(other_, [&] { EXPECT_EQ(count_by_going_over(stock_), 20'000); });
  auto const scans = std::stoi(commands.substr(commands.find("hscan ") + 6));
  EXPECT_LE(scans, 30) << commands;
  EXPECT_TRUE(commands.ends_with("info 2")) << commands;
}

TEST_F(SharedMapTest, LargeEntriesAreReadFewAtATime) {
  Texts texts{redis_, "texts"};
  for (int i = 0; i < 200; ++i) texts.set(std::to_string(i), std::string(100'000, 'x'));
  int seen = 0;
  auto const commands = commands_of(other_, [&] {
    for (auto const& [key, value] : texts) seen += static_cast<int>(value.size() / 100'000);
  });
  EXPECT_EQ(seen, 200);
  EXPECT_GT(std::stoi(commands.substr(commands.find("hscan ") + 6)), 20) << commands;
}

// ---- Iteration ----

TEST_F(SharedMapTest, IterationSeesEachEntryOnce) {
  for (int const count : {0, 1, 100, 513, 3000}) {
    stock_.clear();
    stock_.set_many(numbered("n", count));
    Seen seen;
    std::int64_t sum = 0;
    for (auto [key, value] : stock_) {
      ++seen[key];
      sum += value;
    }
    EXPECT_EQ(seen_once(seen, "n", count), count);
    EXPECT_EQ(sum, count * (count - 1) / 2);
  }
}

TEST_F(SharedMapTest, EntriesThatStayAreSeenOnceWhileTheTableGrows) {
  stock_.set_many(numbered("stay", 700));
  Seen seen;
  int step = 0;
  for (auto [key, value] : stock_) {
    ++seen[key];
    if (++step % 50 == 0 && step <= 1000)
      stock_.set_many(numbered("new" + std::to_string(step) + ".", 500));
  }
  EXPECT_EQ(seen_once(seen, "stay", 700), 700);
  for (auto const& [key, times] : seen) EXPECT_EQ(times, 1) << key;
  EXPECT_GT(stock_.size(), 10'000U);
}

TEST_F(SharedMapTest, EntriesThatStayAreSeenOnceWhileTheTableShrinks) {
  stock_.set_many(numbered("stay", 700));
  stock_.set_many(numbered("gone", 60'000));
  auto const gone = keys_of(numbered("gone", 60'000));
  Seen seen;
  int step = 0;
  for (auto [key, value] : stock_) {
    ++seen[key];
    if (++step == 1500) stock_.erase_many(gone);
    if (step == 1600) stock_.set_many(numbered("gone", 5'000));
    if (step == 3000) stock_.erase_many(gone);
  }
  EXPECT_EQ(seen_once(seen, "stay", 700), 700);
  for (auto const& [key, times] : seen) EXPECT_EQ(times, 1) << key;
}

TEST_F(SharedMapTest, EntriesThatStayAreSeenOnceWhileOtherThreadsWrite) {
  stock_.set_many(numbered("stay", 500));
  std::atomic<bool> over = false;
  {
    std::vector<std::jthread> writers(2);
    for (std::size_t i = 0; i < writers.size(); ++i) {
      writers[i] = std::jthread([&, prefix = "w" + std::to_string(i) + "."] {
        auto const some = numbered(prefix, 4000);
        while (!over) {
          stock_.set_many(some);
          stock_.erase_many(keys_of(some));
        }
      });
    }
    for (int round = 0; round < 20; ++round) {
      Seen seen;
      for (auto [key, value] : stock_) ++seen[key];
      EXPECT_EQ(seen_once(seen, "stay", 500), 500);
      for (auto const& [key, times] : seen) EXPECT_EQ(times, 1) << key;
    }
    over = true;
  }
}

TEST_F(SharedMapTest, EntryThatIsErasedAndStoredAgainMeanwhileIsSeenAtMostOnce) {
  stock_.set_many(numbered("n", 2000));
  Seen seen;
  for (auto [key, value] : stock_) {
    ++seen[key];
    stock_.erase(key);
    stock_.set(key, value + 1);
  }
  for (auto const& [key, times] : seen) EXPECT_EQ(times, 1) << key;
}

TEST_F(SharedMapTest, IterationPassesOverNothingWhenTheServerIsRestartedInTheMiddle) {
  testing::RedisServer server{{.persistent = true}};
  Stock stock{Client{server.url()}, "stock"};
  constexpr int count = 5000;
  stock.set_many(numbered("n", count));
  for (std::size_t const moment : {10U, 100U, 2000U, 5000U}) {
    Seen seen;
    for (auto [key, value] : stock) {
      ++seen[key];
      if (seen.size() == moment) server.restart();
    }
    EXPECT_EQ(seen_once(seen, "n", count), count) << moment;
  }
}

TEST_F(SharedMapTest, IterationGoesOnAfterAFaultAndMissesNothing) {
  testing::RedisServer server{{.persistent = true}};
  FaultProxy proxy{server};
  Stock stock{Client{with_timeout(proxy.url(), 400ms)}, "stock"};
  constexpr int count = 3000;
  Stock{Client{server.url()}, "stock"}.set_many(numbered("n", count));
  Seen seen;
  int faults = 0;
  auto it = stock.begin();
  auto const each_scan_fails_once = [&] { proxy.next("HSCAN", FaultProxy::Fault::swallow_reply); };
  auto const advance = [&] {
    auto const before = faults;
    for (;;) {
      try {
        ++it;
        break;
      } catch (InDoubt const&) {
        ++faults;
      }
    }
    if (faults > before) each_scan_fails_once();
  };
  for (each_scan_fails_once(); it != stock.end(); advance()) {
    ++seen[(*it).first];
    if (seen.size() == 500) server.restart();
  }
  EXPECT_EQ(seen_once(seen, "n", count), count);
  EXPECT_GT(faults, 4);
}

TEST_F(SharedMapTest, EntryThatCannotBeReadIsNamedAndIterationGoesOnBehindIt) {
  stock_.set_many({{"a", 1}, {"b", 2}, {"c", 3}});
  redis_.command("HSET", "stock", "bad\n", "secret");
  std::int64_t sum = 0;
  std::string refusal;
  for (auto it = stock_.begin(); it != stock_.end(); ++it) {
    refusal += codec_error_of([&] { sum += (*it).second; });
  }
  EXPECT_EQ(sum, 6);
  EXPECT_NE(refusal.find("map \"stock\", field \"bad\\x0a\": an integer"), std::string::npos)
      << refusal;
  EXPECT_EQ(refusal.find("secret"), std::string::npos);
}

TEST_F(SharedMapTest, IterationWorksWhereInfoIsForbidden) {
  redis_.command("ACL", "SETUSER", "worker", "on", ">pw", "~*", "+@all", "-info");
  stock_.set_many(numbered("n", 3000));
  Stock theirs{Client{"unix://worker:pw@" + server_.socket_path()}, "stock"};
  EXPECT_EQ(count_by_going_over(theirs), 3000);
}

// ---- Bytes that are no such value ----

TEST_F(SharedMapTest, UndecodableEntryThrowsCodecErrorNamingMapAndFieldAndStays) {
  redis_.command("HSET", "stock", "apple", "secret");
  auto const wanted =
      "tandem: map \"stock\", field \"apple\": an integer from -9223372036854775808 to "
      "9223372036854775807 was wanted, something else of length 6 is there"s;
  EXPECT_EQ(codec_error_of([&] { (void)stock_.get("apple"); }), wanted);
  EXPECT_EQ(codec_error_of([&] { (void)stock_.get_many({"pear", "apple"}); }), wanted);
  EXPECT_EQ(codec_error_of([&] { stock_.update("apple", [](auto n) { return n.value_or(0); }); }),
            wanted);
  EXPECT_EQ(codec_error_of([&] { (void)*stock_.begin(); }), wanted);
  EXPECT_FALSE(stock_.compare_exchange("apple", 1, 2));
  EXPECT_EQ(code_of([&] { stock_.add("apple", 1); }), "ERR");
  EXPECT_EQ(hget("stock", "apple"), "secret");
}

TEST_F(SharedMapTest, UndecodableKeyThrowsCodecErrorNamingIt) {
  redis_.command("HSET", "ids", std::string(100, 'k'), "1");
  SharedMap<int, int> ids{redis_, "ids"};
  auto const refusal = codec_error_of([&] { (void)*ids.begin(); });
  EXPECT_TRUE(refusal.starts_with("tandem: map \"ids\", field \"" + std::string(64, 'k') +
                                  "...\": an integer"))
      << refusal;
}

TEST_F(SharedMapTest, CodecErrorOfTheUsersCodecNamesTheEntryToo) {
  redis_.command("HSET", "prices", "tea", "x");
  SharedMap<std::string, Price> prices{redis_, "prices"};
  EXPECT_EQ(codec_error_of([&] { (void)prices.get("tea"); }),
            "tandem: map \"prices\", field \"tea\": a price was wanted");
}

// ---- Faults of the server ----

TEST_F(SharedMapTest, KeyThatIsNoHashIsWrongtypeForEveryMemberAndIsLeftAlone) {
  redis_.command("SET", "stock", "mine");
  std::vector<std::function<void()>> const members{
      [&] { (void)stock_.get("a"); },
      [&] { stock_.set("a", 1); },
      [&] { stock_.insert("a", 1); },
      [&] { stock_.erase("a"); },
      [&] { (void)stock_.contains("a"); },
      [&] { (void)stock_.size(); },
      [&] { stock_.clear(); },
      [&] {
        stock_.set_many({{"a", 1}});
      },
      [&] { (void)stock_.get_many({"a"}); },
      [&] { stock_.erase_many({"a"}); },
      [&] { stock_.update("a", [](auto n) { return n.value_or(0); }); },
      [&] { (void)stock_.compare_exchange("a", 1, 2); },
      [&] { stock_.add("a", 1); },
      [&] { (void)stock_.begin(); },
  };
  for (std::size_t i = 0; i < members.size(); ++i)
    EXPECT_EQ(code_of(members[i]), "WRONGTYPE") << "member " << i;
  EXPECT_EQ(redis_.command("GET", "stock").as<std::string>(), "mine");
}

TEST_F(SharedMapTest, FullServerRefusesWritesAndStillAnswersReads) {
  stock_.set("apple", 1);
  (void)stock_.compare_exchange("apple", 0, 0);
  redis_.command("CONFIG", "SET", "maxmemory", "1");
  EXPECT_EQ(code_of([&] { stock_.set("apple", 2); }), "OOM");
  EXPECT_EQ(code_of([&] { stock_.update("apple", [](auto n) { return *n + 1; }); }), "OOM");
  EXPECT_EQ(code_of([&] { (void)stock_.compare_exchange("apple", 1, 2); }), "OOM");
  EXPECT_EQ(stock_.get("apple"), 1);
  redis_.command("CONFIG", "SET", "maxmemory", "0");
  stock_.set("apple", 2);
  EXPECT_EQ(stock_.get("apple"), 2);
}

TEST_F(SharedMapTest, ReplicaRefusesWritesWithReadonly) {
  stock_.set("apple", 1);
  redis_.command("REPLICAOF", "127.0.0.1", "1");
  EXPECT_EQ(code_of([&] { stock_.set("apple", 2); }), "READONLY");
  EXPECT_EQ(code_of([&] { stock_.update("apple", [](auto n) { return *n + 1; }); }), "READONLY");
  EXPECT_EQ(code_of([&] { stock_.clear(); }), "READONLY");
  EXPECT_EQ(stock_.get("apple"), 1);
  redis_.command("REPLICAOF", "NO", "ONE");
  stock_.set("apple", 2);
  EXPECT_EQ(stock_.get("apple"), 2);
}

TEST_F(SharedMapTest, ForbiddenCommandIsNoperm) {
  redis_.command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@all", "-hset");
  Stock theirs{Client{"unix://reader:pw@" + server_.socket_path()}, "stock"};
  stock_.set("apple", 1);
  EXPECT_EQ(theirs.get("apple"), 1);
  EXPECT_EQ(code_of([&] { theirs.set("apple", 2); }), "NOPERM");
  // Inside a script Redis 7.0 says ERR where a command alone would say NOPERM.
  EXPECT_THROW(theirs.update("apple", [](auto n) { return *n + 1; }), ServerError);
  EXPECT_EQ(theirs.get("apple"), 1);
  redis_.command("ACL", "SETUSER", "reader", "+hset");
  theirs.set("apple", 2);
  EXPECT_EQ(stock_.get("apple"), 2);
}

TEST_F(SharedMapTest, UserNeedsTheTwoKeysAndTheCommandsOfTheDocumentationAndNoMore) {
  redis_.command("ACL", "SETUSER", "worker", "on", ">pw", "~stock", "~{stock}:ends", "-@all",
                 "+@connection", "+hget", "+hmget", "+hlen", "+hscan", "+hset", "+hdel", "+hincrby",
                 "+hexists", "+evalsha", "+eval", "+exists", "+zscore", "+unlink", "+hgetall",
                 "+multi", "+exec", "+time");
  Stock theirs{Client{"unix://worker:pw@" + server_.socket_path()}, "stock"};
  auto const all = [&] {
    theirs.set("a", 1);
    (void)theirs.get("a");
    EXPECT_TRUE(theirs.insert("b", 1));
    EXPECT_TRUE(theirs.contains("b"));
    theirs.update("a", [](auto n) { return *n + 1; });
    EXPECT_TRUE(theirs.compare_exchange("a", 2, 3));
    theirs.add("a", 1);
    theirs.set_many(numbered("n", 10));
    (void)theirs.get_many({"a", "b"});
    theirs.atomically([](auto& entries) {
      entries.set("a", *entries.get("a"));
      entries.erase("n0");
    });
    EXPECT_EQ(theirs.size(), 11U);
    EXPECT_EQ(theirs.snapshot().size(), 11U);
    EXPECT_EQ(count_by_going_over(theirs), 11);
    EXPECT_TRUE(theirs.erase("b"));
    theirs.clear();
  };
  EXPECT_NO_THROW(all());
  EXPECT_EQ(code_of([&] { theirs.set("a", 1, {.ttl = 1h}); }), "ERR");
  redis_.command("ACL", "SETUSER", "worker", "+zadd", "+zcard", "+zrem", "+zrangebyscore");
  EXPECT_NO_THROW(theirs.set("a", 1, {.ttl = 1h}));
  EXPECT_EQ(theirs.get("a"), 1);
}

TEST_F(SharedMapTest, ErrorOfTheServerNamesTheCommandAndTheMap) {
  redis_.command("SET", "stock", "mine");
  try {
    stock_.set("apple", 1);
    FAIL();
  } catch (ServerError const& error) {
    EXPECT_TRUE(std::string_view{error.what()}.starts_with("HSET on stock: WRONGTYPE "))
        << error.what();
  }
}

TEST_F(SharedMapTest, ForgottenScriptsAreNoFault) {
  stock_.update("apple", [](auto n) { return n.value_or(0) + 1; });
  redis_.command("SCRIPT", "FLUSH");
  stock_.update("apple", [](auto n) { return n.value_or(0) + 1; });
  redis_.command("SCRIPT", "FLUSH");
  EXPECT_TRUE(stock_.compare_exchange("apple", 2, 3));
  redis_.command("SCRIPT", "FLUSH");
  stock_.clear();
  EXPECT_FALSE(stock_.contains("apple"));
}

TEST_F(SharedMapTest, MapWorksAgainWhenTheServerDoes) {
  auto options = with_timeout(server_.url(), 1s);
  options.connect_timeout = 250ms;
  Stock stock{Client{options}, "stock"};
  stock.set("apple", 1);
  server_.kill();
  EXPECT_THROW(stock.set("apple", 2), Unreachable);
  EXPECT_THROW((void)stock.get("apple"), Unreachable);
  EXPECT_THROW(stock.update("apple", [](auto n) { return *n; }), Unreachable);
  EXPECT_THROW((void)stock.begin(), Unreachable);
  server_.restart();
  EXPECT_EQ(stock.get("apple"), std::nullopt);
  EXPECT_EQ(stock.update("apple", [](auto n) { return n.value_or(0) + 1; }), 1);
  server_.restart();
  EXPECT_EQ(stock.add("apple", 1), 1);
  EXPECT_EQ(count_by_going_over(stock), 1);
}

TEST_F(SharedMapTest, SilentServerEndsACallAtItsDeadline) {
  Stock stock{Client{with_timeout(server_.url(), 100ms)}, "stock"};
  stock.set("apple", 1);
  server_.pause();
  auto const took = support::time_of([&] {
    EXPECT_THROW((void)stock.get("apple"), InDoubt);
    EXPECT_THROW(stock.set("apple", 2), Error);
  });
  EXPECT_LT(took, support::stall);
  server_.resume();
  EXPECT_TRUE(support::eventually([&] { return stock_.get("apple").has_value(); }));
}

// ---- Answers that are lost ----

TEST_F(SharedMapTest, ReadWhoseAnswerIsLostIsAskedAgain) {
  stock_.set_many(numbered("n", 3000));
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  for (auto const fault : {FaultProxy::Fault::cut_before_request,
                           FaultProxy::Fault::cut_after_request, FaultProxy::Fault::cut_in_reply}) {
    for (auto const* const command :
         {"HGET", "HMGET", "EVALSHA", "EVALSHA", "HSCAN", "HSCAN", "HSCAN", "INFO", "MULTI"}) {
      proxy.next(command, fault);
    }
    EXPECT_EQ(ours.get("n1"), 1);
    EXPECT_EQ(ours.get_many({"n2"}).front(), 2);
    EXPECT_TRUE(ours.contains("n3"));
    EXPECT_EQ(ours.size(), 3000U);
    EXPECT_EQ(count_by_going_over(ours), 3000);
    EXPECT_EQ(ours.snapshot().size(), 3000U);
  }
}

TEST_F(SharedMapTest, WriteWhoseAnswerIsLostIsInDoubtAndIsNotSentAgain) {
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  ours.insert("gone", 1);  // the server learns the scripts
  ours.erase("gone");
  struct Write {
    std::string command;
    std::string counted;
    std::function<void()> act;
  };
  std::vector<Write> const writes{
      {"HSET", "hset 1", [&] { ours.set("set", 1); }},
      {"EVALSHA", "evalsha 1, hexists 1, hset 1", [&] { ours.insert("insert", 1); }},
      {"HINCRBY", "hincrby 1", [&] { ours.add("add", 1); }},
      {"EVALSHA", "evalsha 1, exists 1, hdel 1", [&] { ours.erase("insert"); }},
  };
  for (auto const& write : writes) {
    proxy.next(write.command, FaultProxy::Fault::cut_after_request);
    EXPECT_EQ(commands_of(other_, [&] { EXPECT_THROW(write.act(), InDoubt); }), write.counted);
  }
  EXPECT_EQ(stock_.get_many({"set", "insert", "add"}),
            (std::vector<std::optional<std::int64_t>>{1, std::nullopt, 1}));
}

TEST_F(SharedMapTest, UpdateWhoseAnswerIsLostIsInDoubtAndAppliedOnce) {
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  int calls = 0;
  auto const increment = [&](std::optional<std::int64_t> n) {
    ++calls;
    return n.value_or(0) + 1;
  };
  ours.update("apple", increment);
  for (auto const fault : {FaultProxy::Fault::cut_after_request, FaultProxy::Fault::cut_in_reply}) {
    calls = 0;
    auto const before = *stock_.get("apple");
    proxy.next("EVALSHA", fault);
    EXPECT_THROW(ours.update("apple", increment), InDoubt);
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(stock_.get("apple"), before + 1);
  }
  proxy.next("HGET", FaultProxy::Fault::cut_after_request);  // reading is free of doubt
  EXPECT_EQ(ours.update("apple", increment), 4);
}

TEST_F(SharedMapTest, UpdateThatAStoppedServerExecutesLaterIsAppliedOnce) {
  Stock ours{Client{with_timeout(server_.url(), 1s)}, "stock"};
  stock_.set("apple", 1);
  (void)ours.compare_exchange("apple", 0, 0);  // the server learns the script
  EXPECT_THROW(ours.update("apple",
                           [&](std::optional<std::int64_t> n) {
                             server_.pause();
                             return *n + 1;
                           }),
               InDoubt);
  server_.resume();
  EXPECT_TRUE(support::eventually([&] { return stock_.get("apple") == 2; }));
}

TEST_F(SharedMapTest, KilledConnectionsUnderLoadLoseNoAcknowledgedWriteAndDoubleNone) {
  constexpr std::size_t threads = 4;
  struct Record {
    std::int64_t acknowledged = 0;
    std::int64_t doubtful = 0;
    std::string unexpected{};
  };
  std::vector<Record> sets(threads);
  std::vector<Record> updates(threads);
  std::atomic<bool> over = false;
  {
    std::vector<std::jthread> workers(threads);
    for (std::size_t i = 0; i < threads; ++i) {
      workers[i] = std::jthread([&, i] {
        auto const own = "own" + std::to_string(i);
        auto const record = [](Record& into, auto const& act) {
          try {
            act();
            ++into.acknowledged;
          } catch (InDoubt const&) {
            ++into.doubtful;
          } catch (std::exception const& error) {
            into.unexpected = error.what();
          }
        };
        for (std::int64_t number = 1; !over; ++number) {
          record(sets[i], [&] {
            stock_.set(own, number);
            if (stock_.get(own) != number) throw std::logic_error{"acknowledged and lost"};
          });
          record(updates[i],
                 [&] { stock_.update("all", [](auto n) { return n.value_or(0) + 1; }); });
        }
      });
    }
    for (int kills = 0; kills < 60; ++kills) {
      other_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      std::this_thread::sleep_for(10ms);  // some writes in between
    }
    over = true;
  }
  std::int64_t acknowledged = 0;
  std::int64_t doubtful = 0;
  for (std::size_t i = 0; i < threads; ++i) {
    EXPECT_EQ(sets[i].unexpected + updates[i].unexpected, "");
    acknowledged += updates[i].acknowledged;
    doubtful += updates[i].doubtful;
  }
  EXPECT_GE(stock_.get("all"), acknowledged);
  EXPECT_LE(stock_.get("all"), acknowledged + doubtful);
  EXPECT_GT(acknowledged, 0);
}

// ---- Threads ----

TEST_F(SharedMapTest, OneObjectServesManyThreads) {
  constexpr std::size_t threads = 8;
  constexpr int rounds = 100;
  {
    std::vector<std::jthread> workers(threads);
    for (std::size_t i = 0; i < threads; ++i) {
      workers[i] = std::jthread([&, own = std::to_string(i)] {
        for (std::int64_t round = 0; round < rounds; ++round) {
          stock_.set(own, round);
          EXPECT_EQ(stock_.get(own), round);
          stock_.add("all", 1);
        }
      });
    }
  }
  EXPECT_EQ(stock_.get("all"), std::int64_t{threads} * rounds);
  EXPECT_EQ(stock_.size(), threads + 1);
}

}  // namespace
}  // namespace tandem
