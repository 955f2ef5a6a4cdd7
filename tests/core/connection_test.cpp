#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fake_server.hpp"
#include "support/fault_proxy.hpp"
#include "support/patience.hpp"
#include "support/sockets.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::FakeServer;
using support::FaultProxy;
using support::stall;
using support::time_of;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RedisServer;
using Then = FakeServer::Then;

static_assert(!std::is_copy_constructible_v<Connection>, "one socket has one owner");
static_assert(std::is_nothrow_move_constructible_v<Connection>);
static_assert(std::is_nothrow_move_assignable_v<Connection>);

Options options_for(
    std::string const& url, std::function<void(Options&)> const& change = [](Options&) {}) {
  auto out = Options::from_url(url);
  change(out);
  return out;
}

/// The error with which a connection is refused.
template <class Fault>
std::string refusal(Options const& options) {
  try {
    Connection const wire{options};
  } catch (Fault const& fault) {
    return fault.what();
  }
  return "connected";
}

std::string code_of(std::function<void()> const& call) {
  try {
    call();
  } catch (ServerError const& error) {
    return error.code();
  }
  return "no error";
}

class ConnectionTest : public ::testing::Test {
 protected:
  RedisServer server_{};
};

// ---- Connecting ----

TEST_F(ConnectionTest, TalksOverAUnixSocket) {
  Connection wire{server_.url()};
  EXPECT_EQ(wire.command("PING").as<std::string>(), "PONG");
  EXPECT_TRUE(wire.usable());
}

TEST(ConnectionTcpTest, TalksOverTcp) {
  RedisServer const server{{.tcp = true}};
  Connection wire{"redis://127.0.0.1:" + std::to_string(server.port())};
  EXPECT_EQ(wire.command("PING").as<std::string>(), "PONG");
}

TEST(ConnectionTcpTest, TriesEveryAddressOfAName) {
  RedisServer const server{{.tcp = true}};  // on 127.0.0.1 only, while localhost may be ::1 first
  Connection wire{"redis://localhost:" + std::to_string(server.port())};
  EXPECT_EQ(wire.command("PING").as<std::string>(), "PONG");
}

TEST(ConnectionTcpTest, UnknownNameIsUnreachableInTheResolversWords) {
  EXPECT_THAT(refusal<Unreachable>(Options::from_url("redis://no-such-host.invalid")),
              AllOf(HasSubstr("cannot connect to redis://no-such-host.invalid:6379"),
                    Not(HasSubstr("Success"))));
}

TEST_F(ConnectionTest, ReadsAndWritesAsInTheFirstExample) {
  Connection wire{server_.url()};
  EXPECT_EQ(wire.command("SET", "k", "v", "PX", 1500).as<std::string>(), "OK");
  EXPECT_EQ(wire.command("GET", "k").as<std::string>(), "v");
  EXPECT_EQ(wire.command("GET", "absent").as<std::optional<long long>>(), std::nullopt);
}

TEST_F(ConnectionTest, MovedConnectionGoesOn) {
  Connection first{server_.url()};
  first.command("CLIENT", "SETNAME", "moved");
  Connection second{std::move(first)};
  EXPECT_EQ(second.command("CLIENT", "GETNAME").as<std::string>(), "moved");
  second = Connection{server_.url()};
  EXPECT_EQ(second.command("CLIENT", "GETNAME").as<std::optional<std::string>>().value_or(""), "");
}

TEST_F(ConnectionTest, MovedFromConnectionIsNotUsable) {
  Connection first{server_.url()};
  Connection const second{std::move(first)};
  EXPECT_FALSE(first.usable());  // NOLINT(bugprone-use-after-move): the one question it answers
  EXPECT_TRUE(second.usable());
}

TEST_F(ConnectionTest, ClosesWhenDestroyed) {
  Connection watcher{server_.url()};
  auto const connected = [&] {
    auto const text = watcher.command("INFO", "clients").as<std::string>();
    return std::stoi(text.substr(text.find("connected_clients:") + 18));
  };
  {
    Connection const wire{server_.url()};
    EXPECT_EQ(connected(), 2);
  }
  EXPECT_TRUE(support::eventually([&] { return connected() == 1; }));
}

