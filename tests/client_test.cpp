#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/core/script.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fake_server.hpp"
#include "support/fault_proxy.hpp"
#include "support/patience.hpp"
#include "support/threads.hpp"
#include "support/turn_away.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::background_threads;
using support::eventually;
using support::FakeServer;
using support::FaultProxy;
using support::on_threads;
using support::stall;
using support::time_of;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RedisServer;
using Fault = FaultProxy::Fault;

static_assert(std::is_copy_constructible_v<Client>, "a handle: copies share one core");
static_assert(std::is_nothrow_move_constructible_v<Client>);

std::string code_of(std::function<void()> const& call) {
  try {
    call();
  } catch (ServerError const& error) {
    return error.code();
  }
  return "no error";
}

int socket_option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(fd, level, name, &value, &size);
  return value;
}

/// The descriptors of this process that are connected to that port.
std::vector<int> sockets_to(std::uint16_t port) {
  std::vector<int> out;
  for (int fd = 0; fd < 1000; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
        peer.sin_family == AF_INET && ntohs(peer.sin_port) == port) {
      out.push_back(fd);
    }
  }
  return out;
}

bool is_closed_by_peer(int fd) {
  char byte = 0;
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

class ClientTest : public ::testing::Test {
 protected:
  explicit ClientTest(testing::RedisServerOptions const& options = {}) : server_{options} {}

  [[nodiscard]] Options options(std::string const& parameters = "") const {
    return Options::from_url(server_.url() + parameters);
  }

  /// The numbers of the connections that a client named `name` has open.
  std::set<long long> connections(std::string const& name) {
    std::set<long long> out;
    auto const list = own_.command("CLIENT", "LIST").as<std::string>();
    for (std::size_t at = 0; at < list.size(); at = list.find('\n', at) + 1) {
      auto const line = list.substr(at, list.find('\n', at) - at);
      if (line.find(" name=" + name + " ") != std::string::npos)
        out.insert(std::stoll(line.substr(3)));
    }
    return out;
  }

  RedisServer server_;
  Connection own_{server_.url()};
};

// ---- A handle ----

TEST(ClientAbsenceTest, ConstructingWithNobodyListeningIsFine) {
  EXPECT_NO_THROW((Client{"redis://no-such-host.invalid"}));
  EXPECT_NO_THROW((Client{"unix:///no/such/redis.sock"}));
}

TEST(ClientAbsenceTest, BadOptionsAreRefusedBeforeAnyIo) {
  EXPECT_THROW(Client{"http://localhost"}, std::invalid_argument);
  Options options;
  options.command_timeout = 0ms;
  EXPECT_THROW(Client{options}, std::invalid_argument);
}

TEST_F(ClientTest, CopiesShareTheirConnections) {
  Client first{server_.url()};
  auto const id = first.command("CLIENT", "ID").as<int>();
  Client second{first};
  EXPECT_EQ(second.command("CLIENT", "ID").as<int>(), id);
  Client third{"unix:///no/such/redis.sock"};
  third = second;
  EXPECT_EQ(third.command("CLIENT", "ID").as<int>(), id);
}

TEST_F(ClientTest, OneThreadKeepsOneConnection) {
  Client redis{server_.url()};
  auto const id = redis.command("CLIENT", "ID").as<int>();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(redis.command("CLIENT", "ID").as<int>(), id);
}

TEST_F(ClientTest, ClosesItsConnectionsWhenTheLastHandleGoes) {
  {
    Client redis{options("?name=mine")};
    auto const copy = redis;
    on_threads(4, [&](int) { redis.command("PING"); });
    EXPECT_GE(connections("mine").size(), 1U);
  }
  EXPECT_TRUE(eventually([&] { return connections("mine").empty(); }));
}

// ---- Many threads ----

TEST_F(ClientTest, SixteenThreadsGetTheirOwnRepliesAndLoseNothing) {
  Client redis{options("?command_timeout=60s&connect_timeout=60s")};
  on_threads(16, [&](int thread) {
    for (int i = 0; i < 300; ++i) {
      auto const text = std::to_string(thread) + ":" + std::to_string(i);
      ASSERT_EQ(redis.command("ECHO", text).as<std::string>(), text);
      redis.command("INCR", "n");
      auto const replies = redis.pipeline().command("INCR", "n").command("ECHO", text).execute();
      ASSERT_EQ(replies[1].as<std::string>(), text);
    }
  });
  EXPECT_EQ(own_.command("GET", "n").as<int>(), 16 * 300 * 2);
}

TEST_F(ClientTest, OpensNoMoreConnectionsThanAllowed) {
  auto bounded = options("?name=bounded&command_timeout=60s");
  bounded.max_connections = 3;
  Client redis{bounded};
  std::atomic<std::size_t> most = 0;
  std::atomic<bool> over = false;
  std::thread watcher{[&] {
    while (!over) most = std::max(most.load(), connections("bounded").size());
  }};
  on_threads(8, [&](int) {
    for (int i = 0; i < 10; ++i)
      redis.command("BLPOP", "nothing", 0.005);  // long enough that all of them overlap
  });
  over = true;
  watcher.join();
  EXPECT_EQ(most, 3U);
}

TEST_F(ClientTest, CallThatFindsNoFreeConnectionIsUnreachableAtTheDeadline) {
  auto bounded = options("?command_timeout=300ms&connect_timeout=20s");
  bounded.max_connections = 1;
  Client redis{bounded};
  redis.transaction({}, [&](Transaction&) {  // it has the one connection for as long as it runs
    auto const took = time_of([&] {
      try {
        redis.command("BLPOP", "list", 1);
        ADD_FAILURE() << "there were two connections";
      } catch (Unreachable const& fault) {
        EXPECT_THAT(fault.what(), HasSubstr("all 1 connections"));
      }
    });
    EXPECT_GE(took, 300ms);
    EXPECT_LT(took, 300ms + stall);
  });
  EXPECT_EQ(redis.command("PING").as<std::string>(), "PONG");
}

TEST_F(ClientTest, FreedConnectionGoesToWhoWaitsForIt) {
  auto bounded = options("?command_timeout=60s");
  bounded.max_connections = 1;
  Client redis{bounded};
  std::thread other{[&] { EXPECT_FALSE(redis.command("BLPOP", "list", 30).is_nil()); }};
  ASSERT_TRUE(eventually([&] {
    return own_.command("CLIENT", "LIST").as<std::string>().find("cmd=blpop") != std::string::npos;
  }));
  std::thread waiting{[&] {
    auto const pong =
        redis.transaction({}, [](Transaction& tx) { return tx.read("PING").as<std::string>(); });
    EXPECT_EQ(pong, "PONG");
  }};
  own_.command("LPUSH", "list", "x");
  waiting.join();
  other.join();
}

// ---- The server goes away ----

TEST_F(ClientTest, AbsentServerIsUnreachableWithinTheConnectTimeout) {
  server_.kill();
  Client redis{options("?connect_timeout=200ms&command_timeout=20s")};
  auto const took = time_of([&] { EXPECT_THROW(redis.command("PING"), Unreachable); });
  EXPECT_GE(took, 150ms) << "it did not try again for all of the time";
  EXPECT_LT(took, 200ms + stall);
}

TEST_F(ClientTest, AbsentServerIsUnreachableWithinTheCommandTimeout) {
  server_.kill();
  Client redis{options("?connect_timeout=20s&command_timeout=200ms")};
  auto const took = time_of([&] { EXPECT_THROW(redis.command("PING"), Unreachable); });
  EXPECT_LT(took, 200ms + stall);
}

TEST_F(ClientTest, RestartOfTheServerGoesUnnoticed) {
  Client redis{server_.url()};
  for (int i = 0; i < 3; ++i) {
    redis.command("SET", "k", i);
    server_.restart();
    EXPECT_TRUE(redis.command("GET", "k").is_nil());  // an empty server, and no error
  }
}

TEST_F(ClientTest, CallWaitsForAServerThatIsOnItsWayBack) {
  Client redis{options("?connect_timeout=20s&command_timeout=20s")};
  redis.command("PING");
  server_.kill();
  std::thread starter{[&] {
    EXPECT_TRUE(support::turn_away(server_.socket_path(), 1));  // the call is there first
    server_.restart();
  }};
  EXPECT_EQ(redis.command("PING").as<std::string>(), "PONG");
  starter.join();
}

TEST_F(ClientTest, ReconnectsAsWhoItWas) {
  own_.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all");
  Client redis{"unix://app:secret@" + server_.socket_path() + "?db=4&name=billing"};
  auto const id = redis.command("CLIENT", "ID").as<int>();
  own_.command("CLIENT", "KILL", "ID", id);
  EXPECT_THAT(redis.command("CLIENT", "LIST").as<std::string>(), HasSubstr("name=billing"));
  EXPECT_NE(redis.command("CLIENT", "ID").as<int>(), id);
  EXPECT_EQ(redis.command("ACL", "WHOAMI").as<std::string>(), "app");
  redis.command("SET", "k", "v");
  EXPECT_EQ(own_.command("EXISTS", "k").as<int>(), 0);
  own_.command("SELECT", 4);
  EXPECT_EQ(own_.command("EXISTS", "k").as<int>(), 1);
}

TEST_F(ClientTest, ConnectionClosedWhileIdleIsReplacedWithoutAnError) {
  Client redis{options("?name=idle")};
  for (int i = 0; i < 20; ++i) {
    redis.command("INCR", "n");
    own_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  }
  EXPECT_EQ(own_.command("GET", "n").as<int>(), 20);
}

TEST(ClientTcpTest, ConnectionClosedWhileIdleIsReplacedWithoutAnError) {
  RedisServer const server{
      {.tcp = true}};  // unlike a Unix socket it takes the first write after its end
  Connection own{server.url()};
  Client redis{"redis://127.0.0.1:" + std::to_string(server.port())};
  for (int i = 0; i < 20; ++i) {
    redis.command("INCR", "n");
    own.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    ASSERT_TRUE(eventually([&] { return is_closed_by_peer(sockets_to(server.port()).at(0)); }));
  }
  EXPECT_EQ(own.command("GET", "n").as<int>(), 20);
}

// ---- The shared connection stays as it is, and alive ----

TEST_F(ClientTest, WhatWouldChangeTheConnectionOfAllThreadsIsRefusedAndNotSent) {
  Client redis{options()};
  for (auto const& words : std::vector<std::vector<Argument>>{{"SELECT", 1},
                                                              {"WATCH", "k"},
                                                              {"MULTI"},
                                                              {"SUBSCRIBE", "news"},
                                                              {"CLIENT", "REPLY", "OFF"},
                                                              {"AUTH", "secret"},
                                                              {"QUIT"}}) {
    auto const name = std::string{words[0].bytes()};
    EXPECT_THROW(
        {
          try {
            redis.execute(words);
          } catch (std::invalid_argument const& error) {
            EXPECT_THAT(error.what(), HasSubstr(name));
            EXPECT_THAT(error.what(), Not(HasSubstr("secret")));
            throw;
          }
        },
        std::invalid_argument);
    auto pipeline = redis.pipeline();
    pipeline.command("SET", "k", "v").command(words[0].bytes(), words.back().bytes());
    if (name == "CLIENT") pipeline.command("CLIENT", "REPLY", "OFF");
    EXPECT_THROW((void)pipeline.execute(), std::invalid_argument);
  }
  EXPECT_EQ(own_.command("EXISTS", "k").as<int>(), 0);
  EXPECT_THAT(own_.command("INFO", "commandstats").as<std::string>(),
              Not(HasSubstr("cmdstat_select:")));
  auto transaction = redis.pipeline();
  transaction.command("MULTI").command("INCR", "n").command("EXEC");
  EXPECT_EQ(transaction.execute()[2][0].as<int>(), 1);
}

TEST_F(ClientTest, ThreadThatSeesToItsHealthIsStartedByACallAfterAWhile) {
  Client redis{options()};
  redis.command("PING");
  EXPECT_EQ(background_threads(), 0);
  EXPECT_TRUE(eventually([&] {
    redis.command("PING");
    return background_threads() == 1;
  }));
}

TEST_F(ClientTest, ConnectionThatDiedWhileIdleIsFoundOutBeforeACallPaysForIt) {
  FaultProxy proxy{server_};
  Client redis{proxy.url() + "?name=idle&command_timeout=1s"};
  redis.post("INCR", "n");  // starts the thread
  redis.command("INCR", "n");
  proxy.next("PING", Fault::swallow_reply);
  ASSERT_EQ(connections("idle").size(), 1U);
  EXPECT_TRUE(eventually([&] { return connections("idle").empty(); }));
  EXPECT_EQ(redis.command("INCR", "n").as<int>(), 3);
  EXPECT_EQ(proxy.connections(), 2);
}

TEST_F(ClientTest, IdleConnectionThatAnswersStays) {
  Client redis{options("?name=idle")};
  redis.post("INCR", "n");
  own_.command("CONFIG", "RESETSTAT");
  auto const before = connections("idle");
  EXPECT_TRUE(eventually([&] {
    auto const stats = own_.command("INFO", "commandstats").as<std::string>();
    return stats.find("cmdstat_ping:calls=1,") != std::string::npos;
  }));
  redis.command("INCR", "n");
  EXPECT_EQ(connections("idle"), before);
}

TEST_F(ClientTest, LostReplyIsInDoubtAndNotRepeated) {
  FaultProxy proxy{server_};
  Client redis{proxy.url()};
  redis.command("INCR", "n");
  proxy.next("INCR", Fault::cut_after_request);
  EXPECT_THROW(redis.command("INCR", "n"), InDoubt);
  proxy.next("INCR", Fault::cut_in_reply);
  EXPECT_THROW(redis.command("INCR", "n"), InDoubt);
  proxy.next("INCR", Fault::cut_before_request);
  EXPECT_THROW(redis.command("INCR", "n"), InDoubt);
  EXPECT_EQ(redis.command("INCR", "n").as<int>(), 4);
}

TEST_F(ClientTest, HandshakeThatIsCutIsMadeAgain) {
  FaultProxy proxy{server_};
  for (auto const fault : {Fault::cut_before_request, Fault::cut_in_request,
                           Fault::cut_after_request, Fault::cut_in_reply}) {
    proxy.next("HELLO", fault);
    Client redis{proxy.url()};
    EXPECT_EQ(redis.command("PING").as<std::string>(), "PONG");
  }
}

TEST(ClientTcpTest, EveryConnectionNoticesADeadPeer) {
  RedisServer const server{{.tcp = true}};
  Connection own{server.url()};
  Client redis{"redis://127.0.0.1:" + std::to_string(server.port()) + "?command_timeout=7s"};
  for (int i = 0; i < 2; ++i) {
    auto const id = redis.command("CLIENT", "ID").as<int>();
    auto const sockets = sockets_to(server.port());
    ASSERT_EQ(sockets.size(), 1U);
    EXPECT_EQ(socket_option(sockets[0], SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(socket_option(sockets[0], IPPROTO_TCP, TCP_KEEPIDLE), 15);
    EXPECT_EQ(socket_option(sockets[0], IPPROTO_TCP, TCP_USER_TIMEOUT), 7000);
    EXPECT_EQ(socket_option(sockets[0], IPPROTO_TCP, TCP_NODELAY), 1);
    own.command("CLIENT", "KILL", "ID", id);  // what is set must be set again on the next one
  }
}

// ---- A lost reply, and what the repetition is answered ----

Script const repeatable{"-- retry: safe\nreturn redis.call('DEL', KEYS[1])"};

TEST(ClientDoubtTest, RefusalOfARepetitionLeavesInDoubtWhatWasSentBefore) {
  FakeServer const server{[calls = 0](std::vector<std::string> const& words) mutable {
    if (words.front() != "EVALSHA") return FakeServer::Answer{FakeServer::ok};
    if (++calls == 1) return FakeServer::Answer{"", FakeServer::Then::close};
    return FakeServer::Answer{"-READONLY You can't write against a read only replica.\r\n"};
  }};
  Client redis{server.url()};
  try {
    redis.run(repeatable, {"stock"});
    ADD_FAILURE() << "no error";
  } catch (InDoubt const& fault) {
    EXPECT_THAT(fault.what(), HasSubstr("READONLY")) << "both are told";
  }
}

TEST(ClientDoubtTest, ServerThatDoesNotKnowTheRepeatedScriptAndGoesLeavesItInDoubt) {
  FakeServer const server{[calls = 0](std::vector<std::string> const& words) mutable {
    if (calls == 2) return FakeServer::Answer{"", FakeServer::Then::close};
    if (words.front() != "EVALSHA") return FakeServer::Answer{FakeServer::ok};
    if (++calls == 1) return FakeServer::Answer{"", FakeServer::Then::close};
    // What nobody asked for keeps the client from sending anything more over this connection.
    return FakeServer::Answer{"-NOSCRIPT No matching script.\r\n+unasked\r\n"};
  }};
  Client redis{server.url() + "?command_timeout=300ms"};
  EXPECT_THROW(redis.run(repeatable, {"stock"}), InDoubt) << "and not Unreachable";
}

// ---- Deadlines ----

TEST_F(ClientTest, PausedServerLeavesACallInDoubtAtTheDeadline) {
  Client redis{options("?command_timeout=200ms")};
  redis.command("PING");
  server_.pause();
  auto const took = time_of([&] { EXPECT_THROW(redis.command("INCR", "n"), InDoubt); });
  EXPECT_GE(took, 200ms);
  EXPECT_LT(took, 200ms + stall);
  server_.resume();
  EXPECT_GE(redis.command("INCR", "n").as<int>(), 1);
}

TEST_F(ClientTest, PausedServerIsUnreachableForWhoHasNoConnection) {
  Client redis{options("?command_timeout=200ms&connect_timeout=100ms")};
  server_.pause();
  auto const took = time_of([&] { EXPECT_THROW(redis.command("INCR", "n"), Unreachable); });
  EXPECT_LT(took, 200ms + stall);
  server_.resume();
  EXPECT_EQ(redis.command("INCR", "n").as<int>(), 1);
}

TEST_F(ClientTest, LateReplyNeverAnswersTheNextQuestion) {
  Client redis{options("?command_timeout=100ms&connect_timeout=20s")};
  for (int i = 0; i < 5; ++i) {
    redis.command("PING");
    server_.pause();
    EXPECT_THROW(redis.command("ECHO", "late"), InDoubt);
    server_.resume();
    // A stalled machine may let this one run out of time too; it must never get the late reply.
    auto const ask = [&] {
      try {
        EXPECT_EQ(redis.command("ECHO", "next").as<std::string>(), "next");
        return true;
      } catch (Error const&) {
        return false;
      }
    };
    EXPECT_TRUE(eventually(ask));
  }
}

TEST_F(ClientTest, AnswerThatNobodyAskedForEndsItsConnection) {
  FakeServer const server{"GET", "+first\r\n+unasked\r\n"};
  Client redis{server.url()};
  for (int i = 0; i < 5; ++i) EXPECT_EQ(redis.command("GET", "k").as<std::string>(), "first");
  EXPECT_EQ(server.connections(), 5);
}

// ---- The server says no ----

TEST_F(ClientTest, WrongPasswordIsAServerErrorAndTheRightOneThenWorks) {
  own_.command("CONFIG", "SET", "requirepass", "right");
  Client wrong{"unix://:wrong@" + server_.socket_path()};
  Client none{server_.url()};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(code_of([&] { wrong.command("PING"); }), "WRONGPASS");
    EXPECT_EQ(code_of([&] { none.command("PING"); }), "NOAUTH");
  }
  own_.command("CONFIG", "SET", "requirepass", "wrong");
  EXPECT_EQ(wrong.command("PING").as<std::string>(), "PONG");
  own_.command("CONFIG", "SET", "requirepass", "");
  EXPECT_EQ(none.command("PING").as<std::string>(), "PONG");
}

TEST_F(ClientTest, RefusedHandshakesUseUpNoConnections) {
  own_.command("CONFIG", "SET", "requirepass", "right");
  auto bounded = options();
  bounded.max_connections = 1;
  Client redis{bounded};
  for (int i = 0; i < 5; ++i) EXPECT_EQ(code_of([&] { redis.command("PING"); }), "NOAUTH");
  own_.command("CONFIG", "SET", "requirepass", "");
  EXPECT_EQ(redis.command("PING").as<std::string>(), "PONG");
}

TEST_F(ClientTest, FullServerSaysOomAndThenWorksAgain) {
  Client redis{server_.url()};
  own_.command("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(code_of([&] { redis.command("SET", "k", "v"); }), "OOM");
  EXPECT_TRUE(redis.command("GET", "k").is_nil());
  own_.command("CONFIG", "SET", "maxmemory", 0);
  EXPECT_EQ(redis.command("SET", "k", "v").as<std::string>(), "OK");
}

TEST_F(ClientTest, ReplicaSaysReadonlyAndThenWorksAgain) {
  Client redis{server_.url()};
  own_.command("REPLICAOF", "127.0.0.1", 1);  // of a master that is not there
  EXPECT_EQ(code_of([&] { redis.command("SET", "k", "v"); }), "READONLY");
  own_.command("REPLICAOF", "NO", "ONE");
  EXPECT_EQ(redis.command("SET", "k", "v").as<std::string>(), "OK");
}

TEST_F(ClientTest, ForbiddenCommandSaysNopermAndOthersWork) {
  own_.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-del");
  Client redis{"unix://app:secret@" + server_.socket_path()};
  EXPECT_EQ(code_of([&] { redis.command("DEL", "k"); }), "NOPERM");
  EXPECT_EQ(redis.command("SET", "k", "v").as<std::string>(), "OK");
  own_.command("ACL", "SETUSER", "app", "+del");
  EXPECT_EQ(redis.command("DEL", "k").as<int>(), 1);
}

class ClientOfALoadingServerTest : public ClientTest {
 protected:
  ClientOfALoadingServerTest()
      : ClientTest{{.arguments = {"--enable-debug-command", "yes",
                                  "--loading-process-events-interval-bytes", "1024"}}} {}
};

TEST_F(ClientOfALoadingServerTest, SaysLoadingAndThenWorksAgain) {
  Client redis{options("?connect_timeout=20s&command_timeout=20s")};
  redis.command("PING");
  auto pipeline = own_.pipeline();
  for (int i = 0; i < 2000; ++i) pipeline.command("SET", i, "value");
  (void)pipeline.execute();
  own_.command("CONFIG", "SET", "key-load-delay", 500);  // microseconds for each of them
  std::thread loader{
      [&] { Connection{options("?command_timeout=60s")}.command("DEBUG", "RELOAD"); }};
  EXPECT_TRUE(eventually([&] { return code_of([&] { redis.command("GET", "k"); }) == "LOADING"; }));
  loader.join();
  EXPECT_EQ(redis.command("GET", 7).as<std::string>(), "value");
}

// ---- Under attack ----

/// Eight threads that count and echo, and what came of it.
class Hammer {
 public:
  explicit Hammer(Client const& redis) {
    for (int t = 0; t < 8; ++t) threads_.emplace_back([this, redis, t] { run(redis, t); });
  }
  Hammer(Hammer const&) = delete;
  Hammer& operator=(Hammer const&) = delete;
  ~Hammer() { stop(); }

  void stop() {
    over_ = true;
    for (auto& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  [[nodiscard]] long long acknowledged() const { return acknowledged_; }
  [[nodiscard]] long long in_doubt() const { return in_doubt_; }
  [[nodiscard]] long long wrong() const { return wrong_; }

 private:
  void run(Client redis, int thread) {
    for (long long i = 0; !over_; ++i) {
      try {
        auto const text = std::to_string(thread) + ":" + std::to_string(i);
        if (redis.command("ECHO", text).as<std::string>() != text) ++wrong_;
      } catch (Error const&) {
        // Killed in mid-call; only a wrong answer counts.
      }
      try {
        redis.command("INCR", "n");
        ++acknowledged_;
      } catch (InDoubt const&) {
        ++in_doubt_;
      } catch (Unreachable const&) {
        // It did not happen.
      } catch (ServerError const& error) {
        if (error.code() != "LOADING") ++wrong_;  // nor did it then
      }
    }
  }

  std::atomic<bool> over_ = false;
  std::atomic<long long> acknowledged_ = 0;
  std::atomic<long long> in_doubt_ = 0;
  std::atomic<long long> wrong_ = 0;
  std::vector<std::thread> threads_{};
};

TEST_F(ClientTest, KillingItsConnectionsUnderLoadGivesNoWrongReplyAndNoWrongCount) {
  Hammer hammer{Client{server_.url()}};
  for (int i = 0; i < 100; ++i) {
    auto const before = hammer.acknowledged();
    ASSERT_TRUE(eventually([&] { return hammer.acknowledged() > before + 8; }));
    own_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  }
  hammer.stop();
  EXPECT_EQ(hammer.wrong(), 0);
  auto const count = own_.command("GET", "n").as<long long>();
  EXPECT_GE(count, hammer.acknowledged());
  EXPECT_LE(count, hammer.acknowledged() + hammer.in_doubt());
}

class ClientOfAPersistentServerTest : public ClientTest {
 protected:
  ClientOfAPersistentServerTest() : ClientTest{{.persistent = true}} {}
};

TEST_F(ClientOfAPersistentServerTest, RestartsUnderLoadGiveNoWrongReplyAndNoWrongCount) {
  Hammer hammer{Client{server_.url()}};
  for (int i = 0; i < 5; ++i) {
    auto const before = hammer.acknowledged();
    ASSERT_TRUE(eventually([&] { return hammer.acknowledged() > before + 100; }));
    server_.restart();
  }
  hammer.stop();
  EXPECT_EQ(hammer.wrong(), 0);
  auto const count = Connection{server_.url()}.command("GET", "n").as<long long>();
  EXPECT_GE(count, hammer.acknowledged());
  EXPECT_LE(count, hammer.acknowledged() + hammer.in_doubt());
}

TEST_F(ClientTest, ExhaustedDescriptorsAreUnreachableAndThenItWorksAgain) {
  Client redis{options("?connect_timeout=100ms")};
  // The same once before, and nothing looked at until the end: UBSan needs descriptors to check
  // what it has not seen.
  EXPECT_THROW(Client{"unix:///no/such/redis.sock?connect_timeout=1ms"}.command("PING"),
               Unreachable);
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  auto const next_descriptor = ::dup(0);
  ::close(next_descriptor);
  rlimit const none{static_cast<rlim_t>(next_descriptor), before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  std::exception_ptr fault;
  auto const took = time_of([&] {
    try {
      redis.command("PING");
    } catch (...) {
      fault = std::current_exception();
    }
  });
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_LT(took, 100ms + stall);
  ASSERT_TRUE(fault) << "it connected without a descriptor";
  try {
    std::rethrow_exception(fault);
  } catch (Unreachable const& unreachable) {
    EXPECT_THAT(unreachable.what(), HasSubstr("Too many open files"));
  }
  EXPECT_EQ(redis.command("PING").as<std::string>(), "PONG");
}

}  // namespace
}  // namespace tandem
