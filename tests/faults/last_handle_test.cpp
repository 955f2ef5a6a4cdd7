// The last handles go away while others' calls are in flight, on any thread, also on the client's
// own.
#include <atomic>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/counter.hpp>
#include <tandem/lock.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/open_descriptors.hpp"
#include "support/patience.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::on_threads;
using support::open_sockets;
using testing::RedisServer;

constexpr auto const* patient = "?command_timeout=60s&connect_timeout=60s";
constexpr int ten = 10;

class LastHandleTest : public ::testing::Test {
 protected:
  [[nodiscard]] Options options() const {
    auto out = Options::from_url(server_.url() + patient);
    out.on_error = [](Error const&) {};  // what is lost is lost on purpose
    return out;
  }

  RedisServer server_{};
  Connection own_{server_.url() + patient};
};

/// One handle for each of ten threads, and no other.
std::vector<std::optional<Client>> handles_of(Options const& options) {
  Client const redis{options};
  return {ten, redis};
}

TEST_F(LastHandleTest, TenThreadsThatLetGoInMidCallLoseNothing) {
  auto const before = open_sockets();
  for (int round = 0; round < 100; ++round) {
    auto handles = handles_of(options());
    on_threads(ten, [&](int thread) {
      auto& mine = handles[static_cast<std::size_t>(thread)];
      for (int i = 0; i <= thread % 3; ++i) {
        ASSERT_EQ(mine->command("ECHO", thread).as<int>(), thread);
        mine->command("INCR", "n");
      }
      if (thread % 5 == 0) mine->transaction({}, [](Transaction& tx) { tx.queue("INCR", "t"); });
      mine.reset();
    });
  }
  EXPECT_EQ(own_.command("GET", "n").as<int>(), 100 * (4 * 1 + 3 * 2 + 3 * 3));
  EXPECT_EQ(own_.command("GET", "t").as<int>(), 100 * 2);
  EXPECT_EQ(open_sockets(), before);
}

TEST_F(LastHandleTest, TenThreadsLetGoWithTheEventThreadRunning) {
  for (int round = 0; round < 30; ++round) {
    auto handles = handles_of(options());
    on_threads(ten, [&](int thread) {
      auto& mine = handles[static_cast<std::size_t>(thread)];
      auto const name = "lock " + std::to_string(thread % 4);
      {
        auto hold = Lock{*mine, name}.acquire();
        EXPECT_TRUE(hold.held());
        Counter{*mine, "n"}.add(1);
        mine.reset();
      }  // a hold is a handle too
    });
  }
  EXPECT_EQ(own_.command("GET", "n").as<int>(), 30 * ten);
}

TEST_F(LastHandleTest, TenThreadsLetGoWhileTheirConnectionsAreCut) {
  for (int round = 0; round < 30; ++round) {
    auto handles = handles_of(options());
    std::thread cutter{[&] { own_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"); }};
    on_threads(ten, [&](int thread) {
      auto& mine = handles[static_cast<std::size_t>(thread)];
      for (int i = 0; i < 3; ++i) {
        try {
          EXPECT_EQ(mine->command("ECHO", thread).as<int>(), thread);
        } catch (Error const&) {
          // Cut: told so is all that is asked for.
        }
      }
      mine.reset();
    });
    cutter.join();
  }
}

TEST_F(LastHandleTest, ThreadsThatGiveUpOnASilentServerLetGoAndTheLateRepliesHarmNobody) {
  auto const before = open_sockets();
  for (int round = 0; round < 3; ++round) {
    auto impatient = options();
    impatient.command_timeout = 50ms;
    auto handles = handles_of(impatient);
    try {
      (void)handles[0]->command("PING");
    } catch (Error const&) {  // a stalled machine
    }
    server_.pause();
    on_threads(ten, [&](int thread) {
      auto& mine = handles[static_cast<std::size_t>(thread)];
      EXPECT_THROW(mine->command("PING"), Error);
      mine.reset();
    });
    server_.resume();
  }
  EXPECT_EQ(open_sockets(), before);
}

TEST_F(LastHandleTest, EventThreadMayLetGoInACallbackWhileTenThreadsDoInMidCall) {
  auto const before = open_sockets();
  for (int round = 0; round < 20; ++round) {
    auto handles = handles_of(options());
    auto hold = std::make_optional(
        Lock{*handles[0], std::to_string(round), {.lease = 30ms, .renew = false}}.acquire());
    auto const stop = hold->stop_token();
    std::atomic<bool> gone = false;
    std::stop_callback const lost{stop, [&] {
                                    hold.reset();  // a handle too: the last one in some rounds
                                    gone = true;
                                  }};
    on_threads(ten, [&](int thread) {
      auto& mine = handles[static_cast<std::size_t>(thread)];
      bool const early = round % 3 == 0;  // else its calls go on until the event thread lets go
      for (int i = 0; early ? i < 3 : !gone; ++i) {
        ASSERT_EQ(mine->command("ECHO", i).as<int>(), i);
      }
      mine.reset();
    });
    EXPECT_TRUE(eventually([&] { return gone.load(); }));
  }
  EXPECT_TRUE(eventually([&] { return open_sockets() == before; }));
}

}  // namespace
}  // namespace tandem