TEST_F(ConnectionTest, BadOptionsAreRefusedBeforeAnyIo) {
  EXPECT_THROW(Connection{"redis://localhost:0"}, std::invalid_argument);
  EXPECT_THROW(Connection{options_for(server_.url(), [](Options& o) { o.command_timeout = 0ms; })},
               std::invalid_argument);
}

TEST(ConnectionAbsenceTest, NobodyListeningIsUnreachableAtOnce) {
  auto const port = support::listen_on_tcp().second;  // free again when the socket has gone
  EXPECT_LT(time_of([&] {
              EXPECT_THAT(refusal<Unreachable>(
                              Options::from_url("redis://127.0.0.1:" + std::to_string(port))),
                          HasSubstr("Connection refused"));
            }),
            stall);
  EXPECT_THAT(
      refusal<Unreachable>(Options::from_url("unix:///no/such/redis.sock")),
      AllOf(HasSubstr("unix:///no/such/redis.sock"), HasSubstr("No such file or directory")));
}

// ---- Introducing itself ----

TEST(ConnectionHandshakeTest, PasswordOfTheDefaultUser) {
  RedisServer const server{{.arguments = {"--requirepass", "p@ss word"}}};
  auto const with = [&](std::string password, int protocol) {
    return options_for(server.url(), [&](Options& o) {
      o.password = std::move(password);
      o.protocol = protocol;
    });
  };
  for (int const protocol : {2, 3}) {
    Connection wire{with("p@ss word", protocol)};
    EXPECT_EQ(wire.command("PING").as<std::string>(), "PONG");
    EXPECT_EQ(wire.protocol(), protocol);
    EXPECT_EQ(code_of([&] { Connection{with("hunter2", protocol)}; }), "WRONGPASS");
    EXPECT_THAT(refusal<ServerError>(with("hunter2", protocol)), Not(HasSubstr("hunter2")));
    EXPECT_EQ(code_of([&] { Connection{with("", protocol)}; }), "NOAUTH");
  }
}

TEST(ConnectionHandshakeTest, UserAndPassword) {
  RedisServer const server{{.arguments = {"--user", "app", "on", ">secret", "~*", "&*", "+@all"}}};
  auto const url = [&](std::string const& credentials) {
    return "unix://" + credentials + "@" + server.socket_path();
  };
  for (auto const* protocol : {"?protocol=2", "?protocol=3"}) {
    Connection wire{url("app:secret") + protocol};
    EXPECT_EQ(wire.command("ACL", "WHOAMI").as<std::string>(), "app");
    EXPECT_EQ(code_of([&] { Connection{url("app:wrong") + protocol}; }), "WRONGPASS");
    EXPECT_EQ(code_of([&] { Connection{url("nobody:secret") + protocol}; }), "WRONGPASS");
  }
}

TEST_F(ConnectionTest, DatabaseIsSelected) {
  for (auto const* protocol : {"2", "3"}) {
    Connection wire{server_.url() + "?db=5&protocol=" + protocol};
    wire.command("SET", std::string{"key"} + protocol, "v");
  }
  Connection wire{server_.url()};
  EXPECT_EQ(wire.command("DBSIZE").as<int>(), 0);
  wire.command("SELECT", 5);
  EXPECT_EQ(wire.command("DBSIZE").as<int>(), 2);
}

TEST_F(ConnectionTest, DatabaseOutOfRangeIsAServerError) {
  for (auto const* protocol : {"2", "3"}) {
    EXPECT_THAT(
        refusal<ServerError>(Options::from_url(server_.url() + "?db=99&protocol=" + protocol)),
        HasSubstr("DB index is out of range"));
  }
}

TEST_F(ConnectionTest, NameIsShownByClientList) {
  for (auto const* protocol : {"2", "3"}) {
    Connection wire{server_.url() + "?name=billing&protocol=" + protocol};
    EXPECT_THAT(wire.command("CLIENT", "LIST").as<std::string>(), HasSubstr("name=billing"));
  }
}

TEST_F(ConnectionTest, SpeaksResp3) {
  Connection wire{server_.url()};
  EXPECT_EQ(wire.protocol(), 3);
  wire.command("HSET", "h", "f", "v");
  EXPECT_EQ(wire.command("HGETALL", "h").kind(), ReplyKind::map);
}

