#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/cached_map.hpp>
#include <tandem/shared_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/forked.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/reports.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::commands_of;
using support::eventually;
using support::text_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Near = CachedMap<std::string, std::int64_t>;

// What no message tells ends after that only: what a test waits for must be told.
constexpr CacheOptions told_only{.max_age = 24h};

class CachedMapTest : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] Client client(std::string const& url) {
    auto options = Options::from_url(url);
    options.protocol = GetParam();
    options.on_error = reports_.hook();
    return Client{options};
  }
  [[nodiscard]] Client client() { return client(server_.url()); }
  /// A cache in a client of its own that is told of changes.
  template <class Map = Near>
  [[nodiscard]] Map near(CacheOptions const& options = told_only) {
    Map out{client(), "m", options};
    EXPECT_TRUE(out.await_told(std::chrono::steady_clock::now() + 20s));
    return out;
  }
  [[nodiscard]] static bool becomes(Near const& map, std::string const& key,
                                    std::optional<std::int64_t> value) {
    return eventually([&] { return map.get(key) == value; });
  }
  /// What the server was asked for while `act` ran, without the MGET by which the background reads
  /// both keys again after a change: it may come at any moment after one.
  [[nodiscard]] std::string asked(std::function<void()> const& act) {
    auto out = commands_of(redis_, act);
    auto const at = out.find("mget ");
    if (at == std::string::npos) return out;
    auto const end = out.find(", ", at);
    if (end != std::string::npos) return out.erase(at, end + 2 - at);
    return out.erase(at < 2 ? 0 : at - 2);
  }

  support::Reports reports_{};
  testing::RedisServer server_{};
  Client redis_{server_.url()};
};

// ---- reading ----

TEST_P(CachedMapTest, ReadsWhatIsThereAndThenAsksNobody) {
  redis_.command("HSET", "m", "a", "1");
  auto const map = near();
  EXPECT_EQ(map.get("a"), 1);
  EXPECT_EQ(asked([&] {
              for (int i = 0; i < 1000; ++i) EXPECT_EQ(map.get("a"), 1);
              EXPECT_TRUE(map.contains("a"));
            }),
            "");
}

TEST_P(CachedMapTest, RemembersWhatIsNotThere) {
  auto const map = near();
  EXPECT_EQ(map.get("none"), std::nullopt);
  EXPECT_EQ(asked([&] {
              EXPECT_EQ(map.get("none"), std::nullopt);
              EXPECT_FALSE(map.contains("none"));
            }),
            "");
}

TEST_P(CachedMapTest, MissCostsOneScriptThatReads) {
  redis_.command("HSET", "m", "a", "1");
  auto const map = near();
  (void)map.get("teach the script");
  EXPECT_EQ(asked([&] { EXPECT_EQ(map.get("a"), 1); }),
            "evalsha 1, get 1, hget 1, hlen 1, zscore 1");
}

TEST_P(CachedMapTest, ReadsManyWithOneRequestForThoseThatAreNotThere) {
  redis_.command("HSET", "m", "a", "1", "b", "2", "c", "3");
  auto const map = near();
  EXPECT_EQ(map.get("b"), 2);
  EXPECT_THAT(
      asked([&] {
        EXPECT_THAT(map.get_many({"a", "b", "none", "c"}), ElementsAre(1, 2, std::nullopt, 3));
      }),
      HasSubstr("evalsha 1"));
  EXPECT_EQ(asked([&] {
              EXPECT_THAT(map.get_many({"a", "none"}), ElementsAre(1, std::nullopt));
            }),
            "");
}

TEST_P(CachedMapTest, ReadsMoreThanOneRequestTakes) {
  std::vector<std::string> keys;
  SharedMap<std::string, std::int64_t> all{redis_, "m"};
  std::vector<std::pair<std::string, std::int64_t>> entries;
  for (int i = 0; i < 1000; ++i) {
    keys.push_back(std::to_string(i));
    entries.emplace_back(keys.back(), i);
  }
  all.set_many(entries);
  auto const map = near();
  auto const values = map.get_many(keys);
  ASSERT_EQ(values.size(), 1000U);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], i);
}

