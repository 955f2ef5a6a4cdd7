#include "core/inspection.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <optional>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/tandem.hpp>
#include <tandem/testing/redis_server.hpp>

#include "scripts.hpp"
#include "support/fake_server.hpp"
#include "support/patience.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::FakeServer;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::RedisServer;
using ::testing::StartsWith;

class InspectionTest : public ::testing::Test {
 protected:
  /// A server that nothing is to be said against.
  void make_safe() {
    own_.command("CONFIG", "SET", "save", "3600 1");
    own_.command("CONFIG", "SET", "maxmemory-policy", "noeviction");
  }
  [[nodiscard]] std::string as_user(std::string const& rules) {
    std::vector<Argument> words{"ACL", "SETUSER", "app", "reset", "on", ">secret"};
    std::vector<std::string> parts;
    for (std::size_t at = 0; at < rules.size();) {
      auto const end = std::min(rules.find(' ', at), rules.size());
      parts.push_back(rules.substr(at, end - at));
      at = end + 1;
    }
    for (auto const& part : parts) words.emplace_back(part);
    own_.execute(words);
    return "unix://app:secret@" + server_.socket_path();
  }

  RedisServer server_{};
  Connection own_{server_.url()};
};

// ---- What it sees ----

TEST_F(InspectionTest, SaysWhatTheServerIs) {
  Client redis{server_.url()};
  auto const found = redis.inspect();
  auto const info = own_.command("INFO", "server").as<std::string>();
  bool const is_valkey = info.find("valkey_version:") != std::string::npos;
  EXPECT_EQ(found.product, is_valkey ? "Valkey" : "Redis");
  EXPECT_THAT(info, HasSubstr((is_valkey ? "valkey_version:" : "redis_version:") + found.version));
  EXPECT_EQ(found.protocol, 3);
  EXPECT_THAT(found.uses, ElementsAre("RESP3", "CLIENT TRACKING"));
  EXPECT_EQ(found.user, "default");
  EXPECT_EQ(found.endpoint, server_.url());
  EXPECT_EQ(found.maxmemory, 0);
  EXPECT_EQ(found.eviction, "noeviction");
  EXPECT_EQ(found.append_only_file, false);
  EXPECT_EQ(found.replicas, 0);
  EXPECT_FALSE(found.is_replica);
  auto const in_resp2 = Client{server_.url() + "?protocol=2"}.inspect();
  EXPECT_EQ(in_resp2.protocol, 2);
  EXPECT_THAT(in_resp2.uses, ElementsAre("CLIENT TRACKING"));
}

TEST_F(InspectionTest, FindsNothingAgainstASafeServer) {
  make_safe();
  auto const found = Client{server_.url()}.inspect();
  EXPECT_THAT(found.dangers, IsEmpty());
  EXPECT_THAT(found.notes, IsEmpty());
  EXPECT_EQ(found.line(), found.product + " " + found.version + " at " + server_.url());
}

TEST_F(InspectionTest, WarnsOfEviction) {
  make_safe();
  Client redis{server_.url()};
  for (char const* policy : {"allkeys-lru", "volatile-ttl", "allkeys-random"}) {
    own_.command("CONFIG", "SET", "maxmemory-policy", policy);
    own_.command("CONFIG", "SET", "maxmemory", 0);
    EXPECT_THAT(redis.inspect().dangers, IsEmpty()) << "without a limit nothing is evicted";
    own_.command("CONFIG", "SET", "maxmemory", "1gb");
    EXPECT_THAT(redis.inspect().dangers, ElementsAre(HasSubstr(policy)));
    EXPECT_EQ(redis.inspect().maxmemory, 1LL << 30);
  }
}

TEST_F(InspectionTest, WarnsWhenNothingIsSaved) {
  make_safe();
  Client redis{server_.url()};
  own_.command("CONFIG", "SET", "save", "");
  EXPECT_THAT(redis.inspect().dangers, ElementsAre(HasSubstr("saves nothing")));
  own_.command("CONFIG", "SET", "appendonly", "yes");
  EXPECT_THAT(redis.inspect().dangers, IsEmpty());
  EXPECT_EQ(redis.inspect().append_only_file, true);
}

TEST_F(InspectionTest, WarnsOfAReplicaAndNotesReplicas) {
  make_safe();
  RedisServer const other{{.tcp = true}};
  own_.command("REPLICAOF", "127.0.0.1", other.port());
  EXPECT_THAT(Client{server_.url()}.inspect().dangers, ElementsAre(HasSubstr("is a replica")));
  Client primary{other.url()};
  EXPECT_TRUE(support::eventually([&] { return primary.inspect().replicas == 1; }));
  EXPECT_THAT(primary.inspect().notes, Contains(HasSubstr("failover")));
}

