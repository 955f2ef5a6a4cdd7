#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/core/pipeline.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fake_server.hpp"
#include "support/fault_proxy.hpp"

namespace tandem {
namespace {

using support::FakeServer;
using support::FaultProxy;
using Fault = FaultProxy::Fault;

Script const add{"return redis.call('INCRBY', KEYS[1], ARGV[1])"};
Script const fetch{"return redis.call('GET', KEYS[1])"};

class PipelineTest : public ::testing::Test {
 protected:
  testing::RedisServer server_{};
  FaultProxy proxy_{server_};
  Connection own_{server_.url()};
  Client redis_{proxy_.url()};
};

TEST_F(PipelineTest, RepliesComeInOrder) {
  auto const replies =
      redis_.pipeline().command("INCR", "a").command("GET", "b").command("ECHO", "text").execute();
  ASSERT_EQ(replies.size(), 3U);
  EXPECT_EQ(replies[0].as<int>(), 1);
  EXPECT_TRUE(replies[1].is_nil());
  EXPECT_EQ(replies[2].as<std::string>(), "text");
}

TEST_F(PipelineTest, IsOneRoundTrip) {
  redis_.command("PING");
  auto const before = proxy_.round_trips();
  (void)redis_.pipeline()
      .command("PING")
      .command("PING")
      .run(add, {"n"}, 1)
      .run(add, {"n"}, 1)
      .execute();
  EXPECT_EQ(proxy_.round_trips() - before, 1);
}

TEST_F(PipelineTest, EmptyOneIsNoRoundTripAndNoReplies) {
  redis_.command("PING");
  auto const before = proxy_.round_trips();
  EXPECT_TRUE(redis_.pipeline().execute().empty());
  EXPECT_EQ(proxy_.round_trips(), before);
}

TEST_F(PipelineTest, EmptyOneDoesNotEvenConnect) {
  Client nobody{"unix:///no/such/redis.sock"};
  EXPECT_TRUE(nobody.pipeline().execute().empty());
}

TEST_F(PipelineTest, IsEmptyAfterwardsAndMayBeUsedAgain) {
  auto pipeline = redis_.pipeline();
  pipeline.command("INCR", "n").run(add, {"n"}, 1);
  EXPECT_EQ(pipeline.execute().size(), 2U);
  EXPECT_TRUE(pipeline.execute().empty());
  pipeline.run(add, {"n"}, 1);
  auto const replies = pipeline.execute();
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(replies[0].as<int>(), 3);
}

TEST_F(PipelineTest, ErrorSitsInItsOwnSlot) {
  own_.command("SET", "text", "x");
  auto const replies =
      redis_.pipeline().command("INCR", "n").command("INCR", "text").command("INCR", "n").execute();
  ASSERT_EQ(replies.size(), 3U);
  EXPECT_EQ(replies[0].as<int>(), 1);
  EXPECT_TRUE(replies[1].is_error());
  EXPECT_THROW((void)replies[1].as<int>(), ServerError);
  EXPECT_EQ(replies[2].as<int>(), 2);
}

TEST_F(PipelineTest, TenThousandCommandsKeepTheirOrder) {
  for (auto* const url : {"?protocol=2", "?protocol=3"}) {
    Client redis{server_.url() + url + "&command_timeout=20s"};
    auto pipeline = redis.pipeline();
    std::string const filling(100, 'x');
    for (int i = 0; i < 10'000; ++i) pipeline.command("ECHO", std::to_string(i) + filling);
    auto const replies = pipeline.execute();
    ASSERT_EQ(replies.size(), 10'000U);
    for (std::size_t i = 0; i < replies.size(); ++i)
      ASSERT_EQ(replies[i].as<std::string>(), std::to_string(i) + filling);
  }
}

TEST_F(PipelineTest, LargeRequestsAndRepliesAreWhole) {
  Client redis{server_.url() + "?command_timeout=20s"};
  std::string const value(4 << 20, 'x');
  auto pipeline = redis.pipeline();
  for (int i = 0; i < 8; ++i) pipeline.command("SET", i, value).command("GET", i);
  for (auto const& reply : pipeline.execute()) EXPECT_FALSE(reply.is_error());
  EXPECT_EQ(own_.command("STRLEN", 7).as<std::size_t>(), value.size());
}

// ---- Scripts ----

TEST_F(PipelineTest, ScriptsRunInTheirPlace) {
  auto const replies = redis_.pipeline()
                           .command("SET", "n", 10)
                           .run(add, {"n"}, 5)
                           .run(fetch, {"n"})
                           .command("SET", "n", 0)
                           .run(add, {"n"}, 1)
                           .execute();
  ASSERT_EQ(replies.size(), 5U);
  EXPECT_EQ(replies[1].as<int>(), 15);
  EXPECT_EQ(replies[2].as<int>(), 15);
  EXPECT_EQ(replies[4].as<int>(), 1);
}

TEST_F(PipelineTest, ScriptsSurviveAFlushBetweenTwoPipelines) {
  for (int i = 1; i <= 3; ++i) {
    auto const replies = redis_.pipeline().run(add, {"n"}, 1).run(add, {"n"}, 1).execute();
    EXPECT_EQ(replies[1].as<int>(), 2 * i);
    own_.command("SCRIPT", "FLUSH");
  }
}

TEST_F(PipelineTest, ScriptsSurviveAFlushInMidPipeline) {
  auto const replies = redis_.pipeline()
                           .run(add, {"n"}, 1)
                           .command("SCRIPT", "FLUSH")
                           .run(add, {"n"}, 1)
                           .run(add, {"n"}, 1)
                           .command("ECHO", "last")
                           .execute();
  ASSERT_EQ(replies.size(), 5U);
  EXPECT_EQ(replies[0].as<int>(), 1);
  EXPECT_EQ(replies[2].as<int>() + replies[3].as<int>(), 5);  // 2 and 3, each executed once
  EXPECT_EQ(replies[4].as<std::string>(), "last");
  EXPECT_EQ(own_.command("GET", "n").as<int>(), 3);
}

TEST_F(PipelineTest, ScriptsErrorSitsInItsSlot) {
  own_.command("SET", "text", "x");
  auto const replies = redis_.pipeline().run(add, {"text"}, 1).run(add, {"n"}, 1).execute();
  EXPECT_THROW((void)replies[0].as<int>(), ServerError);
  EXPECT_EQ(replies[1].as<int>(), 1);
}

// ---- Faults ----

TEST_F(PipelineTest, LostReplyLeavesAllOfItInDoubtAndNothingIsRepeated) {
  for (auto const fault : {Fault::cut_after_request, Fault::cut_in_reply}) {
    own_.command("SET", "n", 0);
    proxy_.next("INCRBY", fault);
    EXPECT_THROW((void)redis_.pipeline().command("INCR", "n").command("INCRBY", "n", 10).execute(),
                 InDoubt);
    EXPECT_EQ(own_.command("GET", "n").as<int>(), 11);
  }
}

TEST_F(PipelineTest, CutInTheMiddleOfTheRequestIsInDoubt) {
  proxy_.next("INCRBY", Fault::cut_before_request);
  EXPECT_THROW((void)redis_.pipeline().command("INCR", "n").command("INCRBY", "n", 10).execute(),
               InDoubt);
  EXPECT_EQ(own_.command("GET", "n").as<int>(), 1);
}

TEST_F(PipelineTest, RequestThatIsSentOnlyInPartIsInDoubt) {
  Connection wire{server_.url() + "?command_timeout=200ms"};
  server_.pause();
  std::string const large(16 << 20,
                          'x');  // the first command fits a socket's buffer, this one does not
  EXPECT_THROW((void)wire.pipeline().command("INCR", "n").command("SET", "k", large).execute(),
               InDoubt);
  server_.resume();
  EXPECT_EQ(own_.command("GET", "n").as<int>(), 1);
}

TEST_F(PipelineTest, IsEmptyAlsoAfterAFault) {
  auto pipeline = redis_.pipeline();
  pipeline.command("INCR", "n");
  proxy_.next("INCR", Fault::cut_after_request);
  EXPECT_THROW((void)pipeline.execute(), InDoubt);
  EXPECT_TRUE(pipeline.execute().empty());
  EXPECT_EQ(own_.command("GET", "n").as<int>(), 1);
}

TEST_F(PipelineTest, AbsentServerIsUnreachable) {
  server_.kill();
  Client redis{server_.url() + "?connect_timeout=50ms"};
  EXPECT_THROW((void)redis.pipeline().command("INCR", "n").execute(), Unreachable);
}

TEST_F(PipelineTest, ScriptThatCannotBeSentAgainLeavesThePipelineInDoubt) {
  // The commands around the script were executed, so this is not "nothing was sent".
  FakeServer const server{[](std::vector<std::string> const& words) -> FakeServer::Answer {
    if (words.front() == "EVALSHA")
      return {"-NOSCRIPT No matching script.\r\n", FakeServer::Then::close};
    return {FakeServer::ok};
  }};
  for (int i = 0; i < 50; ++i) {  // the end is known before the script is sent again, or after
    Connection wire{server.url()};
    EXPECT_THROW((void)wire.pipeline()
                     .run(add, {"n"}, 1)
                     .command("SET", "k", "v")
                     .run(add, {"n"}, 1)
                     .execute(),
                 InDoubt);
  }
}

}  // namespace
}  // namespace tandem
