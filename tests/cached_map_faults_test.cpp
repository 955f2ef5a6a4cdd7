#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/cached_map.hpp>
#include <tandem/shared_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
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
using support::FaultProxy;
using Fault = support::FaultProxy::Fault;
using ::testing::HasSubstr;

using Near = CachedMap<std::string, std::int64_t>;

constexpr CacheOptions told_only{.max_age = 24h};

class CachedMapFaultsTest : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] Client client(std::string const& url, std::string const& parameters = "") {
    auto options = Options::from_url(url + parameters);
    options.protocol = GetParam();
    options.on_error = reports_.hook();
    return Client{options};
  }
  [[nodiscard]] static bool is_told(Near const& map) {
    return map.await_told(std::chrono::steady_clock::now() + 20s);
  }
  [[nodiscard]] Near near(std::string const& url, CacheOptions const& options = told_only) {
    auto redis = client(url);
    redis.command("PING");  // over the connection that is for calls
    Near out{redis, "m", options};
    EXPECT_TRUE(is_told(out));
    return out;
  }
  [[nodiscard]] static bool becomes(Near const& map, std::string const& key,
                                    std::optional<std::int64_t> value) {
    return eventually([&] { return map.get(key) == value; });
  }
  void set(std::string const& key, std::int64_t value) {
    redis_.command("HSET", "m", key, std::to_string(value));
  }
  void kill_listening() { redis_.command("CLIENT", "KILL", "TYPE", "pubsub"); }
  /// The connections that listen.
  [[nodiscard]] std::set<std::string> listening() {
    std::istringstream list{redis_.command("CLIENT", "LIST", "TYPE", "pubsub").as<std::string>()};
    std::set<std::string> out;
    for (std::string line; std::getline(list, line);) out.insert(line.substr(0, line.find(' ')));
    return out;
  }
  /// Kills what this map listens by, and lets nothing take its place. Whether it has noticed.
  [[nodiscard]] bool deafen(Near const& map, FaultProxy& proxy) {
    proxy.refuse(true);
    kill_listening();
    return eventually([&] { return !map.await_told(std::chrono::steady_clock::now()); });
  }

  support::Reports reports_{};
  testing::RedisServer server_{};
  FaultProxy proxy_{server_};
  Client redis_{server_.url()};
};

// ---- the connection that tells of changes ----

TEST_P(CachedMapFaultsTest, WhoIsNotToldReadsAtTheServerAndNothingStale) {
  set("a", 1);
  auto const map = near(proxy_.url());
  EXPECT_EQ(map.get("a"), 1);
  ASSERT_TRUE(deafen(map, proxy_));
  for (int i = 2; i < 100; ++i) {
    set("a", i);
    ASSERT_EQ(map.get("a"), i);
  }
  proxy_.refuse(false);
  ASSERT_TRUE(is_told(map));
  EXPECT_EQ(map.get("a"), 99);
  EXPECT_TRUE(eventually([&] { return commands_of(redis_, [&] { (void)map.get("a"); }).empty(); }));
  set("a", 100);
  EXPECT_TRUE(becomes(map, "a", 100));
}

TEST_P(CachedMapFaultsTest, WhoIsNotToldReadsManyByOneRequest) {
  set("a", 1);
  set("c", 3);
  auto const map = near(proxy_.url());
  ASSERT_TRUE(deafen(map, proxy_));
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          EXPECT_EQ(map.get_many({"a", "none", "c"}),
                                    (std::vector<std::optional<std::int64_t>>{1, {}, 3}));
                        }),
            "hmget 1");
}

TEST_P(CachedMapFaultsTest, WhoShallFailFailsWhileItIsNotToldAndWorksAfterwards) {
  set("a", 1);
  auto map = near(proxy_.url(), {.max_age = 24h, .when_disconnected = WhenDisconnected::fail});
  EXPECT_EQ(map.get("a"), 1);
  ASSERT_TRUE(deafen(map, proxy_));
  EXPECT_THROW((void)map.get("a"), Unreachable);
  EXPECT_THROW((void)map.get_fresh("a"), Unreachable);
  proxy_.refuse(false);
  ASSERT_TRUE(is_told(map));
  EXPECT_EQ(map.get("a"), 1);
}

TEST_P(CachedMapFaultsTest, WhoShallFailWaitsForTheFirstConnection) {
  set("a", 1);
  Near const map{client(proxy_.url()), "m", {.when_disconnected = WhenDisconnected::fail}};
  EXPECT_EQ(map.get("a"), 1);
}