TEST_F(InspectionTest, NamesWhatTheUserMayNotRun) {
  make_safe();
  auto const all = as_user("~* &* +@all");
  EXPECT_THAT(Client{all}.inspect().dangers, IsEmpty());
  auto const some = as_user("~app:* &* +@all -zadd -client|tracking");
  auto const found = Client{some}.inspect("app:1");
  EXPECT_EQ(found.user, "app");
  auto const elsewhere = Client{some}.inspect("other");
  EXPECT_THAT(elsewhere.denied, ElementsAre("CLIENT TRACKING"));
  EXPECT_THAT(elsewhere.notes, ElementsAre(HasSubstr("nothing with the key other")));
  EXPECT_THAT(found.denied, ::testing::UnorderedElementsAre("ZADD", "CLIENT TRACKING"));
  EXPECT_THAT(found.dangers, ElementsAre(AllOf(HasSubstr("user app may not run"), HasSubstr("ZADD"),
                                               Not(HasSubstr("secret")))));
  auto const channels = as_user("~* resetchannels &news +@all");
  EXPECT_THAT(Client{channels}.inspect().denied,
              ElementsAre("PUBLISH tandem:x", "SUBSCRIBE tandem:x"));
  auto const reader = as_user("~* &* +@all -@write");
  EXPECT_THAT(Client{reader}.inspect().denied, AllOf(Contains("SET"), Not(Contains("GET"))));
  auto const scripts = as_user("~* &* +@all -eval");
  EXPECT_THAT(Client{scripts}.inspect().denied, ElementsAre("EVAL"));
}

TEST_F(InspectionTest, SaysWhatItIsNotTold) {
  make_safe();
  auto const found = Client{as_user("~* &* +@all -info -config -acl")}.inspect();
  EXPECT_EQ(found.version, "");
  EXPECT_EQ(found.user, "");
  EXPECT_EQ(found.maxmemory, std::nullopt);
  EXPECT_THAT(found.notes, Contains(HasSubstr("INFO")));
  EXPECT_THAT(found.notes, Contains(HasSubstr("CONFIG GET save")));
  EXPECT_THAT(found.dangers, IsEmpty());
}

std::string bulk(std::string const& text) {
  return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}

TEST(InspectionOfAnOddServerTest, SurvivesNonsense) {
  for (auto const& nonsense : std::vector<std::string>{
           "+OK\r\n", ":1\r\n", "*0\r\n", "_\r\n", "-ERR unknown command\r\n", bulk(""),
           bulk("x:\n:y\n\n"), "*2\r\n+a\r\n+b\r\n", "%1\r\n+a\r\n+b\r\n",
           bulk("redis_version:99999999999999999999\nrole:\r\n")}) {
    FakeServer const server{[&](auto const& words) {
      return FakeServer::Answer{words.front() == "HELLO" ? "%0\r\n" : nonsense};
    }};
    Client redis{server.url()};
    EXPECT_THAT(redis.inspect().line(), HasSubstr(server.url())) << nonsense;
  }
}

TEST(InspectionOfAnOddServerTest, WhoDoesNotKnowTheQuestionIsNotTakenToSaveNothing) {
  FakeServer const server{[](auto const& words) {
    if (words.front() == "CONFIG" || words.front() == "EVAL") return FakeServer::Answer{"*0\r\n"};
    return FakeServer::Answer{words.front() == "INFO" ? bulk("redis_version:7.0.0\r\naof_enabled:0")
                                                      : FakeServer::ok};
  }};
  auto const found = Client{server.url() + "?protocol=2"}.inspect();
  EXPECT_EQ(found.snapshots, "?");
  EXPECT_EQ(found.append_only_file, false);
  EXPECT_THAT(found.dangers, IsEmpty());
}