TEST_P(CachedMapTest, GetFreshAsksTheServerAndTheCacheHasItFromThenOn) {
  redis_.command("HSET", "m", "a", "1");
  auto const map = near();
  EXPECT_EQ(map.get("a"), 1);
  EXPECT_THAT(asked([&] { EXPECT_EQ(map.get_fresh("a"), 1); }), HasSubstr("evalsha 1"));
  EXPECT_EQ(asked([&] { EXPECT_EQ(map.get("a"), 1); }), "");
}

TEST_P(CachedMapTest, ThreadsThatMissTheSameKeyMakeOneRequest) {
  redis_.command("HSET", "m", "a", "1");
  auto const map = near();
  (void)map.get("teach the script");
  redis_.command("CONFIG", "RESETSTAT");
  std::array<std::atomic<pid_t>, 16> ids{};
  server_.pause();
  std::vector<std::thread> threads;
  for (auto& id : ids) {
    threads.emplace_back([&] {
      id = ::gettid();
      EXPECT_EQ(map.get("a"), 1);
    });
  }
  for (auto const& id : ids) {
    EXPECT_TRUE(eventually([&] { return id != 0; }));
    EXPECT_TRUE(support::falls_asleep(id)) << "waits for its answer";
  }
  server_.resume();
  for (auto& each : threads) each.join();
  auto const stats = redis_.command("INFO", "commandstats").as<std::string>();
  EXPECT_THAT(stats, HasSubstr("cmdstat_evalsha:calls=1,"));
}

TEST_P(CachedMapTest, KeepsNoMoreThanItMay) {
  SharedMap<std::string, std::int64_t> all{redis_, "m"};
  for (int i = 0; i < 30; ++i) all.set(std::to_string(i), i);
  auto const map = near({.max_entries = 10, .max_age = 24h});
  for (int i = 0; i < 30; ++i) EXPECT_EQ(map.get(std::to_string(i)), i);
  redis_.command("CONFIG", "RESETSTAT");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(map.get(std::to_string(i)), i);
  EXPECT_THAT(redis_.command("INFO", "commandstats").as<std::string>(),
              HasSubstr("cmdstat_evalsha:calls=20,"));
}

TEST_P(CachedMapTest, WhatIsTooOldIsReadAgain) {
  redis_.command("HSET", "m", "a", "1");
  auto const map = near({.max_age = 1ms});
  EXPECT_EQ(map.get("a"), 1);
  EXPECT_TRUE(eventually([&] {
    return asked([&] { EXPECT_EQ(map.get("a"), 1); }).find("evalsha") != std::string::npos;
  }));
}

// ---- changing ----

TEST_P(CachedMapTest, ReadsWhatItWrote) {
  auto map = near();
  map.set("a", 1);
  EXPECT_EQ(map.get("a"), 1);
  EXPECT_FALSE(map.insert("a", 2));
  EXPECT_EQ(map.get("a"), 1);
  EXPECT_TRUE(map.insert("b", 2));
  EXPECT_EQ(map.get("b"), 2);
  EXPECT_TRUE(map.compare_exchange("a", 1, 3));
  EXPECT_FALSE(map.compare_exchange("a", 1, 4));
  EXPECT_FALSE(map.compare_exchange("none", 1, 4));
  EXPECT_EQ(map.get("a"), 3);
  EXPECT_EQ(map.update("a", [](std::optional<std::int64_t> n) { return *n + 1; }), 4);
  EXPECT_EQ(map.get("a"), 4);
  EXPECT_TRUE(map.erase("a"));
  EXPECT_FALSE(map.erase("a"));
  EXPECT_EQ(map.get("a"), std::nullopt);
  EXPECT_EQ(redis_.command("HGETALL", "m").as<std::vector<std::string>>(),
            (std::vector<std::string>{"b", "2"}));
}