TEST_P(CachedMapFaultsTest, WhoMayServeWhatIsStaleDoesAndReadsTheRestAtTheServer) {
  set("a", 1);
  set("b", 1);
  auto map =
      near(proxy_.url(), {.max_age = 24h, .when_disconnected = WhenDisconnected::serve_stale});
  EXPECT_EQ(map.get("a"), 1);
  ASSERT_TRUE(deafen(map, proxy_));
  set("a", 2);
  set("b", 2);
  EXPECT_EQ(map.get("a"), 1);
  EXPECT_EQ(map.get("b"), 2);
  EXPECT_EQ(map.get_fresh("a"), 2);
  EXPECT_EQ(map.get("a"), 2) << "never older than what was read before";
  map.set("b", 3);
  EXPECT_EQ(map.get("b"), 3);
  proxy_.refuse(false);
  ASSERT_TRUE(is_told(map));
  EXPECT_EQ(map.get("a"), 2);
  EXPECT_EQ(map.get("b"), 3);
}

TEST_P(CachedMapFaultsTest, WhatIsStaleIsServedNoMoreWhenItIsToldAgain) {
  set("a", 1);
  auto const map =
      near(proxy_.url(), {.max_age = 24h, .when_disconnected = WhenDisconnected::serve_stale});
  EXPECT_EQ(map.get("a"), 1);
  ASSERT_TRUE(deafen(map, proxy_));
  set("a", 2);
  EXPECT_EQ(map.get("a"), 1);
  proxy_.refuse(false);
  ASSERT_TRUE(is_told(map));
  EXPECT_EQ(map.get("a"), 2);
}

TEST_P(CachedMapFaultsTest, ServesWhatIsStaleUntilItsAgeOnly) {
  set("a", 1);
  auto const map =
      near(proxy_.url(), {.max_age = 300ms, .when_disconnected = WhenDisconnected::serve_stale});
  (void)map.get("a");
  ASSERT_TRUE(deafen(map, proxy_));
  set("a", 2);
  EXPECT_TRUE(becomes(map, "a", 2));
}

TEST_P(CachedMapFaultsTest, StaysCoherentThoughItsConnectionsAreKilledAtRandom) {
  auto one = near(server_.url());
  auto other = near(server_.url());
  std::int64_t last = 0;
  std::int64_t written = 0;  // by `one`, which is sure of it
  for (int i = 1; i <= 200; ++i) {
    if (i % 3 == 0) kill_listening();
    if (i % 2 == 0) {
      try {
        one.set("a", i);
        written = i;
      } catch (InDoubt const&) {
        set("a", i);
      }
    } else {
      set("a", i);
    }
    auto const seen = other.get("a").value_or(0);
    ASSERT_GE(seen, last);
    last = seen;
    ASSERT_GE(one.get("a").value_or(0), written) << "what it wrote itself";
  }
  EXPECT_TRUE(becomes(one, "a", 200));
  EXPECT_TRUE(becomes(other, "a", 200));
}

TEST_P(CachedMapFaultsTest, ReadWhoseConnectionBreaksIsAskedAgain) {
  set("a", 1);
  auto const map = near(proxy_.url());
  proxy_.next("EVAL", Fault::cut_after_request);
  EXPECT_EQ(map.get("a"), 1);
  EXPECT_EQ(proxy_.met(), 1);
  ASSERT_TRUE(is_told(map));
  set("a", 2);
  EXPECT_TRUE(becomes(map, "a", 2));
}

TEST_P(CachedMapFaultsTest, ChangeWhoseAnswerIsLostIsInDoubtAndReadAsItIs) {
  auto map = near(proxy_.url());
  auto const other = near(server_.url());
  EXPECT_EQ(other.get("a"), std::nullopt);
  proxy_.next("EVAL", Fault::cut_after_request);
  EXPECT_THROW(map.set("a", 1), InDoubt);
  EXPECT_EQ(map.get("a"), 1);
  EXPECT_TRUE(becomes(other, "a", 1));
  ASSERT_TRUE(is_told(map));
  EXPECT_EQ(map.get("a"), 1);
}

