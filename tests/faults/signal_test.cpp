// Signals: every system call of the library is interrupted all the time, and nothing comes of it.
#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <string_view>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/lock.hpp>
#include <tandem/testing/redis_server.hpp>

#include "core/core.hpp"
#include "support/certificates.hpp"
#include "support/forked.hpp"
#include "support/patience.hpp"
#include "support/signal_storm.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Certificates;
using support::eventually;
using support::in_child;
using support::on_threads;
using support::SignalStorm;
using support::stall;
using support::time_of;
using testing::RedisServer;
using testing::RedisServerTls;

constexpr auto const* patient = "?command_timeout=60s&connect_timeout=60s";

class SignalTest : public ::testing::Test {
 protected:
  SignalStorm::Handled handled_{};
};

/// Goes on until so many signals more were delivered.
template <class Body>
void through(long long signals, Body&& body) {
  auto const enough = SignalStorm::signals() + signals;
  do body();
  while (SignalStorm::signals() < enough);
}

/// A connection is made, and talked over, again and again.
void connect_again_and_again(std::string const& url) {
  SignalStorm const storm;
  std::string const value(1 << 20, 'x');
  through(1000, [&] {
    Client redis{url};
    EXPECT_EQ(redis.command("ECHO", value).as<std::string>(), value);
    EXPECT_TRUE(redis.command("BLPOP", "nothing", 0.02).is_nil());  // it waits while interrupted
    EXPECT_EQ(
        redis.transaction({"k"}, [](Transaction& tx) { return tx.read("ECHO", 7).as<int>(); }), 7);
  });
}

TEST_F(SignalTest, ConnectingOverAUnixSocketSurvivesAStorm) {
  RedisServer const server;
  connect_again_and_again(server.url() + patient);
}

TEST_F(SignalTest, ConnectingToANameOverTcpSurvivesAStorm) {
  RedisServer const server{{.tcp = true}};
  connect_again_and_again("redis://localhost:" + std::to_string(server.port()) + patient);
}

TEST_F(SignalTest, TlsHandshakeSurvivesAStorm) {
  Certificates const certificates;
  auto const signed_by_it = certificates.sign("server", "DNS:localhost");
  RedisServer const server{{.tls = RedisServerTls{signed_by_it.certificate, signed_by_it.key}}};
  connect_again_and_again("rediss://localhost:" + std::to_string(server.tls_port()) + patient +
                          "&ca=" + certificates.authority());
}

TEST_F(SignalTest, SixteenThreadsThatShareALineSurviveAStormOnEachOfThem) {
  RedisServer const server;
  Client redis{server.url() + patient};
  redis.command("PING");
  on_threads(16, [&](int thread) {
    SignalStorm const storm;
    int i = 0;
    through(500, [&] {
      auto const tag = std::to_string(thread) + ":" + std::to_string(++i);
      ASSERT_EQ(redis.command("ECHO", tag).as<std::string>(), tag);
      redis.command("INCR", thread);
    });
    EXPECT_EQ(redis.command("GET", thread).as<int>(), i);
  });
}

TEST_F(SignalTest, ThreadsThatWaitForTheirTurnToReadWaitThroughAStorm) {
  RedisServer server;
  Client redis{server.url() + patient};
  redis.command("PING");
  for (int round = 0; round < 3; ++round) {
    server.pause();
    std::atomic<int> answered = 0;
    std::thread resumer{[&] {
      auto const enough = SignalStorm::signals() + 500;
      EXPECT_TRUE(eventually([&] { return SignalStorm::signals() >= enough; }));
      EXPECT_EQ(answered, 0);
      server.resume();
    }};
    on_threads(16, [&](int thread) {
      SignalStorm const storm;
      EXPECT_EQ(redis.command("ECHO", thread).as<int>(), thread);
      ++answered;
    });
    resumer.join();
  }
}

TEST_F(SignalTest, DeadlinesHoldInAStorm) {
  RedisServer server;
  Client redis{server.url() + "?command_timeout=200ms&connect_timeout=200ms"};
  redis.command("PING");
  server.pause();
  on_threads(8, [&](int) {
    SignalStorm const storm;
    auto const took = time_of([&] { EXPECT_THROW(redis.command("PING"), InDoubt); });
    EXPECT_GE(took, 200ms);
    EXPECT_LT(took, 200ms + stall);
  });
  on_threads(8, [&](int) {
    SignalStorm const storm;
    auto const took = time_of([&] { EXPECT_THROW(redis.command("PING"), Error); });
    EXPECT_LT(took, 200ms + stall);
  });
}

TEST_F(SignalTest, LocksAreHandedOnThroughAStorm) {
  RedisServer const server;
  Client redis{server.url() + patient};
  Lock const lock{redis, "orders"};
  int inside = 0;
  on_threads(8, [&](int) {
    SignalStorm const storm;
    through(200, [&] {
      auto hold = lock.acquire();
      EXPECT_EQ(++inside, 1);
      --inside;
      EXPECT_EQ(hold.release(), Release::released);
    });
  });
}

// ---- SIGPIPE ----

/// What becomes of sixteen threads of a child, with the default disposition of SIGPIPE, whose line
/// is cut again and again.
std::string talk_over_a_line_that_is_cut(RedisServer const& server, std::string const& url) {
  return in_child([&]() -> std::string {
    ::signal(SIGPIPE, SIG_DFL);
    Connection killer{server.url()};
    Client redis{url};
    redis.command("PING");
    std::atomic<bool> over = false;
    std::atomic<int> answered = 0;
    std::thread cutter{[&] {
      for (int i = 0; i < 50; ++i) {
        auto const before = answered.load();
        if (!eventually([&] { return answered > before; })) break;
        killer.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      }
      over = true;
    }};
    std::string const value(200'000,
                            'x');  // more than a socket takes: it is cut while it is written
    on_threads(16, [&](int) {
      while (!over) {
        try {
          redis.command("SET", "k", value);
          ++answered;
        } catch (Error const&) {
          // Cut; only a signal would be wrong.
        }
      }
    });
    cutter.join();
    return "alive";
  });
}

TEST_F(SignalTest, ThreadsWhoseLineIsCutWhileTheyWriteGetNoSignal) {
  RedisServer const server;
  EXPECT_EQ(talk_over_a_line_that_is_cut(server, server.url() + patient), "alive");
}

TEST_F(SignalTest, ThreadsWhoseTlsLineIsCutWhileTheyWriteGetNoSignal) {
  Certificates const certificates;
  auto const signed_by_it = certificates.sign("server", "DNS:localhost");
  RedisServer const server{{.tls = RedisServerTls{signed_by_it.certificate, signed_by_it.key}}};
  EXPECT_EQ(talk_over_a_line_that_is_cut(
                server, "rediss://localhost:" + std::to_string(server.tls_port()) + patient +
                            "&ca=" + certificates.authority()),
            "alive");
}

}  // namespace
}  // namespace tandem