TEST_P(CachedMapTest, FirstChangeWaitsUntilItIsToldAndSoIsFollowedByNoGap) {
  int without_gap = 0;
  for (int i = 0; i < 5; ++i) {  // of which some may have waited in vain
    Near fresh{client(), "m", told_only};
    auto const cost = asked([&] {
      fresh.set("a", 1);
      EXPECT_TRUE(fresh.await_told(std::chrono::steady_clock::now() + 20s));
      fresh.set("a", 2);
    });
    if (cost.find("publish 2") != std::string::npos) ++without_gap;
  }
  EXPECT_GT(without_gap, 0);
}

TEST_P(CachedMapTest, OwnChangesAreKept) {
  auto map = near();
  map.set("a", 1);
  EXPECT_EQ(asked([&] { EXPECT_EQ(map.get("a"), 1); }), "");
}

TEST_P(CachedMapTest, UpdateMayEraseAndMayChangeNothing) {
  auto map = near();
  using Maybe = std::optional<std::int64_t>;
  EXPECT_EQ(map.update("a", [](Maybe n) { return n.value_or(5); }), 5);
  EXPECT_EQ(map.update("a", [](Maybe) { return Maybe{}; }), std::nullopt);
  EXPECT_EQ(map.get("a"), std::nullopt);
  EXPECT_EQ(redis_.command("EXISTS", "m").as<int>(), 0);
  map.set("a", 6);
  EXPECT_EQ(asked([&] { EXPECT_EQ(map.update("a", [](Maybe n) { return *n; }), 6); }), "");
}

TEST_P(CachedMapTest, UpdateOfWhatTheCacheHasCostsOneScript) {
  auto map = near();
  map.set("a", 1);
  EXPECT_THAT(asked([&] { EXPECT_EQ(map.update("a", [](auto n) { return *n + 1; }), 2); }),
              HasSubstr("evalsha 1, "));
}

TEST_P(CachedMapTest, UpdateLosesNothing) {
  auto one = near();
  auto other = near();
  support::on_threads(8, [&](int number) {
    auto& map = number % 2 == 0 ? one : other;
    for (int i = 0; i < 100; ++i) map.update("a", [](auto n) { return n.value_or(0) + 1; });
  });
  EXPECT_EQ(redis_.command("HGET", "m", "a").as<int>(), 800);
  EXPECT_TRUE(becomes(one, "a", 800));
  EXPECT_TRUE(becomes(other, "a", 800));
}

TEST_P(CachedMapTest, WhatChangeThrowsGoesThroughAndNothingIsWritten) {
  auto map = near();
  map.set("a", 1);
  EXPECT_THROW(map.update("a",
                          [](auto n) -> std::int64_t {
                            if (n) throw std::runtime_error{"no"};
                            return 2;
                          }),
               std::runtime_error);
  EXPECT_EQ(map.get_fresh("a"), 1);
}

TEST_P(CachedMapTest, EntryWithAnEndIsNotReadBehindIt) {
  auto map = near();
  auto const other = near();
  SharedMap<std::string, std::int64_t> const all{redis_, "m"};
  map.set("long", 1, {.ttl = 1h});
  EXPECT_EQ(map.get("long"), 1);
  EXPECT_EQ(other.get("long"), 1);
  EXPECT_EQ(other.get("short"), std::nullopt) << "which it keeps, and is told of";
  map.set("short", 1, {.ttl = 50ms});
  (void)map.get("short");
  (void)other.get("short");
  ASSERT_TRUE(eventually([&] { return all.get("short") == std::nullopt; }));
  EXPECT_EQ(map.get("short"), std::nullopt);
  EXPECT_EQ(other.get("short"), std::nullopt);
  EXPECT_TRUE(map.insert("short", 2));
  EXPECT_EQ(map.get("short"), 2);
}