TEST_P(CachedMapFaultsTest, ChangeIsMadeOverAnotherConnectionWhereItIsNotTold) {
  auto map = near(proxy_.url());
  auto const other = near(server_.url());
  map.set("b", 1);
  ASSERT_TRUE(deafen(map, proxy_));
  map.set("a", 1);
  EXPECT_EQ(map.get("a"), 1);
  EXPECT_TRUE(becomes(other, "a", 1));
  EXPECT_TRUE(map.erase("a"));
  EXPECT_TRUE(becomes(other, "a", std::nullopt));
}

TEST_P(CachedMapFaultsTest, RestartOfTheServerWithoutItsDataIsSeen) {
  auto map = near(server_.url());
  map.set("a", 1);
  map.set("b", 1);
  server_.kill();
  EXPECT_TRUE(eventually([&] { return !map.await_told(std::chrono::steady_clock::now()); }));
  EXPECT_THROW((void)map.get("a"), Unreachable);
  EXPECT_THROW(map.set("a", 2), Unreachable);
  server_.restart();
  EXPECT_EQ(map.get("a"), std::nullopt);
  ASSERT_TRUE(is_told(map));
  EXPECT_EQ(map.get("b"), std::nullopt);
  map.set("a", 3);
  EXPECT_EQ(map.get("a"), 3);
}

TEST_P(CachedMapFaultsTest, SilentServerEndsCallsAtTheirDeadline) {
  Near map{client(server_.url(), "?command_timeout=300ms"), "m", told_only};
  ASSERT_TRUE(is_told(map));
  map.set("a", 1);
  server_.pause();
  EXPECT_EQ(map.get("a"), 1) << "nobody need be asked";
  EXPECT_LE(support::time_of([&] { EXPECT_THROW((void)map.get("b"), Error); }),
            300ms + support::stall);
  EXPECT_LE(support::time_of([&] { EXPECT_THROW(map.set("a", 2), Error); }),
            300ms + support::stall);
  server_.resume();
  ASSERT_TRUE(eventually([&] {
    try {
      map.set("a", 3);
      return true;
    } catch (Error const&) {
      return false;
    }
  }));
  EXPECT_EQ(map.get("a"), 3);
}

TEST_P(CachedMapFaultsTest, ForgottenScriptsAreTaughtAgain) {
  auto map = near(server_.url());
  map.set("a", 1);
  EXPECT_EQ(map.get("b"), std::nullopt);
  redis_.command("SCRIPT", "FLUSH");
  EXPECT_EQ(map.get("c"), std::nullopt);
  redis_.command("SCRIPT", "FLUSH");
  map.set("a", 2);
  EXPECT_EQ(map.get("a"), 2);
}

// ---- changes by others that the server tells nobody of but the last who told one ----

TEST_P(CachedMapFaultsTest, ForeignChangeRightAfterAToldOneIsSeenByThoseWhoHaveNotReadAgain) {
  set("b", 1);
  auto const slow = near(proxy_.url());
  auto quick = near(server_.url());
  EXPECT_EQ(slow.get("b"), 1);
  EXPECT_EQ(slow.get("a"), std::nullopt);
  proxy_.delay(500ms);  // so late it hears, and asks again to be told
  quick.set("a", 1);
  set("b", 2);
  EXPECT_TRUE(becomes(slow, "a", 1));
  EXPECT_TRUE(becomes(slow, "b", 2));
}

TEST_P(CachedMapFaultsTest, SoItIsWhereTheOneWhoToldTheLastChangeLostItsConnectionFirst) {
  set("b", 1);
  auto const slow = near(proxy_.url());
  EXPECT_EQ(slow.get("b"), 1);
  EXPECT_EQ(slow.get("a"), std::nullopt);
  auto const before = listening();
  auto quick = near(server_.url());
  auto after = listening();
  for (auto const& each : before) after.erase(each);
  ASSERT_EQ(after.size(), 1U);
  proxy_.delay(500ms);
  quick.set("a", 1);
  redis_.command("CLIENT", "KILL", "ID", after.begin()->substr(3));
  set("b", 2);
  EXPECT_TRUE(becomes(slow, "b", 2));
}

TEST_P(CachedMapFaultsTest, SoItIsAfterAChangeThatWasMadeOverAnotherConnection) {
  set("b", 1);
  FaultProxy slow_network{server_};
  auto const slow = near(slow_network.url());
  auto quick = near(proxy_.url());
  EXPECT_EQ(slow.get("b"), 1);
  ASSERT_TRUE(deafen(quick, proxy_));
  ASSERT_TRUE(is_told(slow));
  EXPECT_EQ(slow.get("b"), 1);
  slow_network.delay(500ms);
  quick.set("a", 1);
  set("b", 2);
  proxy_.refuse(false);
  EXPECT_TRUE(becomes(slow, "b", 2));
}

