// Entries of a map that end. Time stands still on the server, and passes when a test says so.
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/lock.hpp>
#include <tandem/shared_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/shifted_clock.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using support::code_of;
using support::commands_of;
using support::FaultProxy;
using support::text_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

using Stock = SharedMap<std::string, std::int64_t>;
using Texts = SharedMap<std::string, std::string>;
using Answers = std::vector<std::optional<std::int64_t>>;

class SharedMapExpiryTest : public ::testing::Test {
 protected:
  SharedMapExpiryTest() {
    clock_.stand_still_at(now_);
    has_expiry_of_fields_ = redis_.command("COMMAND", "INFO", "HPEXPIREAT")[0].size() > 0;
  }

  void pass(std::chrono::milliseconds time) {
    now_ += time;
    clock_.stand_still_at(now_);
  }

  /// What a member and its value are, in an iteration.
  static std::map<std::string, std::int64_t> gone_over(Stock const& stock) {
    std::map<std::string, std::int64_t> out;
    for (auto const& [key, value] : stock) EXPECT_TRUE(out.emplace(key, value).second) << key;
    return out;
  }
  std::vector<std::string> keys() {
    return redis_.command("KEYS", "*").as<std::vector<std::string>>();
  }
  long long fields() { return redis_.command("HLEN", "stock").as<long long>(); }

  std::chrono::sys_time<std::chrono::nanoseconds> now_ =
      std::chrono::sys_days{std::chrono::year{2026} / 11 / 23} + 6h;
  support::ShiftedClock clock_{};
  testing::RedisServer server_{};
  Client redis_{server_.url() + "?command_timeout=30s"};
  Stock stock_{redis_, "stock"};
  Client other_{server_.url() + "?command_timeout=30s"};
  bool has_expiry_of_fields_ = false;
};

// ---- An entry ends ----

TEST_F(SharedMapExpiryTest, EntryIsThereUntilItsEndAndNoMemberShowsItAfterwards) {
  stock_.set("apple", 3);
  stock_.set("promo", 1, {.ttl = 30s});
  auto const look = [&](bool there) {
    EXPECT_EQ(stock_.get("promo"), there ? std::optional{1} : std::nullopt);
    EXPECT_EQ(stock_.contains("promo"), there);
    EXPECT_EQ(stock_.get_many({"promo", "apple"}),
              (Answers{there ? std::optional{1} : std::nullopt, 3}));
    EXPECT_EQ(gone_over(stock_).contains("promo"), there);
    EXPECT_EQ(stock_.snapshot().size(), there ? 2U : 1U);
    EXPECT_EQ(stock_.size(), there ? 2U : 1U);
    stock_.atomically([&](auto& entries) {
      EXPECT_EQ(entries.get("promo").has_value(), there);
      EXPECT_EQ(entries.get("apple"), 3);
    });
  };
  look(true);
  pass(30s);
  look(true);  // the end is its last millisecond
  pass(1ms);
  look(false);
}

TEST_F(SharedMapExpiryTest, EachMemberAloneShowsNoEntryThatHasEnded) {
  auto const ended = [&](auto const& look) {
    stock_.set("promo", 1, {.ttl = 1s});
    pass(2s);
    look();
    stock_.clear();
  };
  ended([&] { EXPECT_EQ(stock_.get("promo"), std::nullopt); });
  ended([&] { EXPECT_FALSE(stock_.contains("promo")); });
  ended([&] { EXPECT_EQ(stock_.get_many({"promo"}), Answers{std::nullopt}); });
  ended([&] { EXPECT_THAT(gone_over(stock_), IsEmpty()); });
  ended([&] { EXPECT_THAT(stock_.snapshot(), IsEmpty()); });
  ended([&] { EXPECT_EQ(stock_.size(), 0U); });
  ended([&] { EXPECT_TRUE(stock_.empty()); });
  ended([&] { EXPECT_EQ(stock_.ttl("promo"), std::nullopt); });
  ended([&] { EXPECT_FALSE(stock_.erase("promo")); });
  ended([&] { EXPECT_EQ(stock_.erase_many({"promo", "none"}), 0U); });
  ended([&] { EXPECT_TRUE(stock_.insert("promo", 2)); });
  ended([&] { EXPECT_FALSE(stock_.compare_exchange("promo", 1, 2)); });
  ended([&] { EXPECT_EQ(stock_.add("promo", 5), 5); });
  ended([&] {
    stock_.update("promo", [](std::optional<std::int64_t> n) {
      EXPECT_EQ(n, std::nullopt);
      return 7;
    });
    EXPECT_EQ(stock_.ttl("promo"), std::nullopt);
  });
  ended([&] {
    stock_.atomically([](auto& entries) {
      EXPECT_FALSE(entries.contains("promo"));
      entries.set("seen", 1);
    });
    EXPECT_EQ(stock_.size(), 1U);
  });
}