TEST_P(CachedMapTest, CompareExchangeAndUpdateLeaveTheEndAsItIs) {
  auto map = near();
  map.set("a", 1, {.ttl = 1h});
  EXPECT_TRUE(map.compare_exchange("a", 1, 2));
  EXPECT_EQ(map.update("a", [](auto n) { return *n + 1; }), 3);
  SharedMap<std::string, std::int64_t> const all{redis_, "m"};
  EXPECT_EQ(all.get("a"), 3);
  EXPECT_GT(all.ttl("a").value_or(0ms), 50min);
  map.set("a", 4);
  EXPECT_EQ(all.ttl("a"), std::nullopt);
}

// ---- what others change ----

TEST_P(CachedMapTest, ChangeThroughAnotherCacheIsSeenAndNobodyAsksForIt) {
  auto one = near();
  auto other = near();
  one.set("a", 1);
  EXPECT_TRUE(becomes(other, "a", 1));
  auto const cost = asked([&] {
    one.set("a", 2);
    EXPECT_TRUE(becomes(other, "a", 2));
  });
  EXPECT_THAT(cost, HasSubstr("evalsha 1, ")) << "that of the set";
  EXPECT_TRUE(one.erase("a"));
  EXPECT_TRUE(becomes(other, "a", std::nullopt));
  EXPECT_TRUE(one.insert("a", 3));
  EXPECT_TRUE(becomes(other, "a", 3));
  EXPECT_TRUE(one.compare_exchange("a", 3, 4));
  EXPECT_TRUE(becomes(other, "a", 4));
}

TEST_P(CachedMapTest, ToldChangeLeavesTheOtherEntriesInPlace) {
  auto one = near();
  auto other = near();
  for (int i = 0; i < 100; ++i) one.set(std::to_string(i), i);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(becomes(other, std::to_string(i), i));
  one.set("5", 500);
  EXPECT_TRUE(becomes(other, "5", 500));
  EXPECT_EQ(asked([&] {
              for (int i = 6; i < 100; ++i) {
                EXPECT_EQ(one.get(std::to_string(i)), i);
                EXPECT_EQ(other.get(std::to_string(i)), i);
              }
            }),
            "");
}

TEST_P(CachedMapTest, CopiesShareOneCacheAndOthersOfTheClientHaveTheirOwn) {
  auto one = near();
  auto copy = one;
  copy.set("a", 1);
  EXPECT_EQ(one.get("a"), 1);
  Near sibling{client(), "m", told_only};
  EXPECT_EQ(sibling.get("a"), 1);
  one.set("a", 2);
  EXPECT_EQ(copy.get("a"), 2);
  EXPECT_TRUE(becomes(sibling, "a", 2));
}

TEST_P(CachedMapTest, ForeignChangesAreSeen) {
  auto const map = near();
  redis_.command("HSET", "m", "a", "1", "b", "1");
  EXPECT_TRUE(becomes(map, "a", 1));
  redis_.command("HSET", "m", "a", "2");
  EXPECT_TRUE(becomes(map, "a", 2));
  redis_.command("HINCRBY", "m", "a", "5");
  EXPECT_TRUE(becomes(map, "a", 7));
  redis_.command("HDEL", "m", "a");
  EXPECT_TRUE(becomes(map, "a", std::nullopt));
  SharedMap<std::string, std::int64_t>{redis_, "m"}.set("a", 3);
  EXPECT_TRUE(becomes(map, "a", 3));
  redis_.command("DEL", "m");
  EXPECT_TRUE(becomes(map, "a", std::nullopt));
  redis_.command("HSET", "other", "a", "9");
  redis_.command("RENAME", "other", "m");
  EXPECT_TRUE(becomes(map, "a", 9));
  redis_.command("PEXPIRE", "m", "1");
  EXPECT_TRUE(becomes(map, "a", std::nullopt));
  redis_.command("HSET", "m", "a", "4");
  EXPECT_TRUE(becomes(map, "a", 4));
  redis_.command("FLUSHALL");
  EXPECT_TRUE(becomes(map, "a", std::nullopt));
}