TEST(InspectionOfAnOddServerTest, NotesAClockThatIsNotOurs) {
  for (auto const& [offset, word] :
       {std::pair{-3600, "behind"}, std::pair{3600, "ahead of"}, std::pair{0, ""}}) {
    FakeServer const server{[offset = offset](auto const& words) {
      if (words.front() == "SELECT") return FakeServer::Answer{FakeServer::ok};
      if (words.front() != "TIME") return FakeServer::Answer{"-ERR unknown\r\n"};
      auto const now = std::chrono::duration_cast<std::chrono::seconds>(
          std::chrono::system_clock::now().time_since_epoch());
      auto const seconds = std::to_string(now.count() + offset);
      return FakeServer::Answer{"*2\r\n" + bulk(seconds) + bulk("0")};
    }};
    auto const found = Client{server.url() + "?protocol=2"}.inspect();
    bool const noted = std::any_of(found.notes.begin(), found.notes.end(), [](auto const& note) {
      return note.find("its clock is") != std::string::npos;
    });
    EXPECT_EQ(noted, offset != 0);
    if (noted) {
      EXPECT_THAT(found.notes, Contains(HasSubstr(word)));
    }
    EXPECT_NEAR(static_cast<double>(found.clock_difference.count()) / 1e6, offset, 2.5);
  }
}

TEST(InspectionOfAnOddServerTest, WarnsOfAVersionTooOld) {
  FakeServer const server{[](auto const& words) {
    if (words.front() == "SELECT") return FakeServer::Answer{FakeServer::ok};
    return FakeServer::Answer{words.front() == "INFO"
                                  ? bulk("redis_version:4.0.14\r\naof_enabled:1\r\n")
                                  : "-ERR unknown\r\n"};
  }};
  EXPECT_THAT(Client{server.url() + "?protocol=2"}.inspect().dangers,
              ElementsAre("tandem needs 5.0 or newer"));
}

// ---- Warnings and strictness ----

class WarningTest : public InspectionTest {
 protected:
  [[nodiscard]] Options options() {
    auto out = Options::from_url(server_.url() + "?name=warned");
    out.on_warning = [this](std::string const& line) { warnings_.push_back(line); };
    return out;
  }
  std::vector<std::string> warnings_{};
};

TEST_F(WarningTest, IsOneLineAtTheFirstCallAndNotRepeated) {
  Client redis{options()};
  EXPECT_THAT(warnings_, IsEmpty());
  for (int i = 0; i < 3; ++i) {
    redis.command("PING");
    EXPECT_THAT(warnings_, ElementsAre(AllOf(StartsWith("tandem: "), HasSubstr(server_.url()),
                                             HasSubstr("saves nothing"), Not(HasSubstr("\n")))));
    own_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  }
  own_.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
  own_.command("CONFIG", "SET", "maxmemory", "1gb");
  redis.command("PING");
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("saves nothing"), HasSubstr("allkeys-lru")));
}

TEST_F(WarningTest, IsRepeatedWhenTheServerWasSafeInBetween) {
  Client redis{options()};
  for (char const* save : {"", "3600 1", ""}) {
    own_.command("CONFIG", "SET", "save", save);
    own_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    redis.command("PING");
  }
  EXPECT_EQ(warnings_.size(), 2U);
}

TEST(WarningOfAnOddServerTest, ServerThatDoesNotLetItselfBeLookedAtIsUsedNevertheless) {
  for (auto const then : {FakeServer::Then::close, FakeServer::Then::deaf}) {
    FakeServer const server{[then](auto const& words) {
      return words.front() == "CONFIG" ? FakeServer::Answer{"", then}
                                       : FakeServer::Answer{FakeServer::ok};
    }};
    auto options = Options::from_url(server.url() + "?protocol=2&command_timeout=1s");
    std::vector<std::string> warnings;
    options.on_warning = [&](std::string const& line) { warnings.push_back(line); };
    EXPECT_EQ(Client{options}.command("GET", "k").as<std::string>(), "OK");
    EXPECT_THAT(warnings, ElementsAre(HasSubstr("does not let itself be looked at")));
  }
}

