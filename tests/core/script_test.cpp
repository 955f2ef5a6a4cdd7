#include <chrono>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/core/script.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fake_server.hpp"
#include "support/fault_proxy.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::FaultProxy;
using Fault = FaultProxy::Fault;

static_assert(!std::is_constructible_v<Script, std::string>,
              "it would refer to a source that is gone");
static_assert(Script{"return 1", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"}.sha1().size() == 40);

Script const echo{"return {KEYS[1], KEYS[2], ARGV[1], ARGV[2]}"};
Script const count{"return redis.call('INCR', KEYS[1])"};
// Counts its runs, so that a test sees how often it was executed; the promise is a lie for that
// purpose.
Script const count_safely{"-- retry: safe\nreturn redis.call('INCR', KEYS[1])"};
Script const refuse{"return redis.error_reply('NOPE on principle')"};

class ScriptTest : public ::testing::Test {
 protected:
  long long runs() {
    return own_.command("GET", "runs").as<std::optional<long long>>().value_or(0);
  }

  testing::RedisServer server_{};
  FaultProxy proxy_{server_};
  Connection own_{server_.url()};
  Client redis_{proxy_.url()};
};

// ---- What it is ----

TEST_F(ScriptTest, Sha1IsTheOneTheServerKnowsItBy) {
  for (auto const* script : {&echo, &count, &count_safely}) {
    EXPECT_EQ(own_.command("SCRIPT", "LOAD", script->source()).as<std::string>(), script->sha1());
  }
}

TEST_F(ScriptTest, GivenSha1IsTakenAsItIs) {
  constexpr Script script{"return 1", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"};
  EXPECT_EQ(script.sha1(), Script{"return 1"}.sha1());
  EXPECT_EQ(script.source(), "return 1");
}

TEST_F(ScriptTest, OnlyTheLineThatSaysSoMakesItRepeatable) {
  EXPECT_TRUE(Script{"-- retry: safe\nreturn 1"}.repeatable());
  EXPECT_TRUE(Script{"-- a/b: does it.\n-- retry: safe\n\nreturn 1"}.repeatable());
  EXPECT_FALSE(Script{"return 1"}.repeatable());
  EXPECT_FALSE(Script{"-- retry: unsafe\nreturn 1"}.repeatable());
  EXPECT_FALSE(Script{"-- retry: safely\nreturn 1"}.repeatable());
  EXPECT_FALSE(Script{"return 1 -- not -- retry: safe\n"}.repeatable());
}

// ---- What it does ----

TEST_F(ScriptTest, GetsKeysAndArgumentsInOrder) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(redis_.run(echo, {"a", "b"}, "x", 2).as<Words>(), (Words{"a", "b", "x", "2"}));
  EXPECT_EQ(redis_.run(echo, {"a"}).as<Words>(), (Words{"a"}));
  EXPECT_EQ(redis_.run(echo, {}, 0.5).as<std::vector<std::optional<std::string>>>().size(), 0U);
}

TEST_F(ScriptTest, KeysAndArgumentsAreBytes) {
  std::string const bytes{"a\0\r\n\xff", 5};
  EXPECT_EQ(redis_.run(echo, {bytes, ""}, bytes, "").as<std::vector<std::string>>(),
            (std::vector<std::string>{bytes, "", bytes, ""}));
}

TEST_F(ScriptTest, ItsErrorIsThrownWithTheKey) {
  try {
    redis_.run(refuse, {"stock"});
    FAIL() << "it did not throw";
  } catch (ServerError const& error) {
    EXPECT_EQ(error.code(), "NOPE");
    EXPECT_STREQ(error.what(), "script on stock: NOPE on principle");
  }
}

TEST_F(ScriptTest, FirstRunTakesTwoRoundTripsAndFurtherOnesOne) {
  redis_.command("PING");
  auto const before = proxy_.round_trips();
  redis_.run(count, {"runs"});
  EXPECT_EQ(proxy_.round_trips() - before, 2);
  redis_.run(count, {"runs"});
  EXPECT_EQ(proxy_.round_trips() - before, 3);
  EXPECT_EQ(runs(), 2);
}

TEST_F(ScriptTest, ScriptFlushCostsARoundTripAndNothingElse) {
  redis_.run(count, {"runs"});
  own_.command("SCRIPT", "FLUSH");
  auto const before = proxy_.round_trips();
  EXPECT_EQ(redis_.run(count, {"runs"}).as<int>(), 2);
  EXPECT_EQ(proxy_.round_trips() - before, 2);
}

TEST_F(ScriptTest, RestartedServerLearnsItAgain) {
  EXPECT_EQ(redis_.run(count, {"runs"}).as<int>(), 1);
  server_.restart();
  EXPECT_EQ(redis_.run(count, {"runs"}).as<int>(), 1);  // the restarted server is empty
}

TEST_F(ScriptTest, ScriptThatFailsIsNotRunAgain) {
  Script const counts_and_fails{
      "redis.call('INCR', KEYS[1]) return redis.error_reply('NOSCRIPTS are fine')"};
  EXPECT_THROW(redis_.run(counts_and_fails, {"runs"}), ServerError);
  EXPECT_EQ(runs(), 1);
  EXPECT_THROW(redis_.run(counts_and_fails, {"runs"}), ServerError);
  EXPECT_EQ(runs(), 2);
}

// ---- When the answer is lost ----

TEST_F(ScriptTest, SafeScriptIsRepeatedWhenTheAnswerWasLost) {
  redis_.run(count_safely, {"runs"});
  proxy_.next("EVALSHA", Fault::cut_after_request);
  EXPECT_EQ(redis_.run(count_safely, {"runs"}).as<int>(), 3);  // the second run's answer was lost
  EXPECT_EQ(runs(), 3);
}

TEST_F(ScriptTest, SafeScriptIsRepeatedWhenItDidNotArrive) {
  redis_.run(count_safely, {"runs"});
  proxy_.next("EVALSHA", Fault::cut_before_request);
  proxy_.next("EVALSHA", Fault::cut_in_request);
  proxy_.next("EVALSHA", Fault::cut_in_reply);
  EXPECT_EQ(redis_.run(count_safely, {"runs"}).as<int>(), 3);
}

TEST_F(ScriptTest, SafeScriptIsRepeatedAlsoWhereItIsSentInFull) {
  proxy_.next("EVAL", Fault::cut_after_request);
  EXPECT_EQ(redis_.run(count_safely, {"runs"}).as<int>(), 2);
}

TEST_F(ScriptTest, OtherScriptIsSentOnceAndInDoubt) {
  redis_.run(count, {"runs"});
  proxy_.next("EVALSHA", Fault::cut_after_request);
  EXPECT_THROW(redis_.run(count, {"runs"}), InDoubt);
  EXPECT_EQ(runs(), 2);
  proxy_.next("EVALSHA", Fault::cut_before_request);
  EXPECT_THROW(redis_.run(count, {"runs"}), InDoubt);
  EXPECT_EQ(runs(), 2);
  EXPECT_EQ(redis_.run(count, {"runs"}).as<int>(), 3);
}

TEST_F(ScriptTest, OtherScriptIsSentOnceAlsoWhereItIsSentInFull) {
  proxy_.next("EVAL", Fault::cut_after_request);
  EXPECT_THROW(redis_.run(count, {"runs"}), InDoubt);
  EXPECT_EQ(runs(), 1);
}

TEST_F(ScriptTest, ConnectionRepeatsNothingBecauseItHasNoOtherSocket) {
  Connection wire{proxy_.url()};
  wire.run(count_safely, {"runs"});
  proxy_.next("EVALSHA", Fault::cut_after_request);
  EXPECT_THROW(wire.run(count_safely, {"runs"}), InDoubt);
  EXPECT_EQ(runs(), 2);
}

TEST_F(ScriptTest, RepetitionsDoNotStormTheServer) {
  support::FakeServer const server{"EVALSHA", "", support::FakeServer::Then::close};
  Client redis{server.url() + "?command_timeout=500ms"};
  EXPECT_THROW(redis.run(count_safely, {"runs"}), InDoubt);
  EXPECT_GT(server.connections(), 1);
  EXPECT_LT(server.connections(), 100);  // without pauses there are thousands
}

TEST_F(ScriptTest, DoubtOfASafeScriptStaysDoubtWhenTheServerThenGoesAway) {
  auto options = Options::from_url(proxy_.url());
  options.connect_timeout = 200ms;
  Client impatient{options};
  impatient.run(count_safely, {"runs"});
  proxy_.next("EVALSHA", Fault::cut_after_request);
  proxy_.refuse(true);
  EXPECT_THROW(impatient.run(count_safely, {"runs"}), InDoubt);
  EXPECT_EQ(runs(), 2);
}

}  // namespace
}  // namespace tandem