// ---- answers that come after what was told later (RESP2: they have connections of their own) ----

/// A map whose answers are late, and what is told to it is not.
class LateAnswers {
 public:
  LateAnswers(FaultProxy& proxy, Client& redis, Near map)
      : proxy_{proxy}, redis_{redis}, map_{std::move(map)} {
    EXPECT_EQ(map_.get("teach it the scripts"), std::nullopt);
    map_.set("b", 1);
  }
  /// Begins to do `act`, and returns when the server has done what it asks and its answer is on its
  /// way.
  void begin(std::function<void(Near&)> const& act) {
    redis_.command("CONFIG", "RESETSTAT");
    proxy_.delay_where_asked("MGET", 500ms);
    thread_ = std::thread{[this, act] { act(map_); }};
    ASSERT_TRUE(eventually([&] {
      return redis_.command("INFO", "commandstats").as<std::string>().find("cmdstat_evalsha") !=
             std::string::npos;
    }));
  }
  /// Its answer has come.
  Near& end() {
    thread_.join();
    proxy_.delay_where_asked("MGET", 0ms);
    return map_;
  }

 private:
  FaultProxy& proxy_;
  Client& redis_;
  Near map_;
  std::thread thread_{};
};

TEST_P(CachedMapFaultsTest, ReadThatIsAnsweredAfterAToldChangeKeepsNothingOlder) {
  set("a", 1);
  auto other = near(server_.url());
  LateAnswers late{proxy_, redis_, near(proxy_.url())};
  late.begin([](Near& map) { EXPECT_GE(map.get("a").value_or(-1), 1); });
  other.set("a", 2);
  EXPECT_TRUE(becomes(late.end(), "a", 2));
}

TEST_P(CachedMapFaultsTest, ReadThatIsAnsweredAfterAForeignChangeWasSeenKeepsNothing) {
  set("a", 1);
  LateAnswers late{proxy_, redis_, near(proxy_.url())};
  late.begin([](Near& map) { EXPECT_GE(map.get("a").value_or(-1), 1); });
  set("a", 2);
  EXPECT_TRUE(becomes(late.end(), "a", 2));
}

TEST_P(CachedMapFaultsTest, ChangeThatIsAnsweredAfterAForeignOneWasSeenIsNotKept) {
  LateAnswers late{proxy_, redis_, near(proxy_.url())};
  late.begin([](Near& map) { map.set("a", 1); });
  set("a", 2);
  EXPECT_TRUE(becomes(late.end(), "a", 2));
}

TEST_P(CachedMapFaultsTest, ChangeThatIsAnsweredAfterALaterOneWasToldIsNotKept) {
  auto other = near(server_.url());
  LateAnswers late{proxy_, redis_, near(proxy_.url())};
  late.begin([](Near& map) { map.set("a", 1); });
  other.set("a", 2);
  EXPECT_TRUE(becomes(late.end(), "a", 2));
}

TEST_P(CachedMapFaultsTest, WhatIsToldByteByByteIsUnderstoodAndNothingIsForgottenForIt) {
  auto const slow = near(proxy_.url());
  auto quick = near(server_.url());
  EXPECT_EQ(slow.get("a"), std::nullopt);
  std::atomic<int> resyncs = 0;
  auto map = slow;
  auto const watch = map.on_change([&](Near::Change const& change) {
    if (change.resync) ++resyncs;
  });
  proxy_.trickle(1);
  for (int i = 1; i <= 5; ++i) {
    quick.set("a", i);
    EXPECT_TRUE(becomes(slow, "a", i));
  }
  EXPECT_EQ(resyncs, 0);
  set("a", 9);
  EXPECT_TRUE(becomes(slow, "a", 9));
  proxy_.trickle(0);
}