TEST_F(WarningTest, SafeServerIsNotWarnedOf) {
  make_safe();
  Client redis{options()};
  redis.command("PING");
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(WarningTest, WhoIsWarnedMayUseTheClientAndMayThrow) {
  auto with_callback = options();
  Client* client = nullptr;
  with_callback.on_warning = [&](std::string const&) {
    client->command("INCR", "warnings");
    throw std::runtime_error{"thrown by on_warning"};
  };
  Client redis{with_callback};
  client = &redis;
  EXPECT_EQ(redis.command("INCR", "n").as<int>(), 1);
  EXPECT_EQ(own_.command("GET", "warnings").as<int>(), 1);
}

TEST_F(WarningTest, NobodyLooksUnlessItIsAskedFor) {
  Client redis{server_.url()};
  redis.command("PING");
  EXPECT_THAT(own_.command("INFO", "commandstats").as<std::string>(),
              Not(HasSubstr("cmdstat_eval:")));
}

TEST_F(InspectionTest, StrictRefusesADangerousServerAtTheStart) {
  EXPECT_THROW(
      {
        try {
          Client{server_.url() + "?strict=yes"};
        } catch (UnsafeServer const& error) {
          EXPECT_THAT(error.what(), HasSubstr("saves nothing"));
          EXPECT_FALSE(error.in_doubt());
          throw;
        }
      },
      UnsafeServer);
  make_safe();
  Client redis{server_.url() + "?strict=yes"};
  EXPECT_EQ(redis.command("PING").as<std::string>(), "PONG");
}

TEST_F(InspectionTest, StrictRefusesAServerThatHasBecomeDangerousWhenItConnectsAnew) {
  make_safe();
  Client redis{server_.url() + "?strict=yes"};
  own_.command("CONFIG", "SET", "save", "");
  EXPECT_NO_THROW(redis.command("PING"));
  own_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  EXPECT_THROW(redis.command("INCR", "n"), UnsafeServer);
  EXPECT_EQ(own_.command("EXISTS", "n").as<int>(), 0);
  make_safe();
  EXPECT_EQ(redis.command("INCR", "n").as<int>(), 1);
}

TEST_F(InspectionTest, StrictRefusesADangerousServerAlsoForWhatHasItsOwnConnection) {
  make_safe();
  Client redis{server_.url() + "?strict=yes"};
  own_.command("CONFIG", "SET", "save", "");
  EXPECT_THROW(redis.command("BLPOP", "list", 1), UnsafeServer);
  EXPECT_THROW(redis.transaction({"k"}, [](Transaction& tx) { tx.queue("SET", "k", 1); }),
               UnsafeServer);
  EXPECT_EQ(own_.command("EXISTS", "k").as<int>(), 0);
}

TEST_F(InspectionTest, PermissionsOfAnOldServerAreNotKnown) {
  // Before Redis 7 there is nothing to ask, in a table that is like any other.
  auto const source = "local redis = {error_reply = redis.error_reply}\n" +
                      std::string{scripts::server_permissions.source()};
  EXPECT_THROW(own_.command("EVAL", source, 0, "key", "GET KEY"), ServerError);
}

TEST_F(InspectionTest, StrictNeedsAServer) {
  server_.kill();
  EXPECT_THROW(Client{server_.url() + "?strict=yes&connect_timeout=50ms"}, Unreachable);
}

// ---- The list of commands ----

std::set<std::string> listed() {
  std::set<std::string> out;
  for (std::string const command : detail::commands_in_use()) {
    auto const name = command.substr(0, command.find(' '));
    out.insert(name.substr(name.starts_with('?') ? 1 : 0));
  }
  return out;
}

TEST(CommandsInUseTest, HoldEveryCommandOfEveryScript) {
  std::regex const call{R"(redis\.p?call\('([A-Z]+)')"};
  std::size_t seen = 0;
  for (auto const& each : scripts::all) {
    std::string const source{each.script.source()};
    for (std::sregex_iterator at{source.begin(), source.end(), call}, end; at != end; ++at, ++seen)
      EXPECT_THAT(listed(), Contains((*at)[1].str())) << each.name;
  }
  EXPECT_GT(seen, 20U);
}

void use_small_structures(Client& redis) {
  SharedValue<int> value{redis, "value"};
  (void)value.insert(1);
  value.set(2);
  value.update([](std::optional<int> old) { return old.value_or(0) + 1; });
  EXPECT_EQ(value.wait_for([](int now) { return now > 3; }, 20ms), std::nullopt);
  (void)value.erase();
  SharedSet<int> set{redis, "set"};
  set.insert(1);
  (void)set.contains(1);
  (void)set.size();
  (void)set.members();
  set.erase(1);
  SharedList<int> list{redis, "list", {.most = 1}};
  list.push_front(1);
  list.push_back(2);
  (void)list.at(0);
  (void)list.range(0, 1);
  (void)list.size();
  (void)list.pop_front();
  (void)list.pop_back();
  Ranking<int> ranking{redis, "ranking"};
  ranking.set(1, 1);
  ranking.add(1, 1);
  (void)ranking.score(1);
  (void)ranking.rank(1);
  (void)ranking.size();
  (void)ranking.top(1);
  (void)ranking.around(1, 1);
  ranking.erase(1);
}

void use_a_queue(Client& redis) {
  Queue<int> queue{redis, "queue", {.visibility = 1ms, .most = 5, .wait_for_room = 1ms}};
  queue.push(1, {.delay = 1ms});
  queue.push(2, {.id = "x"});
  queue.push_many(std::vector<int>{3, 4, 5});
  EXPECT_THROW(queue.push(6), QueueFull);
  auto job = queue.try_pop();
  job->extend();
  job->retry_after(0ms);
  while (auto next = queue.try_pop()) next->reject("no");
  queue.requeue(std::vector{queue.dead_letters().at(0).id});
  queue.purge(std::vector{queue.dead_letters().at(0).id});
  queue.pause();
  queue.resume();
  (void)queue.drain(1ms);
  Queue<int> other{redis, "other queue"};
  std::thread waiter{[&] { EXPECT_TRUE(other.pop(20s)); }};
  EXPECT_TRUE(support::eventually([&] { return other.state().waiting == 1; }));
  other.push(1);
  waiter.join();
}

/// Every call of every primitive, once, so that the server counts what it sends.
void use_everything(Client& redis) {
  Lock lock{redis, "lock", {.lease = 3s}};
  {
    auto hold = lock.acquire();
    Lock const other{Client{redis.options()}, "lock"};
    std::thread waiter{[&] { EXPECT_TRUE(other.try_acquire_for(20s)); }};
    EXPECT_TRUE(support::eventually([&] {
      auto const owner = lock.owner();
      return owner && owner->waiters == 1;
    }));
    auto const end = hold.valid_until();
    EXPECT_TRUE(support::eventually([&] { return hold.valid_until() > end; })) << "not renewed";
    hold.commit([](Transaction& tx) { tx.queue("SET", "under-lock", 1); });
    EXPECT_EQ(lock.waiters().size(), 1U);
    (void)hold.release();
    waiter.join();
  }
  Counter counter{redis, "counter"};
  counter.add(3);
  counter -= 1;
  (void)counter.value();
  (void)counter.exchange(7);
  RollingCounter rolling{redis, "context", "type", {.period = 1s}};
  rolling.add();
  EXPECT_TRUE(support::eventually([&] {
    rolling.add();
    return rolling.last().has_value();
  }));
  SharedMap<std::string, int> map{redis, "map"};
  map.set("a", 1);
  (void)map.insert("b", 2);
  (void)map.get("a");
  (void)map.contains("a");
  map.update("a", [](std::optional<int> old) { return old.value_or(0) + 1; });
  (void)map.compare_exchange("a", 2, 3);
  map.add("a", 1);
  map.set_many({{"c", 3}, {"d", 4}});
  (void)map.get_many({"a", "c"});
  for (auto const& [key, value] : map) EXPECT_GT(value, 0) << key;
  map.set("e", 5, {.ttl = 1h});
  (void)map.get("e");
  (void)map.ttl("e");
  map.add("e", 1);
  (void)map.snapshot();
  map.atomically([](auto& entries) { entries.set("a", *entries.get("a") + 1); });
  (void)map.erase("b");
  map.erase_many({"c", "d"});
  (void)map.size();
  map.clear();
  use_small_structures(redis);
  use_a_queue(redis);
  redis.transaction({"k"}, [](Transaction&) {});
}

TEST_F(InspectionTest, CommandsInUseHoldEveryCommandThatThePrimitivesSend) {
  own_.command("CONFIG", "RESETSTAT");
  for (char const* protocol : {"?protocol=3", "?protocol=2"}) {
    Client redis{server_.url() + protocol};
    use_everything(redis);
    if (HasFailure()) return;
    own_.command("FLUSHALL");
  }
  std::set<std::string> const others{"HELLO", "AUTH",   "SELECT",   "FLUSHALL",
                                     "INFO",  "CONFIG", "FLUSHALL", "COMMAND"};
  auto const stats = own_.command("INFO", "commandstats").as<std::string>();
  std::regex const name{"cmdstat_([a-z]+)"};
  std::size_t seen = 0;
  for (std::sregex_iterator at{stats.begin(), stats.end(), name}, end; at != end; ++at, ++seen) {
    auto command = (*at)[1].str();
    std::transform(command.begin(), command.end(), command.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::toupper(letter)); });
    if (!others.contains(command)) {
      EXPECT_THAT(listed(), Contains(command));
    }
  }
  EXPECT_GT(seen, 25U);
}

}  // namespace
}  // namespace tandem
