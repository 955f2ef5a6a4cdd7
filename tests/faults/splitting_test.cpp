// Replies that come in pieces: each reply to who asked, wherever the stream is cut.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/certificates.hpp"
#include "support/fault_proxy.hpp"
#include "support/mangling_proxy.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Certificates;
using support::FaultProxy;
using support::ManglingProxy;
using support::on_threads;
using testing::RedisServer;
using testing::RedisServerTls;
using Way = ManglingProxy::Way;

constexpr auto const* patient = "?command_timeout=60s&connect_timeout=60s";

/// Sixteen threads that ask, alone and several at once; each must get its own replies.
void talk_on_many_threads(Client redis, int times) {
  on_threads(16, [&](int thread) {
    for (int i = 0; i < times; ++i) {
      auto const tag = std::to_string(thread) + ":" + std::to_string(i);
      ASSERT_EQ(redis.command("ECHO", tag).as<std::string>(), tag);
      auto const replies = redis.pipeline()
                               .command("INCR", tag)
                               .command("ECHO", tag)
                               .command("GET", "none")
                               .execute();
      ASSERT_EQ(replies[0].as<int>(), 1);
      ASSERT_EQ(replies[1].as<std::string>(), tag);
      ASSERT_TRUE(replies[2].is_nil());
    }
  });
}

TEST(SplittingTest, ReplyOfEveryKindIsWholeWhereverItIsCut) {
  RedisServer const server{{.arguments = {"--enable-debug-command", "yes"}}};
  std::atomic<std::size_t> cut = 0;
  std::atomic<std::size_t> size = 0;
  ManglingProxy const proxy{server, [&](ManglingProxy::Passing const& passing) {
                              std::string const all{passing.bytes};
                              auto const at = std::min(cut.load(), all.size());
                              if (passing.way == Way::to_server || at == 0) return std::vector{all};
                              size = all.size();
                              return std::vector{all.substr(0, at), all.substr(at)};
                            }};
  Client redis{proxy.url() + patient};
  redis.command("PING");
  do {
    ++cut;
    auto pipeline = redis.pipeline();
    for (auto const* kind : {"string", "integer", "double", "null", "array", "set", "map", "push",
                             "verbatim", "true", "false", "bignum"}) {
      pipeline.command("DEBUG", "PROTOCOL", kind);
    }
    auto const replies = pipeline.command("NO-SUCH-COMMAND").command("ECHO", "last").execute();
    ASSERT_EQ(replies[0].as<std::string>(), "Hello World") << "cut at " << cut;
    ASSERT_EQ(replies[1].as<int>(), 12345) << "cut at " << cut;
    ASSERT_EQ(replies[2].as<double>(), 3.141) << "cut at " << cut;
    ASSERT_TRUE(replies[3].is_nil()) << "cut at " << cut;
    ASSERT_EQ(replies[4].as<std::vector<int>>(), (std::vector{0, 1, 2})) << "cut at " << cut;
    ASSERT_EQ(replies[5].as<std::vector<int>>(), (std::vector{0, 1, 2})) << "cut at " << cut;
    ASSERT_EQ(replies[6].size(), 6U) << "cut at " << cut;
    ASSERT_EQ(replies[7].as<std::string>(), "Some real reply following the push reply")
        << "cut at " << cut;
    ASSERT_EQ(replies[8].as<std::string>(), "This is a verbatim\nstring") << "cut at " << cut;
    ASSERT_TRUE(replies[9].as<bool>()) << "cut at " << cut;
    ASSERT_FALSE(replies[10].as<bool>()) << "cut at " << cut;
    ASSERT_EQ(replies[11].as<std::string>(), "1234567999999999999999999999999999999")
        << "cut at " << cut;
    ASSERT_TRUE(replies[12].is_error()) << "cut at " << cut;
    ASSERT_EQ(replies[13].as<std::string>(), "last") << "cut at " << cut;
  } while (cut < size);
  EXPECT_GT(size, 200U) << "nothing tested";
  EXPECT_EQ(proxy.connections(), 1);
}

TEST(SplittingTest, ManyThreadsGetTheirOwnRepliesWhereverTheStreamIsCut) {
  RedisServer const server;
  std::size_t pieces = 0;  // these two on one thread only: there is one connection
  std::set<std::size_t> cuts;
  ManglingProxy const proxy{server, [&](ManglingProxy::Passing const& passing) {
                              std::string const all{passing.bytes};
                              if (passing.way == Way::to_server) return std::vector{all};
                              auto const at = ++pieces % all.size();
                              cuts.insert(at);
                              return std::vector{all.substr(0, at), all.substr(at)};
                            }};
  talk_on_many_threads(Client{proxy.url() + patient}, 60);
  EXPECT_EQ(proxy.connections(), 1);
  EXPECT_GT(cuts.size(), 20U) << "nothing tested";
}

TEST(SplittingTest, ManyThreadsGetTheirOwnRepliesByteByByte) {
  RedisServer const server;
  ManglingProxy const proxy{server, [](ManglingProxy::Passing const& passing) {
                              std::vector<std::string> bytes;
                              for (char const each : passing.bytes) bytes.emplace_back(1, each);
                              return bytes;
                            }};
  talk_on_many_threads(Client{proxy.url() + patient}, 5);
  EXPECT_EQ(proxy.connections(), 1);
}

TEST(SplittingTest, ManyThreadsGetTheirOwnRepliesByteByByteThroughTls) {
  Certificates const certificates;
  auto const signed_by_it = certificates.sign("server", "DNS:localhost");
  RedisServer const server{{.tls = RedisServerTls{signed_by_it.certificate, signed_by_it.key}}};
  ManglingProxy const proxy{server, [](ManglingProxy::Passing const& passing) {
                              std::vector<std::string> bytes;
                              for (char const each : passing.bytes) bytes.emplace_back(1, each);
                              return bytes;
                            }};
  talk_on_many_threads(Client{proxy.tls_url() + patient + "&ca=" + certificates.authority()}, 5);
  EXPECT_EQ(proxy.connections(), 1);
}

TEST(SplittingTest, ManyThreadsGetTheirOwnRepliesHoweverLateTheyCome) {
  RedisServer const server;
  FaultProxy proxy{server};
  proxy.delay(20ms);
  talk_on_many_threads(Client{proxy.url() + patient}, 10);
  EXPECT_EQ(proxy.connections(), 1);
}

}  // namespace
}  // namespace tandem