TEST_P(CachedMapTest, ForeignChangesAmongToldOnesAreSeenWhereverTheyFall) {
  auto one = near();
  auto other = near();
  for (int i = 1; i <= 300; ++i) {
    ASSERT_TRUE(
        becomes(other, "foreign", i == 1 ? std::nullopt : std::optional<std::int64_t>{i - 1}));
    one.set("told", i);
    redis_.command("HSET", "m", "foreign", std::to_string(i));
    if (i % 3 == 0) one.set("told", -i);
  }
  EXPECT_TRUE(becomes(other, "foreign", 300));
  EXPECT_TRUE(becomes(one, "foreign", 300));
  EXPECT_TRUE(becomes(other, "told", -300));
}

TEST_P(CachedMapTest, CountOfChangesThatIsSetBackOrDeletedConfusesNobody) {
  auto one = near();
  auto other = near();
  one.set("a", 1);
  one.set("a", 2);
  EXPECT_TRUE(becomes(other, "a", 2));
  redis_.command("DEL", "{m}:changes");
  one.set("a", 3);
  EXPECT_TRUE(becomes(other, "a", 3));
  one.set("a", 4);
  EXPECT_TRUE(becomes(other, "a", 4));
  redis_.command("HSET", "m", "a", "5");
  EXPECT_TRUE(becomes(one, "a", 5));
  EXPECT_TRUE(becomes(other, "a", 5));
  redis_.command("EVAL", "redis.call('SET', KEYS[2], 7) redis.call('HSET', KEYS[1], 'a', 51)", 2,
                 "m",
                 "{m}:changes");  // as if it would be told
  EXPECT_TRUE(becomes(one, "a", 51));
  EXPECT_TRUE(becomes(other, "a", 51));
  redis_.command("SET", "{m}:changes", "1000");
  one.set("a", 6);
  EXPECT_TRUE(becomes(other, "a", 6));
}

TEST_P(CachedMapTest, TextOnItsChannelThatIsNotOursMakesItForgetAndHarmsNothing) {
  auto const map = near();
  redis_.command("HSET", "m", "a", "1");
  EXPECT_TRUE(becomes(map, "a", 1));
  for (auto const* const text : {"", "x", "x 1\n", "x y z 1 - -\na", "x 7 -1 1 - 9\na",
                                 "x 7 -1 99 - -\na", "x 7 -1 1 + +\nab", " gap", "\n"}) {
    redis_.command("PUBLISH", "tandem:{m}:changes", text);
  }
  EXPECT_EQ(map.get_fresh("a"), 1);
  EXPECT_EQ(map.get("a"), 1);
}