TEST_F(SharedMapExpiryTest, TtlTellsWhatIsLeft) {
  stock_.set("apple", 3);
  stock_.set("promo", 1, {.ttl = 30s});
  EXPECT_EQ(stock_.ttl("promo"), 30s);
  pass(29'999ms);
  EXPECT_EQ(stock_.ttl("promo"), 1ms);
  EXPECT_EQ(stock_.ttl("apple"), std::nullopt);
  EXPECT_EQ(stock_.ttl("none"), std::nullopt);
  EXPECT_EQ((Stock{redis_, "absent"}.ttl("none")), std::nullopt);
}

TEST_F(SharedMapExpiryTest, InsertMayGiveAnEnd) {
  EXPECT_TRUE(stock_.insert("job", 1, {.ttl = 1min}));
  EXPECT_FALSE(stock_.insert("job", 2, {.ttl = 1h}));
  EXPECT_EQ(stock_.ttl("job"), 1min);
  pass(61s);
  EXPECT_TRUE(stock_.insert("job", 2, {.ttl = 1h}));
  EXPECT_EQ(stock_.get("job"), 2);
  EXPECT_EQ(stock_.ttl("job"), 1h);
}

TEST_F(SharedMapExpiryTest, EndOutOfRangeIsRefusedBeforeAnyInput) {
  Stock nowhere{Client{"unix:///nowhere/redis.sock"}, "stock"};
  for (auto const ttl : {0ms, -1ms, std::chrono::milliseconds{std::chrono::days{36'501}}}) {
    EXPECT_EQ(text_of<std::invalid_argument>([&] { nowhere.set("a", 1, {.ttl = ttl}); }),
              "tandem: an entry's ttl is " + std::to_string(ttl.count()) +
                  " ms; from 1 ms to 36,500 days are accepted");
    EXPECT_THROW(nowhere.insert("a", 1, {.ttl = ttl}), std::invalid_argument);
  }
  stock_.set("a", 1, {.ttl = std::chrono::days{36'500}});
  stock_.set("b", 1, {.ttl = 1ms});
  stock_.set("c", 1, EntryOptions{});
  EXPECT_EQ(stock_.ttl("a"), std::chrono::days{36'500});
  EXPECT_EQ(stock_.ttl("c"), std::nullopt);
  EXPECT_EQ(stock_.size(), 3U);
}

// ---- What becomes of the end ----

TEST_F(SharedMapExpiryTest, WhatReplacesAnEntryEndsItsEnd) {
  auto const replaced = [&](auto const& replace) {
    stock_.set("promo", 1, {.ttl = 1s});
    replace();
    EXPECT_EQ(stock_.ttl("promo"), std::nullopt);
    pass(1h);
    EXPECT_EQ(stock_.get("promo"), 2);
    EXPECT_TRUE(stock_.contains("promo"));
    EXPECT_EQ(stock_.size(), 1U);
    EXPECT_EQ(gone_over(stock_).size(), 1U);
    EXPECT_TRUE(stock_.erase("promo"));
    EXPECT_THAT(keys(), IsEmpty());
  };
  replaced([&] { stock_.set("promo", 2); });
  replaced([&] { stock_.set_many({{"promo", 2}}); });
  replaced([&] { redis_.command("HSET", "stock", "promo", 2); });
  replaced([&] { stock_.atomically([](auto& entries) { entries.set("promo", 2); }); });
  replaced([&] {
    redis_.command("HDEL", "stock", "promo");
    redis_.command("HSET", "stock", "promo", 2);
  });
  replaced([&] {
    stock_.erase("promo");
    stock_.set("promo", 2);
  });
}

TEST_F(SharedMapExpiryTest, WhatReplacesAnEntryUnderALockEndsItsEnd) {
  stock_.set("promo", 1, {.ttl = 1s});
  Lock lock{redis_, "lock", {.lease = 1h, .renew = false}};
  auto const hold = lock.acquire();
  stock_.set("promo", 2, hold);
  pass(2s);
  EXPECT_EQ(stock_.get("promo"), 2);
}

TEST_F(SharedMapExpiryTest, WhatChangesAnEntryLeavesItsEnd) {
  auto const changed = [&](auto const& change) {
    stock_.set("promo", 1, {.ttl = 10s});
    pass(4s);
    change();
    EXPECT_EQ(stock_.get("promo"), 2);
    EXPECT_EQ(stock_.ttl("promo"), 6s);
    pass(6s + 1ms);
    EXPECT_EQ(stock_.get("promo"), std::nullopt);
    EXPECT_EQ(stock_.size(), 0U);
  };
  changed([&] { stock_.update("promo", [](auto n) { return *n + 1; }); });
  changed([&] { EXPECT_TRUE(stock_.compare_exchange("promo", 1, 2)); });
  changed([&] { EXPECT_EQ(stock_.add("promo", 1), 2); });
}

TEST_F(SharedMapExpiryTest, UpdateWhoseEntryEndsMeanwhileBeginsAgainAndGivesNoEnd) {
  stock_.set("promo", 1, {.ttl = 1s});
  int calls = 0;
  stock_.update("promo", [&](std::optional<std::int64_t> n) {
    if (++calls == 1) pass(2s);
    return n.value_or(10) + 1;
  });
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(stock_.get("promo"), 11);
  EXPECT_EQ(stock_.ttl("promo"), std::nullopt);
}

TEST_F(SharedMapExpiryTest, NewEndTakesThePlaceOfTheOld) {
  stock_.set("promo", 1, {.ttl = 10s});
  stock_.set("promo", 2, {.ttl = 1h});
  pass(1min);
  EXPECT_EQ(stock_.size(), 1U);
  EXPECT_EQ(stock_.get("promo"), 2);
  stock_.set("promo", 3, {.ttl = 1s});
  pass(2s);
  EXPECT_EQ(stock_.size(), 0U);
  EXPECT_EQ(stock_.get("promo"), std::nullopt);
  stock_.atomically([](auto& entries) {
    (void)entries.get("promo");
    entries.set("promo", 4, {.ttl = 5s});
  });
  EXPECT_EQ(stock_.ttl("promo"), 5s);
}

TEST_F(SharedMapExpiryTest, UpdateThatErasesLeavesNothingBehind) {
  stock_.set("promo", 1, {.ttl = 10s});
  stock_.update("promo", [](auto) { return std::optional<std::int64_t>{}; });
  EXPECT_EQ(stock_.get("promo"), std::nullopt);
  EXPECT_THAT(keys(), IsEmpty());
}

TEST_F(SharedMapExpiryTest, AddThatCannotBeDoneLeavesTheEntryAndItsEnd) {
  stock_.set("promo", std::numeric_limits<std::int64_t>::max(), {.ttl = 10s});
  EXPECT_EQ(code_of([&] { stock_.add("promo", 1); }), "ERR");
  EXPECT_EQ(stock_.get("promo"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(stock_.ttl("promo"), 10s);
  EXPECT_EQ(stock_.add("promo", -1), std::numeric_limits<std::int64_t>::max() - 1);
  Texts texts{redis_, "stock"};
  texts.set("text", "secret", {.ttl = 10s});
  EXPECT_EQ(code_of([&] { stock_.add("text", 1); }), "ERR");
  EXPECT_EQ(texts.get("text"), "secret");
  EXPECT_EQ(texts.ttl("text"), 10s);
}

// ---- Strangers ----

TEST_F(SharedMapExpiryTest, StrangersHdelIsNoFault) {
  stock_.set("promo", 1, {.ttl = 10s});
  stock_.set("apple", 1);
  redis_.command("HDEL", "stock", "promo");
  EXPECT_EQ(stock_.get("promo"), std::nullopt);
  EXPECT_FALSE(stock_.contains("promo"));
  EXPECT_EQ(stock_.size(), 1U);
  EXPECT_TRUE(stock_.insert("promo", 2));
  pass(1h);
  EXPECT_EQ(stock_.size(), 2U);
  EXPECT_THAT(keys(), ElementsAre("stock"));
}

TEST_F(SharedMapExpiryTest, MapThatAStrangerDeletedTakesItsCompanionAlongWithTheNextLook) {
  stock_.set("promo", 1, {.ttl = 1h});
  redis_.command("DEL", "stock");
  EXPECT_EQ(stock_.size(), 0U);
  EXPECT_THAT(keys(), IsEmpty());
}

TEST_F(SharedMapExpiryTest, StrangerSeesThePlainValueOrHowLongItIsGood) {
  stock_.set("promo", 1, {.ttl = 30s});
  auto const seen = redis_.command("HGET", "stock", "promo").as<std::string>();
  if (has_expiry_of_fields_) {
    EXPECT_EQ(seen, "1");
    EXPECT_EQ(redis_.command("HPTTL", "stock", "FIELDS", 1, "promo")[0].as<int>(), 30'000);
  } else {
    EXPECT_EQ(seen, "\1until 1795413630000 1");
  }
}

TEST_F(SharedMapExpiryTest, ValueThatLooksLikeAMarkIsAValue) {
  Texts texts{redis_, "texts"};
  for (auto const& text :
       {"\1until 5 x"s, "\1until "s, "\1until 0 "s, "\1until 99999999999999 y"s}) {
    texts.set("a", text);
    EXPECT_EQ(texts.get("a"), text);
    EXPECT_TRUE(texts.contains("a"));
    EXPECT_TRUE(texts.compare_exchange("a", text, text));
    EXPECT_EQ(texts.update("a", [](auto have) { return *have + "!"; }), text + "!");
    EXPECT_THAT(texts.snapshot(), ElementsAre(Pair("a", text + "!")));
    texts.set_many({{"b", text}});
    EXPECT_EQ(texts.get_many({"b"}).front(), text);
    EXPECT_TRUE(texts.insert("c", text));
    EXPECT_EQ(texts.get("c"), text);
    texts.set("d", text, {.ttl = 1s});
    EXPECT_EQ(texts.get("d"), text);
    for (auto const& [key, value] : texts) EXPECT_EQ(value, key == "a" ? text + "!" : text);
    EXPECT_EQ(texts.size(), 4U);
    texts.clear();
  }
  redis_.command("HSET", "texts", "a", "\1until then");  // a stranger's
  EXPECT_EQ(texts.get("a"), "\1until then");
  EXPECT_EQ(texts.snapshot().front().second, "\1until then");
}

TEST_F(SharedMapExpiryTest, CompanionThatIsNoneOfOursIsAnErrorAndNothingIsStored) {
  redis_.command("SET", "{stock}:ends", "mine");
  EXPECT_EQ(code_of([&] { stock_.set("promo", 1, {.ttl = 1s}); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] {
              stock_.atomically([](auto& entries) {
                entries.set("apple", 1);
                entries.set("promo", 1, {.ttl = 1s});
              });
            }),
            "WRONGTYPE");
  EXPECT_EQ(redis_.command("EXISTS", "stock").as<int>(), 0);
}

// ---- Nothing is left over ----

TEST_F(SharedMapExpiryTest, WhatHasEndedIsRemovedByWhoeverPassesByOrByTheServer) {
  auto const nothing_is_left = [&] {
    if (has_expiry_of_fields_) pass(26h);
    return support::eventually([&] { return keys().empty(); });
  };
  auto const ended = [&](int count) {
    for (int i = 0; i < count; ++i) stock_.set("n" + std::to_string(i), i, {.ttl = 1s});
    pass(2s);
  };
  ended(10);
  EXPECT_EQ(stock_.get("n3"), std::nullopt);
  EXPECT_TRUE(nothing_is_left()) << "get";
  ended(10);
  EXPECT_EQ(stock_.size(), 0U);
  EXPECT_THAT(keys(), IsEmpty()) << "size";
  ended(10);
  EXPECT_THAT(gone_over(stock_), IsEmpty());
  EXPECT_TRUE(nothing_is_left()) << "iteration";
  ended(10);
  stock_.set("next", 1, {.ttl = 1s});
  EXPECT_EQ(fields(), 1);
  EXPECT_EQ(redis_.command("ZCARD", "{stock}:ends").as<int>(), 1);
  stock_.erase("next");
  EXPECT_THAT(keys(), IsEmpty());
}

TEST_F(SharedMapExpiryTest, MuchThatHasEndedIsRemovedInBoundedSteps) {
  constexpr int count = 2500;
  for (int i = 0; i < count; ++i) stock_.set(std::to_string(i), i, {.ttl = 1h});
  stock_.set("stays", 1);
  pass(2h);
  auto const commands = commands_of(other_, [&] { EXPECT_EQ(stock_.size(), 1U); });
  EXPECT_THAT(commands, HasSubstr("zrangebyscore 3")) << "1,000 at a time";
  EXPECT_THAT(keys(), ElementsAre("stock"));
}

TEST_F(SharedMapExpiryTest, EntriesThatComeAndGoLeaveNoMoreThanALimitedRest) {
  for (int i = 0; i < 500; ++i) {
    stock_.set(std::to_string(i), i, {.ttl = 1s});
    pass(100ms);
  }
  EXPECT_LE(fields(), 20);
  EXPECT_LE(redis_.command("ZCARD", "{stock}:ends").as<int>(), 20);
}

TEST_F(SharedMapExpiryTest, ClearedMapLeavesNoCompanion) {
  stock_.set("promo", 1, {.ttl = 1h});
  stock_.clear();
  EXPECT_THAT(keys(), IsEmpty());
}

TEST_F(SharedMapExpiryTest, MapWithoutEndsHasNoCompanion) {
  stock_.set("apple", 1);
  stock_.insert("pear", 1);
  stock_.update("apple", [](auto n) { return *n + 1; });
  EXPECT_THAT(keys(), ElementsAre("stock"));
}

// ---- What it costs ----

TEST_F(SharedMapExpiryTest, SetIsOneRoundTripAndGetOneOrWithoutExpiryOfFieldsTwo) {
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  ours.set("promo", 1, {.ttl = 1h});  // the server learns the scripts
  (void)ours.get("promo");
  auto before = proxy.round_trips();
  ours.set("promo", 1, {.ttl = 1h});
  EXPECT_EQ(proxy.round_trips() - before, 1);
  before = proxy.round_trips();
  EXPECT_EQ(ours.get("promo"), 1);
  EXPECT_EQ(proxy.round_trips() - before, has_expiry_of_fields_ ? 1 : 2);
}

TEST_F(SharedMapExpiryTest, PlainEntriesBesideOnesWithAnEndCostWhatTheyDid) {
  stock_.set("promo", 1, {.ttl = 1h});
  stock_.set("apple", 3);
  EXPECT_EQ(commands_of(other_, [&] { EXPECT_EQ(stock_.get("apple"), 3); }), "hget 1");
  EXPECT_EQ(commands_of(other_, [&] { stock_.set("apple", 4); }), "hset 1");
  EXPECT_EQ(commands_of(other_, [&] { (void)stock_.get_many({"apple", "none"}); }), "hmget 1");
}

// ---- Faults ----

TEST_F(SharedMapExpiryTest, EndIsKeptOverARestart) {
  testing::RedisServer server{{.persistent = true}};
  Stock stock{Client{server.url()}, "stock"};
  stock.set("promo", 1, {.ttl = 1h});
  stock.set("apple", 1);
  server.restart();
  EXPECT_EQ(stock.ttl("promo"), 1h);
  EXPECT_EQ(stock.size(), 2U);
  pass(2h);
  server.restart();
  EXPECT_EQ(stock.get("promo"), std::nullopt);
  EXPECT_EQ(stock.size(), 1U);
}

TEST_F(SharedMapExpiryTest, ReadOfAnEntryWithAnEndIsAskedAgainWhenItsAnswerIsLost) {
  stock_.set("promo", 1, {.ttl = 1h});
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  (void)ours.get("promo");
  (void)ours.ttl("promo");
  for (auto const fault : {FaultProxy::Fault::cut_before_request,
                           FaultProxy::Fault::cut_after_request, FaultProxy::Fault::cut_in_reply}) {
    for (auto const* const command : {"HGET", "EVALSHA", "EVALSHA", "HSCAN", "MULTI"})
      proxy.next(command, fault);
    EXPECT_EQ(ours.get("promo"), 1);
    EXPECT_EQ(ours.ttl("promo"), 1h);
    EXPECT_THAT(gone_over(ours), ElementsAre(Pair("promo", 1)));
    EXPECT_THAT(ours.snapshot(), ElementsAre(Pair("promo", 1)));
  }
}

TEST_F(SharedMapExpiryTest, StoreWhoseAnswerIsLostIsInDoubtAndNotSentAgain) {
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  ours.set("promo", 1, {.ttl = 1h});
  pass(1min);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW(ours.set("promo", 2, {.ttl = 1h}), InDoubt);
  EXPECT_EQ(stock_.get("promo"), 2);
  EXPECT_EQ(stock_.ttl("promo"), 1h);
}

TEST_F(SharedMapExpiryTest, WrongTypeIsAnErrorAndTheKeyStays) {
  redis_.command("SET", "stock", "mine");
  EXPECT_EQ(code_of([&] { stock_.set("promo", 1, {.ttl = 1s}); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { stock_.insert("promo", 1, {.ttl = 1s}); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)stock_.ttl("promo"); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)stock_.snapshot(); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)stock_.size(); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)stock_.contains("promo"); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { stock_.erase("promo"); }), "WRONGTYPE");
  EXPECT_EQ(redis_.command("GET", "stock").as<std::string>(), "mine");
  EXPECT_THAT(keys(), ElementsAre("stock"));
}

TEST_F(SharedMapExpiryTest, WhoMayOnlyReadSeesNoEntryThatHasEnded) {
  stock_.set("promo", 1, {.ttl = 1s});
  stock_.set("apple", 1);
  redis_.command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@all", "-hdel", "-zrem",
                 "-unlink");
  Stock theirs{Client{"unix://reader:pw@" + server_.socket_path()}, "stock"};
  pass(2s);
  EXPECT_EQ(theirs.get("promo"), std::nullopt);
  EXPECT_FALSE(theirs.contains("promo"));
  EXPECT_EQ(theirs.size(), 1U);
  EXPECT_EQ(gone_over(theirs).size(), 1U);
  EXPECT_EQ(theirs.snapshot().size(), 1U);
}

TEST_F(SharedMapExpiryTest, DeniedEndStoresNothing) {
  redis_.command("ACL", "SETUSER", "half", "on", ">pw", "~*", "+@all", "-zadd");
  Stock theirs{Client{"unix://half:pw@" + server_.socket_path()}, "stock"};
  EXPECT_THROW(theirs.set("promo", 1, {.ttl = 1s}), ServerError);
  EXPECT_THAT(keys(), IsEmpty());
}

TEST_F(SharedMapExpiryTest, UndecodableEntryWithAnEndIsNamedAndStays) {
  Texts{redis_, "stock"}.set("promo", "secret", {.ttl = 1h});
  for (auto const& look : std::vector<std::function<void()>>{
           [&] { (void)stock_.get("promo"); }, [&] { (void)stock_.get_many({"promo"}); },
           [&] { (void)*stock_.begin(); }, [&] { (void)stock_.snapshot(); }}) {
    EXPECT_THAT(text_of<CodecError>(look),
                StartsWith("tandem: map \"stock\", field \"promo\": an integer"));
  }
  EXPECT_EQ((Texts{redis_, "stock"}.get("promo")), "secret");
}

TEST_F(SharedMapExpiryTest, LargeValuesAndManyEntriesWithAnEndAreGoneOver) {
  Texts texts{redis_, "texts"};
  std::string const large(1 << 20, '\0');
  texts.set("large", large, {.ttl = 1h});
  EXPECT_TRUE(texts.get("large") == large);
  EXPECT_TRUE(texts.update("large", [](auto text) { return *text + "!"; }) == large + "!");
  EXPECT_EQ(texts.ttl("large"), 1h);
  for (int i = 0; i < 300; ++i) {
    std::string const key = std::to_string(i);
    if (i % 3 == 0) stock_.set(key, i);
    if (i % 3 == 1) stock_.set(key, i, {.ttl = 1s});
    if (i % 3 == 2) stock_.set(key, i, {.ttl = 1h});
  }
  pass(2s);
  auto const seen = gone_over(stock_);
  EXPECT_EQ(seen.size(), 200U);
  for (auto const& [key, value] : seen) EXPECT_NE(value % 3, 1) << key;
  EXPECT_EQ(stock_.size(), 200U);
}

}  // namespace
}  // namespace tandem