TEST_P(CachedMapFaultsTest, ChangeInDoubtOverAnotherConnectionIsFollowedByAGapToo) {
  near(server_.url()).set("b", 1);  // not by `quick`, which would owe a gap for that
  auto quick = near(proxy_.url());
  ASSERT_TRUE(deafen(quick, proxy_));
  auto slow = near(server_.url());
  EXPECT_EQ(slow.get("b"), 1);
  std::atomic<bool> heard = false;
  std::atomic<bool> goes_on = false;
  auto const watch = slow.on_change([&](Near::Change const& change) {
    if (change.resync) return;
    heard = true;
    goes_on.wait(false);  // and so does not read again
  });
  proxy_.next("EVALSHA", Fault::cut_after_request);
  EXPECT_THROW(quick.set("a", 1), InDoubt);
  EXPECT_TRUE(eventually([&] { return heard.load(); }));
  set("b", 2);
  goes_on = true;
  goes_on.notify_all();
  proxy_.refuse(false);
  EXPECT_TRUE(becomes(slow, "b", 2));
}

// ---- what the server refuses ----

TEST_P(CachedMapFaultsTest, ReplicaRefusesAChangeAndNothingIsChanged) {
  auto map = near(server_.url());
  map.set("a", 1);
  redis_.command("REPLICAOF", "127.0.0.1", "1");
  EXPECT_EQ(code_of([&] { map.set("a", 2); }), "READONLY");
  EXPECT_EQ(code_of([&] { map.erase("a"); }), "READONLY");
  EXPECT_EQ(map.get("a"), 1);
  redis_.command("REPLICAOF", "NO", "ONE");
  map.set("a", 3);
  EXPECT_EQ(map.get_fresh("a"), 3);
}

TEST_P(CachedMapFaultsTest, UserWhoMayNotBeToldReadsAtTheServer) {
  redis_.command("ACL", "SETUSER", "deaf", "on", ">p", "~*", "resetchannels", "+@all");
  set("a", 1);
  auto options = Options::from_url(server_.url());
  options.protocol = GetParam();
  options.user = "deaf";
  options.password = "p";
  Near map{Client{options}, "m", told_only};
  EXPECT_FALSE(map.await_told(std::chrono::steady_clock::now() + 200ms));
  EXPECT_EQ(map.get("a"), 1);
  set("a", 2);
  EXPECT_EQ(map.get("a"), 2);
  EXPECT_EQ(code_of([&] { map.set("a", 3); }), "NOPERM");
  EXPECT_EQ(map.get("a"), 2) << "what cannot be told is not done";
  Near const fails{Client{options}, "m", {.when_disconnected = WhenDisconnected::fail}};
  auto quick = options;
  quick.command_timeout = 300ms;
  Near const refused{Client{quick}, "m", {.when_disconnected = WhenDisconnected::fail}};
  EXPECT_THAT(support::text_of<Unreachable>([&] { (void)refused.get("a"); }), HasSubstr("NOPERM"));
}

TEST_P(CachedMapFaultsTest, UserNeedsWhatTheDocumentationSaysAndNoMore) {
  redis_.command("ACL", "SETUSER", "worker", "on", ">p", "~m", "~{m}:*", "resetchannels",
                 "&tandem:*", "-@all", "+@connection", "+hget", "+hmget", "+hlen", "+hset", "+hdel",
                 "+hexists", "+evalsha", "+eval", "+exists", "+zscore", "+mget", "+publish", "+get",
                 "+subscribe", "+unsubscribe", "+decrby", "+incrby");
  auto options = Options::from_url(server_.url());
  options.protocol = GetParam();
  options.user = "worker";
  options.password = "p";
  Near map{Client{options}, "m", told_only};
  ASSERT_TRUE(is_told(map));
  auto const other = near(server_.url());
  EXPECT_EQ(other.get("a"), std::nullopt);
  EXPECT_EQ(map.get_many({"a", "b"}).size(), 2U);
  map.set("a", 1);
  EXPECT_TRUE(becomes(other, "a", 1));
  EXPECT_TRUE(map.compare_exchange("a", 1, 2));
  EXPECT_TRUE(becomes(other, "a", 2));
  set("a", 3);
  EXPECT_TRUE(becomes(map, "a", 3));
  EXPECT_TRUE(map.erase("a"));
  EXPECT_TRUE(becomes(other, "a", std::nullopt));
}

TEST_P(CachedMapFaultsTest, ServerWithoutMemoryRefusesAChangeAndNothingIsChanged) {
  auto map = near(server_.url());
  map.set("a", 1);
  redis_.command("CONFIG", "SET", "maxmemory", "1");
  EXPECT_EQ(code_of([&] { map.set("a", 2); }), "OOM");
  redis_.command("CONFIG", "SET", "maxmemory", "0");
  EXPECT_EQ(map.get("a"), 1);
  EXPECT_EQ(map.get_fresh("a"), 1);
  map.set("a", 3);
  EXPECT_EQ(map.get("a"), 3);
}