TEST_P(CachedMapTest, LargeValuesAreReadFromMemoryAndTheirChangesAreSeen) {
  auto one = near<CachedMap<std::string, std::string>>();
  auto const other = near<CachedMap<std::string, std::string>>();
  std::string const large(200'000, 'x');
  one.set("a", large);
  EXPECT_TRUE(eventually([&] { return other.get("a") == large; }));
  EXPECT_EQ(asked([&] { EXPECT_EQ(other.get("a"), large); }), "");
  one.set("a", "small");
  EXPECT_TRUE(eventually([&] { return other.get("a") == "small"; }));
  std::string const binary{"\0\n -\xff", 5};
  one.set(binary, binary);
  EXPECT_TRUE(eventually([&] { return other.get(binary) == binary; }));
}

TEST_P(CachedMapTest, NamesAndKeysMayHaveAnyBytes) {
  std::string const odd{"{a b}\n \0:}{\xff", 12};
  CachedMap<std::string, std::string> one{client(), odd};
  CachedMap<std::string, std::string> other{client(), odd};
  ASSERT_TRUE(one.await_told(std::chrono::steady_clock::now() + 20s));
  ASSERT_TRUE(other.await_told(std::chrono::steady_clock::now() + 20s));
  for (auto const& key : {odd, std::string{}, std::string{"x 1 -1 1 - -\n"}}) {
    EXPECT_EQ(other.get(key), std::nullopt);
    one.set(key, odd);
    EXPECT_TRUE(eventually([&] { return other.get(key) == odd; }));
    one.set(key, "");
    EXPECT_TRUE(eventually([&] { return other.get(key) == ""; }));
    redis_.command("HSET", odd, key, "by others");
    EXPECT_TRUE(eventually([&] { return other.get(key) == "by others"; }));
  }
}

// ---- hearing of changes ----

class Heard {
 public:
  void operator()(Near::Change const& change) {
    std::lock_guard const guard{mutex_};
    auto const text = [](std::optional<std::int64_t> value) {
      return value ? std::to_string(*value) : std::string{"none"};
    };
    all_.push_back(change.resync
                       ? "resync"
                       : change.key + ": " + text(change.before) + " -> " + text(change.now));
  }
  [[nodiscard]] std::vector<std::string> all() {
    std::lock_guard const guard{mutex_};
    return all_;
  }
  void forget() {
    std::lock_guard const guard{mutex_};
    all_.clear();
  }

 private:
  std::mutex mutex_{};
  std::vector<std::string> all_{};
};

TEST_P(CachedMapTest, OnChangeTellsKeyAndValuesInOrderAndAResyncForWhatNobodyTold) {
  auto one = near();
  auto other = near();
  Heard heard;
  auto watch = other.on_change(std::ref(heard));
  one.set("a", 1);
  other.set("a", 2);
  one.erase("a");
  EXPECT_TRUE(eventually([&] { return heard.all().size() >= 3; }));
  EXPECT_THAT(heard.all(), ElementsAre("a: none -> 1", "a: 1 -> 2", "a: 2 -> none"));
  heard.forget();
  redis_.command("HSET", "m", "a", "9");
  ASSERT_TRUE(eventually([&] { return !heard.all().empty(); }));
  EXPECT_EQ(heard.all()[0], "resync");
  heard.forget();
  one.set("a", 3);
  // Of the HSET `other` may be told twice: by the server, and by `one`, which told the last change.
  auto const told = [&] {
    auto all = heard.all();
    std::erase(all, "resync");
    return all;
  };
  ASSERT_TRUE(eventually([&] { return !told().empty(); }));
  EXPECT_THAT(told(), ElementsAre("a: 9 -> 3"));
}

TEST_P(CachedMapTest, MessageWhoseNumberIsNotTheNextOneIsNotBelieved) {
  redis_.command("HSET", "m", "a", "1");
  auto map = near();
  EXPECT_EQ(map.get("a"), 1);
  Heard heard;
  auto const watch = map.on_change(std::ref(heard));
  redis_.command("PUBLISH", "tandem:{m}:changes", "x 70 -1 1 1 1\na19");
  ASSERT_TRUE(eventually([&] { return !heard.all().empty(); }));
  EXPECT_THAT(heard.all(), ElementsAre("resync"));
  EXPECT_EQ(map.get("a"), 1);
  redis_.command("PUBLISH", "tandem:{m}:changes", "x 71 -1 1 1 1\na19");
  ASSERT_TRUE(eventually([&] { return heard.all().size() == 2; }));
  EXPECT_EQ(heard.all()[1], "a: 1 -> 9");
}

TEST_P(CachedMapTest, OnChangeTellsAResyncAfterAGap) {
  auto map = near();
  Heard heard;
  auto watch = map.on_change(std::ref(heard));
  redis_.command("CLIENT", "KILL", "TYPE", "pubsub");
  redis_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  ASSERT_TRUE(eventually([&] { return !heard.all().empty(); }));
  EXPECT_EQ(heard.all()[0], "resync");
}

TEST_P(CachedMapTest, WatchThatHasEndedHearsNothing) {
  auto map = near();
  Heard heard;
  Heard later;
  {
    auto watch = map.on_change(std::ref(heard));
    auto moved = std::move(watch);
    map.set("a", 1);
    EXPECT_TRUE(eventually([&] { return heard.all().size() == 1; }));
  }
  auto watch = map.on_change(std::ref(later));
  map.set("a", 2);
  EXPECT_TRUE(eventually([&] { return later.all().size() == 1; }));
  EXPECT_EQ(heard.all().size(), 1U);
}

TEST_P(CachedMapTest, WhatAListenerThrowsIsReportedAndTheOthersHearAllTheSame) {
  auto map = near();
  Heard heard;
  auto const throws = map.on_change([](auto const&) { throw std::runtime_error{"not me"}; });
  auto const hears = map.on_change(std::ref(heard));
  map.set("a", 1);
  EXPECT_TRUE(eventually([&] { return heard.all().size() == 1; }));
  EXPECT_TRUE(eventually([&] { return reports_.have("not me"); }));
  map.set("a", 2);
  EXPECT_TRUE(eventually([&] { return heard.all().size() == 2; }));
}

TEST_P(CachedMapTest, ListenerMayReadAndChange) {
  auto map = near();
  std::atomic<std::int64_t> seen = 0;
  auto const watch = map.on_change([&](Near::Change const& change) {
    if (change.resync || change.key != "a") return;
    seen = map.get("a").value_or(-1);
    (void)map.get("never read before");
    map.set("b", *change.now);
  });
  map.set("a", 7);
  EXPECT_TRUE(eventually([&] { return seen == 7; }));
  EXPECT_TRUE(becomes(map, "b", 7));
}

// ---- bad input ----

TEST_P(CachedMapTest, OptionsOutOfRangeAreRefusedBeforeAnyIO) {
  auto const nowhere = Client{"unix:///nowhere"};
  auto const text = [&](CacheOptions const& options, std::string const& name = "m") {
    return text_of<std::invalid_argument>([&] { Near const map(nowhere, name, options); });
  };
  EXPECT_THAT(text({.max_entries = 0}), HasSubstr("max_entries is 0; from 1 to 100,000,000"));
  EXPECT_THAT(text({.max_entries = 100'000'001}), HasSubstr("max_entries is 100000001"));
  EXPECT_THAT(text({.max_age = 0ms}), HasSubstr("max_age is 0 ms; from 1 ms to 1 day"));
  EXPECT_THAT(text({.max_age = 25h}), HasSubstr("max_age is 90000000 ms"));
  EXPECT_THAT(text({}, ""), HasSubstr("name is empty"));
  EXPECT_EQ(text({}), "none");
  Near map{nowhere, "m"};
  EXPECT_THROW(map.set("a", 1, {.ttl = 0ms}), std::invalid_argument);
}

TEST_P(CachedMapTest, BytesThatAreNoValueAreRefusedByNameAndTheOthersAreRead) {
  redis_.command("HSET", "m", "bad", "x1", "good", "2");
  auto map = near();
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(text_of<CodecError>([&] { (void)map.get("bad"); }),
                HasSubstr("map \"m\", field \"bad\""));
  }
  EXPECT_TRUE(map.contains("bad"));
  EXPECT_EQ(map.get("good"), 2);
  EXPECT_THROW(map.update("bad", [](auto) { return 1; }), CodecError);
  EXPECT_EQ(redis_.command("HGET", "m", "bad").as<std::string>(), "x1");
  map.set("bad", 3);
  EXPECT_EQ(map.get("bad"), 3);
}

TEST_P(CachedMapTest, KeyThatIsNoHashIsRefusedAndStays) {
  auto map = near();
  redis_.command("SET", "m", "text");
  EXPECT_TRUE(eventually([&] { return code_of([&] { (void)map.get("a"); }) == "WRONGTYPE"; }));
  EXPECT_EQ(code_of([&] { map.set("a", 1); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { map.erase("a"); }), "WRONGTYPE");
  EXPECT_EQ(redis_.command("GET", "m").as<std::string>(), "text");
  redis_.command("DEL", "m");
  EXPECT_TRUE(becomes(map, "a", std::nullopt));
}

INSTANTIATE_TEST_SUITE_P(Protocol, CachedMapTest, ::testing::Values(3, 2),
                         [](auto const& each) { return "Resp" + std::to_string(each.param); });

}  // namespace
}  // namespace tandem