TEST_F(ConnectionTest, SpeaksResp2WhenToldTo) {
  Connection wire{server_.url() + "?protocol=2"};
  EXPECT_EQ(wire.protocol(), 2);
  wire.command("HSET", "h", "f", "v");
  EXPECT_EQ(wire.command("HGETALL", "h").kind(), ReplyKind::array);
}

TEST(ConnectionHandshakeTest, FallsBackToResp2WhereHelloIsUnknown) {
  RedisServer const server{
      {.arguments = {"--rename-command", "HELLO", "", "--requirepass", "secret"}}};
  Connection wire{"unix://:secret@" + server.socket_path() + "?db=3&name=old"};
  EXPECT_EQ(wire.protocol(), 2);
  EXPECT_EQ(wire.command("PING").as<std::string>(), "PONG");
  EXPECT_THAT(wire.command("CLIENT", "LIST").as<std::string>(),
              AllOf(HasSubstr("name=old"), HasSubstr("db=3")));
}

TEST(ConnectionHandshakeTest, FallsBackToResp2WhereHelloIsForbidden) {
  FakeServer const server{[](std::vector<std::string> const& words) {
    return FakeServer::Answer{words.front() == "HELLO"
                                  ? "-NOPERM this user has no permissions to run 'hello'\r\n"
                                  : FakeServer::ok};
  }};
  Connection wire{server.url()};
  EXPECT_EQ(wire.protocol(), 2);
  EXPECT_EQ(wire.command("PING").as<std::string>(), "OK");
}

TEST(ConnectionHandshakeTest, FallsBackToResp2WhereTheServerKnowsNoThirdProtocol) {
  FakeServer const server{"HELLO", "-NOPROTO unsupported protocol version\r\n"};
  EXPECT_EQ(Connection{server.url()}.protocol(), 2);
}

TEST(ConnectionHandshakeTest, UserWithTwoCommandsOnlyCanConnect) {
  RedisServer const server{
      {.arguments = {"--user", "app", "on", ">secret", "~*", "-@all", "+get", "+set"}}};
  for (auto const* protocol : {"2", "3"}) {
    Connection wire{"unix://app:secret@" + server.socket_path() +
                    "?name=narrow&protocol=" + protocol};
    EXPECT_EQ(wire.command("SET", "k", "v").as<std::string>(), "OK");
    EXPECT_EQ(code_of([&] { wire.command("DEL", "k"); }), "NOPERM");
    EXPECT_EQ(wire.command("GET", "k").as<std::string>(), "v");
  }
}

TEST(ConnectionHandshakeTest, ServerThatIsFullSaysSo) {
  RedisServer const server{{.arguments = {"--maxclients", "1"}}};
  Connection const first{server.url()};
  for (int i = 0; i < 50;
       ++i) {  // it says so and hangs up, sometimes before it is spoken to and sometimes after
    for (auto const* protocol : {"2", "3"}) {
      EXPECT_THAT(refusal<Error>(Options::from_url(server.url() + "?protocol=" + protocol)),
                  HasSubstr("max number of clients reached"));
    }
  }
}

// ---- Deadlines ----

TEST(ConnectionDeadlineTest, SilentServerIsUnreachableAtTheConnectDeadline) {
  auto const [listener, port] = support::listen_on_tcp();  // the kernel accepts, nobody answers
  auto const options = options_for("redis://127.0.0.1:" + std::to_string(port),
                                   [](Options& o) { o.connect_timeout = 200ms; });
  auto const took =
      time_of([&] { EXPECT_THAT(refusal<Unreachable>(options), HasSubstr("timeout")); });
  EXPECT_GE(took, 200ms);
  EXPECT_LT(took, 200ms + stall);
}

TEST(ConnectionDeadlineTest, ServerThatAcceptsNothingIsUnreachableAtTheConnectDeadline) {
  auto const [listener, port] = support::listen_on_tcp(0);
  auto const url = "redis://127.0.0.1:" + std::to_string(port) + "?connect_timeout=100ms";
  // One connection fits the queue of a listener that accepts nothing; the next one's first packet
  // is dropped.
  for (int i = 0; i < 3; ++i) {
    auto const took =
        time_of([&] { EXPECT_NE(refusal<Unreachable>(Options::from_url(url)), "connected"); });
    EXPECT_GE(took, 100ms);
    EXPECT_LT(took, 100ms + stall);
  }
}

