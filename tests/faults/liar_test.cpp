// A server that sends garbage, lies about lengths, nests without end or never ends, under sixteen
// threads that share one line: each is told in time, nobody gets another's reply, and memory is
// bounded.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <malloc.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

#include "core/hiredis.hpp"
#include "support/fake_server.hpp"
#include "support/mangling_proxy.hpp"
#include "support/patience.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::FakeServer;
using support::ManglingProxy;
using support::on_threads;
using support::stall;
using support::time_of;
using testing::RedisServer;
using Then = FakeServer::Then;

constexpr int many = 16;

// ---- What hiredis allocates: all that a server says goes through it ----

std::atomic<long long> bytes_alive = 0;
std::atomic<long long> most_bytes = 0;

void* counted(void* memory) {
  auto const now = bytes_alive += static_cast<long long>(::malloc_usable_size(memory));
  for (auto most = most_bytes.load(); now > most && !most_bytes.compare_exchange_weak(most, now);) {
  }
  return memory;
}

void count_memory() {
  hiredisAllocFuncs functions{
      [](std::size_t size) { return counted(std::malloc(size)); },
      [](std::size_t count, std::size_t size) { return counted(std::calloc(count, size)); },
      [](void* memory, std::size_t size) {
        bytes_alive -= static_cast<long long>(::malloc_usable_size(memory));
        return counted(std::realloc(memory, size));
      },
      [](char const* text) { return static_cast<char*>(counted(::strdup(text))); },
      [](void* memory) {
        bytes_alive -= static_cast<long long>(::malloc_usable_size(memory));
        std::free(memory);
      }};
  hiredisSetAllocators(&functions);
  most_bytes = bytes_alive.load();
}

// ---- Lies ----

struct Lie {
  std::string name;
  std::string bytes;
  friend std::ostream& operator<<(std::ostream& out, Lie const& lie) { return out << lie.name; }
};

std::string nested(int depth, std::string const& inside) {
  std::string out;
  for (int i = 0; i < depth; ++i) out += "*1\r\n";
  return out + inside;
}

class LiarTest : public ::testing::TestWithParam<Lie> {
 protected:
  /// Tells the truth about ECHO, and lies about GET.
  FakeServer server_{[](std::vector<std::string> const& words) -> FakeServer::Answer {
    if (words.front() == "GET") return {GetParam().bytes, Then::close};
    if (words.front() != "ECHO") return {FakeServer::ok};
    return {"$" + std::to_string(words[1].size()) + "\r\n" + words[1] + "\r\n"};
  }};
};

TEST_P(LiarTest, IsFoundOutByAllThreadsOfALine) {
  count_memory();
  auto const before = bytes_alive.load();
  {
    Client redis{server_.url() + "?command_timeout=20s&connect_timeout=20s"};
    on_threads(many, [&](int thread) {
      for (int i = 0; i < 10; ++i) {
        auto const tag = std::to_string(thread) + ":" + std::to_string(i);
        try {
          EXPECT_EQ(redis.command("ECHO", tag).as<std::string>(), tag);
        } catch (InDoubt const&) {  // sent with another's lie
        } catch (Unreachable const&) {
        }
        if (i % 3 != thread % 3) continue;
        EXPECT_THROW(redis.command("GET", tag), InDoubt);
      }
    });
  }
  EXPECT_EQ(bytes_alive, before) << "left behind";
  EXPECT_LT(most_bytes, 64LL << 20);
}