TEST_P(CachedMapFaultsTest, ChangeThatIsRefusedIsNotCountedAndTheNextOneIsTold) {
  auto map = near(server_.url());
  std::atomic<int> heard = 0;
  auto const watch = map.on_change([&](Near::Change const& change) {
    if (!change.resync) ++heard;
  });
  map.set("a", 1);
  redis_.command("SET", "{m}:ends", "text");
  EXPECT_EQ(code_of([&] { map.set("a", 2, {.ttl = 1h}); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)map.compare_exchange("a", 1, 2); }), "WRONGTYPE");
  map.set("a", 3);
  EXPECT_TRUE(eventually([&] { return heard == 2; }));
}

TEST_P(CachedMapFaultsTest, ServerThatForgetsWhomToTellIsNoHarm) {
  redis_.command("CONFIG", "SET", "tracking-table-max-keys", "1");
  auto one = near(server_.url());
  auto const other = near(server_.url());
  for (int i = 1; i <= 50; ++i) {
    one.set("a", i);
    ASSERT_TRUE(becomes(other, "a", i));
    set("b", i);
    ASSERT_TRUE(becomes(other, "b", i));
  }
}

// ---- beginnings and ends ----

TEST_P(CachedMapFaultsTest, MapThatIsGoneIsNotListenedForAnyMore) {
  auto const client_of_both = client(server_.url());
  Near const stays{client_of_both, "stays", told_only};
  ASSERT_TRUE(is_told(stays));
  {
    Near const goes{client_of_both, "goes", told_only};
    ASSERT_TRUE(is_told(goes));
    Near const same{client_of_both, "goes", told_only};
    ASSERT_TRUE(is_told(same));
  }
  EXPECT_TRUE(eventually([&] {
    return redis_.command("PUBSUB", "CHANNELS", "tandem:{goes}*")
        .as<std::vector<std::string>>()
        .empty();
  }));
  Near back{client_of_both, "goes", told_only};
  ASSERT_TRUE(is_told(back));
  EXPECT_EQ(back.get("a"), std::nullopt);
  redis_.command("HSET", "goes", "a", "1");
  EXPECT_TRUE(becomes(back, "a", 1));
  EXPECT_EQ(stays.get("a"), std::nullopt);
  redis_.command("HSET", "stays", "a", "1");
  EXPECT_TRUE(becomes(stays, "a", 1));
}

TEST_P(CachedMapFaultsTest, ChildOfAForkBeginsEmptyAndBothGoOn) {
  auto map = near(server_.url());
  map.set("a", 1);
  EXPECT_EQ(map.get("a"), 1);
  auto const told = support::in_child([&]() -> std::string {
    if (map.get("a") != 1) return "not 1";
    map.set("a", 2);
    if (map.get("a") != 2) return "not 2";
    if (!is_told(map)) return "is not told";
    map.set("a", 3);
    return std::to_string(map.get("a").value_or(-1));
  });
  EXPECT_EQ(told, "3");
  EXPECT_TRUE(becomes(map, "a", 3));
}

TEST_P(CachedMapFaultsTest, WatchOfTheParentIsNoneOfTheChildAndItsEndHarmsNobodyThere) {
  auto map = near(server_.url());
  auto watch = std::make_optional(map.on_change([](auto const&) {}));
  auto const told = support::in_child([&]() -> std::string {
    std::atomic<int> heard = 0;
    auto const own = map.on_change([&](Near::Change const& change) {
      if (!change.resync) ++heard;
    });
    watch.reset();
    map.set("a", 1);
    return eventually([&] { return heard == 1; }) ? "heard" : "deaf";
  });
  EXPECT_EQ(told, "heard");
}

TEST_P(CachedMapFaultsTest, MapsMayEndWhileTheirClientGoesOnAndCallsAreUnderWay) {
  auto const shared = client(server_.url());
  support::on_threads(4, [&](int number) {
    for (int i = 0; i < 50; ++i) {
      Near map{shared, "m", told_only};
      map.set(std::to_string(number), i);
      EXPECT_EQ(map.get(std::to_string(number)), i);
      auto const watch = map.on_change([](auto const&) {});
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Protocol, CachedMapFaultsTest, ::testing::Values(3, 2),
                         [](auto const& each) { return "Resp" + std::to_string(each.param); });

}  // namespace
}  // namespace tandem