TEST_F(ConnectionTest, UnansweredCommandIsInDoubtAtTheDeadline) {
  Connection wire{server_.url() + "?command_timeout=200ms"};
  server_.pause();
  auto const took = time_of([&] {
    try {
      wire.command("INCR", "n");
      FAIL() << "a paused server answered";
    } catch (InDoubt const& fault) {
      EXPECT_THAT(fault.what(), AllOf(HasSubstr(server_.url()), HasSubstr("timeout")));
    }
  });
  EXPECT_GE(took, 200ms);
  EXPECT_LT(took, 200ms + stall);
}

TEST_F(ConnectionTest, RequestThatThePausedServerDoesNotTakeInIsUnreachable) {
  Connection wire{server_.url() + "?command_timeout=200ms"};
  server_.pause();
  std::string const large(16 << 20,
                          'x');  // more than any socket buffers: it never arrives as a whole
  EXPECT_THROW(wire.command("SET", "k", large), Unreachable);
  EXPECT_FALSE(wire.usable());
}

TEST(ConnectionDeadlineTest, TrickledReplyDoesNotMoveTheDeadline) {
  RedisServer const server;
  FaultProxy proxy{server};
  Connection wire{proxy.url() + "?command_timeout=300ms"};
  proxy.trickle(1);
  std::string const value(100'000, 'x');  // a byte each millisecond: 100 s
  auto const took = time_of([&] { EXPECT_THROW(wire.command("ECHO", value), InDoubt); });
  EXPECT_LT(took, 300ms + stall);
}

TEST(ConnectionDeadlineTest, EndlessReplyDoesNotMoveTheDeadline) {
  FakeServer const server{"GET", "+" + std::string(1 << 20, 'x'), Then::repeat};
  Connection wire{server.url() + "?command_timeout=300ms"};
  auto const took = time_of([&] { EXPECT_THROW(wire.command("GET", "k"), InDoubt); });
  EXPECT_LT(took, 300ms + stall);
}

TEST(ConnectionDeadlineTest, EndlessPushesDoNotMoveTheDeadline) {
  std::string pushes;  // enough to be written faster than they are read
  std::string const push = ">2\r\n+invalidate\r\n*1\r\n+kkkkkkkk\r\n";
  ASSERT_EQ(push.size(), 32U);  // so that no read ends within one
  for (int i = 0; i < 20'000; ++i) pushes += push;
  FakeServer const server{"GET", pushes, Then::repeat};
  Connection wire{server.url() + "?command_timeout=300ms"};
  auto const took = time_of([&] { EXPECT_THROW(wire.command("GET", "k"), InDoubt); });
  EXPECT_LT(took, 300ms + stall);
}

// ---- After a fault ----

TEST_F(ConnectionTest, BrokenConnectionIsFinished) {
  Connection wire{server_.url() + "?command_timeout=100ms"};
  server_.pause();
  EXPECT_THROW(wire.command("INCR", "n"), InDoubt);
  server_.resume();
  EXPECT_FALSE(wire.usable());
  // The late reply is on its way or here already; nothing may meet it.
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(wire.command("ECHO", "text"), Unreachable);
    EXPECT_THROW((void)wire.pipeline().command("PING").execute(), Unreachable);
    EXPECT_THROW(wire.run(Script{"return 1"}, {}), Unreachable);
    EXPECT_THROW(wire.transaction({"k"}, [](Transaction& tx) { tx.queue("PING"); }), Unreachable);
  }
  Connection fresh{server_.url()};
  EXPECT_EQ(fresh.command("ECHO", "text").as<std::string>(), "text");
}

TEST_F(ConnectionTest, KilledServerLeavesACommandInDoubt) {
  Connection wire{server_.url()};
  server_.pause();
  std::thread killer{[&] { server_.kill(); }};
  EXPECT_THROW(wire.command("INCR", "n"), Error);
  killer.join();
  EXPECT_FALSE(wire.usable());
}

TEST_F(ConnectionTest, CommandThatCouldNotBeSentIsUnreachable) {
  Connection wire{server_.url()};
  server_.kill();
  EXPECT_THROW(wire.command("INCR", "n"),
               Unreachable);  // a Unix socket knows at once that its other end is gone
  EXPECT_FALSE(wire.usable());
}

TEST(ConnectionFaultTest, CutBeforeInAndAfterTheRequestIsInDoubt) {
  RedisServer const server;
  FaultProxy proxy{server};
  using Fault = FaultProxy::Fault;
  for (auto const fault : {Fault::cut_before_request, Fault::cut_in_request,
                           Fault::cut_after_request, Fault::cut_in_reply}) {
    Connection wire{proxy.url()};
    proxy.next("INCR", fault);
    EXPECT_THROW(wire.command("INCR", "n"), InDoubt);
    EXPECT_FALSE(wire.usable());
  }
  EXPECT_EQ(Connection{server.url()}.command("GET", "n").as<int>(),
            2);  // the first two did not arrive
}

TEST(ConnectionFaultTest, ServerErrorLeavesTheConnectionUsable) {
  RedisServer const server;
  Connection wire{server.url()};
  wire.command("SET", "text", "x");
  EXPECT_EQ(code_of([&] { wire.command("INCR", "text"); }), "ERR");
  EXPECT_EQ(code_of([&] { wire.command("LPUSH", "text", 1); }), "WRONGTYPE");
  EXPECT_TRUE(wire.usable());
  EXPECT_EQ(wire.command("GET", "text").as<std::string>(), "x");
}

// ---- Replies of every form ----

TEST_F(ConnectionTest, ValuesAreBytesOfAnyLength) {
  Connection wire{server_.url() + "?command_timeout=20s"};
  for (auto const& value : {std::string{}, std::string{"\0", 1},
                            std::string{"a\r\n\0$1\r\n\xff", 9}, std::string(16 << 20, '\0')}) {
    wire.command("SET", value.substr(0, 100), value);
    EXPECT_EQ(wire.command("GET", value.substr(0, 100)).as<std::string>(), value) << value.size();
  }
}

TEST(ConnectionFaultTest, ReplyThatComesByteByByteIsWhole) {
  RedisServer const server;
  FaultProxy proxy{server};
  proxy.trickle(1);
  Connection wire{proxy.url() + "?connect_timeout=20s&command_timeout=20s"};
  wire.command("HSET", "h", "f1", "v1", "f2", "v2");
  EXPECT_EQ(
      (wire.command("HGETALL", "h").as<std::vector<std::pair<std::string, std::string>>>().size()),
      2U);
}

TEST_F(ConnectionTest, PushesAreNeverTakenForReplies) {
  Connection tracking{server_.url()};
  Connection writer{server_.url()};
  tracking.command("CLIENT", "TRACKING", "ON", "BCAST", "NOLOOP");
  std::thread other{[&] {
    for (int i = 0; i < 2000; ++i) writer.command("SET", "key", i);
  }};
  for (int i = 0; i < 2000; ++i) {
    auto const text = std::to_string(i);
    ASSERT_EQ(tracking.command("ECHO", text).as<std::string>(), text);
  }
  other.join();
  EXPECT_EQ(tracking.command("GET", "key").as<int>(), 1999);
}

TEST_F(ConnectionTest, InvalidationOfItsOwnWriteIsNoReply) {
  Connection wire{server_.url()};
  wire.command("CLIENT", "TRACKING", "ON");
  for (int i = 0; i < 10; ++i) {
    wire.command("GET", "key");
    EXPECT_EQ(wire.command("SET", "key", i).as<std::string>(), "OK");
    auto const replies =
        wire.pipeline().command("GET", "key").command("INCR", "key").command("PING").execute();
    EXPECT_EQ(replies[1].as<int>(), i + 1);
    EXPECT_EQ(replies[2].as<std::string>(), "PONG");
  }
}

// ---- A server that misbehaves ----

struct Lie {
  std::string name;
  std::string bytes;
  friend std::ostream& operator<<(std::ostream& out, Lie const& lie) { return out << lie.name; }
};

class ConnectionToLiarTest : public ::testing::TestWithParam<Lie> {};

TEST_P(ConnectionToLiarTest, IsInDoubtAndFinished) {
  FakeServer const server{"GET", GetParam().bytes, Then::close};
  Connection wire{server.url()};
  EXPECT_THROW(wire.command("GET", "k"), InDoubt);
  EXPECT_FALSE(wire.usable());
  EXPECT_THROW(wire.command("PING"), Unreachable);
}

std::string nested(int depth, std::string const& inside) {
  std::string out;
  for (int i = 0; i < depth; ++i) out += "*1\r\n";
  return out + inside;
}

INSTANTIATE_TEST_SUITE_P(
    All, ConnectionToLiarTest,
    ::testing::Values(Lie{"SaysNothing", ""},                                    //
                      Lie{"StopsInABulkString", "$5\r\nhel"},                    //
                      Lie{"StopsInAnArray", "*3\r\n:1\r\n:2\r\n"},               //
                      Lie{"StopsInALength", "$1"},                               //
                      Lie{"SpeaksHttp", "HTTP/1.1 400 Bad Request\r\n\r\n"},     //
                      Lie{"SaysGarbage", std::string{"\0\xff\x01garbage", 10}},  //
                      Lie{"GivesANegativeLength", "$-7\r\n"},                    //
                      Lie{"GivesANegativeCount", "*-7\r\n"},                     //
                      Lie{"GivesALengthThatIsNoNumber", "$1x\r\na\r\n"},         //
                      Lie{"PromisesMoreThanItHas", "$536870912\r\nabc"},         //
                      Lie{"PromisesMoreThanAnyMemory", "$9223372036854775807\r\nabc"},
                      Lie{"PromisesALengthOfTwentyDigits", "$99999999999999999999\r\n"},
                      Lie{"PromisesFourBillionElements", "*4294967295\r\n:1\r\n"},
                      Lie{"PromisesMoreElementsThanAnyMemory", "*9223372036854775807\r\n"},
                      Lie{"PromisesAMapOfMoreThanAnyMemory", "%4611686018427387904\r\n"},
                      Lie{"NestsTenThousandDeep", nested(10'000, ":1\r\n")},
                      Lie{"NestsAMillionDeep", nested(1'000'000, ":1\r\n")},
                      Lie{"NestsWithoutEnd", nested(1'000'000, "")},
                      Lie{"SendsAnAttribute", "|1\r\n+a\r\n+b\r\n+OK\r\n"}),
    [](auto const& param) { return param.param.name; });

TEST(ConnectionFaultTest, AnswerThatNobodyAskedForIsNoAnswer) {
  FakeServer const server{"GET", "+first\r\n+unasked\r\n"};
  Connection wire{server.url()};
  EXPECT_EQ(wire.command("GET", "k").as<std::string>(), "first");
  EXPECT_THROW(wire.command("GET", "k"),
               Unreachable);  // not sent at all: whatever comes next answers something else
  EXPECT_FALSE(wire.usable());
}

TEST(ConnectionFaultTest, BeginningOfAnAnswerThatNobodyAskedForSwallowsNoAnswer) {
  for (auto const* beginning : {"*2\r\n", "$10\r\n", "$", "*2\r\n:1\r\n"}) {
    FakeServer const server{"GET", "+first\r\n" + std::string{beginning}};
    Connection wire{server.url() + "?command_timeout=20s"};
    EXPECT_EQ(wire.command("GET", "k").as<std::string>(), "first");
    EXPECT_THROW(wire.command("PING"), Unreachable) << beginning;
  }
}

TEST(ConnectionFaultTest, BeginningOfAPushIsNoAnswer) {
  FakeServer const server{
      [said = 0](std::vector<std::string> const& words) mutable -> FakeServer::Answer {
        if (words.front() != "GET") return {FakeServer::ok};
        return {++said == 1 ? "+first\r\n>2\r\n+inval" : "idate\r\n*1\r\n+k\r\n+second\r\n"};
      }};
  Connection wire{server.url()};
  EXPECT_EQ(wire.command("GET", "k").as<std::string>(), "first");
  EXPECT_EQ(wire.command("GET", "k").as<std::string>(), "second");
}

TEST(ConnectionFaultTest, ArrayOfMoreElementsThanAnyServerHasIsNotWaitedFor) {
  for (auto const* array : {"*1000000000\r\n", "%1000000000\r\n", "~1000000000\r\n"}) {
    FakeServer const server{"GET", array};
    Connection wire{server.url() + "?command_timeout=60s"};
    try {
      wire.command("GET", "k");
      FAIL() << array;
    } catch (InDoubt const& fault) {
      EXPECT_THAT(fault.what(), HasSubstr("too large for the memory"));
    }
  }
}

TEST(ConnectionFaultTest, LengthThatIsTooShortDoesNotSpoilTheNextAnswer) {
  FakeServer const server{"GET", "$3\r\nabcdef\r\n"};
  Connection wire{server.url()};
  (void)wire.command("GET", "k");
  EXPECT_THROW(wire.command("GET", "k"), Unreachable);
}

TEST(ConnectionFaultTest, DeepNestingOfSaneSizeIsRead) {
  FakeServer const server{"GET", nested(500, ":7\r\n")};
  Connection wire{server.url()};
  auto const reply = wire.command("GET", "k");
  ReplyView inner = reply;
  for (int i = 0; i < 500; ++i) inner = inner[0];
  EXPECT_EQ(inner.as<int>(), 7);
}

TEST(ConnectionFaultTest, DeepNestingFitsTheStackOfASmallThread) {
  FakeServer const server{"GET", nested(1'000'000, ":1\r\n"), Then::close};
  Connection wire{server.url()};
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, 256 * 1024);
  pthread_t thread{};
  auto const body = [](void* raw) -> void* {
    EXPECT_THROW(static_cast<Connection*>(raw)->command("GET", "k"), InDoubt);
    return nullptr;
  };
  ASSERT_EQ(::pthread_create(&thread, &attributes, body, &wire), 0);
  ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
}

TEST(ConnectionFaultTest, HandshakeWithALiarIsUnreachable) {
  for (auto const* bytes : {"HTTP/1.1 400 Bad Request\r\n\r\n", "$5\r\nhe", "*4294967295\r\n"}) {
    FakeServer const server{"HELLO", bytes, Then::close};
    EXPECT_NE(refusal<Unreachable>(Options::from_url(server.url())), "connected") << bytes;
  }
}

TEST(ConnectionFaultTest, ServerThatRefusesToBeTalkedToIsAServerError) {
  FakeServer const server{"HELLO", "-DENIED Redis is running in protected mode\r\n", Then::close};
  EXPECT_THAT(refusal<ServerError>(Options::from_url(server.url())), HasSubstr("protected mode"));
}

// ---- Signals ----

TEST_F(ConnectionTest, StormOfSignalsChangesNothing) {
  struct sigaction before {};
  struct sigaction counted {};
  counted.sa_handler = [](int) {};
  counted.sa_flags = 0;  // no SA_RESTART: every system call returns EINTR
  ::sigaction(SIGALRM, &counted, &before);
  itimerval const storm{{0, 1000}, {0, 1000}};
  ::setitimer(ITIMER_REAL, &storm, nullptr);
  {
    Connection wire{server_.url() + "?connect_timeout=20s&command_timeout=20s"};
    std::string const value(1 << 20, 'x');
    for (int i = 0; i < 50; ++i) {
      wire.command("SET", "k", value);
      EXPECT_EQ(wire.command("GET", "k").as<std::string>().size(), value.size());
    }
    EXPECT_EQ(wire.command("BLPOP", "nothing", 0.1).kind(),
              ReplyKind::nil);  // waits while it is interrupted
    Connection impatient{server_.url() + "?connect_timeout=20s&command_timeout=100ms"};
    auto const took =
        time_of([&] { EXPECT_THROW(impatient.command("BLPOP", "nothing", 0), InDoubt); });
    EXPECT_GE(took, 100ms);
    EXPECT_LT(took, 100ms + stall);
  }
  itimerval const calm{};
  ::setitimer(ITIMER_REAL, &calm, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
}

}  // namespace
}  // namespace tandem