INSTANTIATE_TEST_SUITE_P(
    All, LiarTest,
    ::testing::Values(Lie{"SaysNothing", ""},                                    //
                      Lie{"StopsInABulkString", "$50\r\nhel"},                   //
                      Lie{"StopsInAnArray", "*3\r\n:1\r\n:2\r\n"},               //
                      Lie{"SpeaksHttp", "HTTP/1.1 400 Bad Request\r\n\r\n"},     //
                      Lie{"SaysGarbage", std::string{"\0\xff\x01garbage", 10}},  //
                      Lie{"GivesANegativeLength", "$-7\r\n"},                    //
                      Lie{"GivesALengthThatIsNoNumber", "$1x\r\na\r\n"},         //
                      Lie{"PromisesMoreThanItHas", "$536870912\r\nabc"},         //
                      Lie{"PromisesMoreThanAnyMemory", "$9223372036854775807\r\nabc"},
                      Lie{"PromisesFourBillionElements", "*4294967295\r\n:1\r\n"},
                      Lie{"PromisesAMapOfMoreThanAnyMemory", "%4611686018427387904\r\n"},
                      Lie{"NestsTenThousandDeep", nested(10'000, ":1\r\n")},
                      Lie{"NestsWithoutEnd", nested(100'000, "")}),
    [](auto const& param) { return param.param.name; });

TEST(LineOfALiarTest, BeginningOfAnAnswerThatNobodyAskedForSwallowsNoAnswer) {
  for (auto const* beginning : {"*2\r\n", "$10\r\n", "$", "*2\r\n:1\r\n"}) {
    FakeServer const server{"GET", "+first\r\n" + std::string{beginning}};
    Client redis{server.url() + "?command_timeout=20s"};
    for (int i = 1; i <= 3; ++i) {
      EXPECT_EQ(redis.command("GET", "k").as<std::string>(), "first") << beginning;
      EXPECT_EQ(redis.command("PING").as<std::string>(), "OK") << beginning;
      EXPECT_EQ(server.connections(), i + 1) << beginning;
    }
  }
}

TEST(LineOfALiarTest, BeginningOfAPushIsNoAnswerAndNoFault) {
  FakeServer const server{
      [said = 0](std::vector<std::string> const& words) mutable -> FakeServer::Answer {
        if (words.front() != "GET") return {FakeServer::ok};
        return {++said == 1 ? "+first\r\n>2\r\n+inval" : "idate\r\n*1\r\n+k\r\n+second\r\n"};
      }};
  Client redis{server.url() + "?command_timeout=20s"};
  EXPECT_EQ(redis.command("GET", "k").as<std::string>(), "first");
  EXPECT_EQ(redis.command("GET", "k").as<std::string>(), "second");
  EXPECT_EQ(server.connections(), 1);
}

// ---- Never an end ----

struct Endless {
  std::string name;
  std::string begin;
  std::string again;
  friend std::ostream& operator<<(std::ostream& out, Endless const& it) { return out << it.name; }
};

class EndlessTest : public ::testing::TestWithParam<Endless> {};

TEST_P(EndlessTest, CallsEndInTimeAndMemoryIsBounded) {
  count_memory();
  auto const before = bytes_alive.load();
  {
    FakeServer const server{[](std::vector<std::string> const& words) -> FakeServer::Answer {
      if (words.front() == "GET") return {GetParam().begin, Then::repeat, GetParam().again};
      return {FakeServer::ok};
    }};
    Client redis{server.url() + "?command_timeout=100ms&connect_timeout=100ms"};
    // What is promised is waited for, and kept, for one timeout at most: further calls must not
    // add to it.
    on_threads(many, [&](int) {
      for (int i = 0; i < 6; ++i) {
        auto const took = time_of([&] {
          try {
            (void)redis.command("GET", "k");
          } catch (InDoubt const&) {
          } catch (Unreachable const&) {
          } catch (ServerError const&) {
          }
        });
        EXPECT_LT(took, 100ms + stall);
      }
    });
  }
  EXPECT_EQ(bytes_alive, before) << "left behind";
  RecordProperty("most_bytes", std::to_string(most_bytes));
  EXPECT_LT(most_bytes, 1LL << 30);
}

TEST(EndlessTrickleTest, CallsEndInTimeAndMemoryIsBounded) {
  count_memory();
  auto const before = bytes_alive.load();
  {
    RedisServer const server;
    Connection{server.url()}.command("SET", "k", std::string(8 << 20, 'x'));
    ManglingProxy const proxy{server, [](ManglingProxy::Passing const& passing) {
                                std::vector<std::string> bytes;
                                for (char const each : passing.bytes) bytes.emplace_back(1, each);
                                return bytes;
                              }};
    Client redis{proxy.url() + "?command_timeout=100ms&connect_timeout=20s"};
    on_threads(many, [&](int) {
      for (int i = 0; i < 6; ++i) {
        auto const took = time_of([&] { EXPECT_THROW(redis.command("GET", "k"), Error); });
        EXPECT_LT(took, 100ms + stall);
      }
    });
  }
  EXPECT_EQ(bytes_alive, before) << "left behind";
  EXPECT_LT(most_bytes, 16LL << 20);
}

std::string const filler(1000, 'a');

INSTANTIATE_TEST_SUITE_P(All, EndlessTest,
                         ::testing::Values(Endless{"Answers", "", "+OK\r\n"},                   //
                                           Endless{"Errors", "", "-ERR no\r\n"},                //
                                           Endless{"Pushes", "", ">2\r\n+a\r\n+b\r\n"},         //
                                           Endless{"Line", "+", filler},                        //
                                           Endless{"Length", "$", "1"},                         //
                                           Endless{"Text", "$536870912\r\n", filler},           //
                                           Endless{"Array", "*100000000\r\n", ":1\r\n:2\r\n"},  //
                                           Endless{"Nesting", "", "*2\r\n:1\r\n"}),
                         [](auto const& param) { return param.param.name; });

}  // namespace
}  // namespace tandem
