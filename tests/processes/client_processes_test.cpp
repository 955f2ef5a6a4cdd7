#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/certificates.hpp"
#include "support/fake_server.hpp"
#include "support/forked.hpp"
#include "support/open_descriptors.hpp"
#include "support/patience.hpp"
#include "support/sanitized.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Certificates;
using support::eventually;
using support::Forked;
using support::in_child;
using support::open_sockets;
using support::text_of;
using testing::RedisServer;
using testing::RedisServerTls;

/// What `program` writes.
std::string output_of(char const* program) {
  auto* const pipe = ::popen(program, "re");  // NOLINT(cert-env33-c)
  std::string out;
  char buffer[4096];
  while (auto const size = std::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, size);
  ::pclose(pipe);
  return out;
}

std::string const pong = "PONG";

std::string ping(Conversation& speaker) { return speaker.command("PING").as<std::string>(); }

class ClientProcessesTest : public ::testing::Test {
 protected:
  RedisServer server_{};
};

// ---- fork: a client ----

TEST_F(ClientProcessesTest, ParentAndChildBothGoOn) {
  Client redis{server_.url()};
  auto const id = redis.command("CLIENT", "ID").as<int>();
  auto const childs = in_child([&] {
    redis.command("INCR", "n");
    return redis.command("CLIENT", "ID").as<std::string>();
  });
  EXPECT_EQ(redis.command("CLIENT", "ID").as<int>(), id);
  EXPECT_EQ(redis.command("INCR", "n").as<int>(), 2) << childs;
}

TEST_F(ClientProcessesTest, ChildHasAConnectionOfItsOwn) {
  Client redis{server_.url()};
  auto const id = redis.command("CLIENT", "ID").as<int>();
  auto const childs =
      in_child([&] { return std::to_string(redis.command("CLIENT", "ID").as<int>()); });
  EXPECT_GT(std::stoi(childs), id);
}

TEST_F(ClientProcessesTest, ChildOfAnUnusedClientConnects) {
  Client redis{server_.url()};
  EXPECT_EQ(in_child([&] { return ping(redis); }), pong);
  EXPECT_EQ(ping(redis), pong);
}

TEST_F(ClientProcessesTest, GrandchildGoesOnToo) {
  Client redis{server_.url()};
  ping(redis);
  EXPECT_EQ(in_child([&] {
              auto const before = ping(redis);
              auto const below = in_child([&] { return ping(redis); });
              return before + below + ping(redis);
            }),
            pong + pong + pong);
  EXPECT_EQ(ping(redis), pong);
}

TEST_F(ClientProcessesTest, NoSocketOfTheParentIsOpenInTheChild) {
  auto const before = open_sockets();
  Client redis{server_.url()};
  Connection wire{server_.url()};
  ping(redis);
  ASSERT_GT(open_sockets().size(), before.size());
  EXPECT_EQ(in_child([] { return text_of(open_sockets()); }), text_of(before));
  EXPECT_EQ(ping(redis), pong);
  EXPECT_EQ(ping(wire), pong);
}

TEST_F(ClientProcessesTest, NoSocketThatIsOnlyJustConnectingIsOpenInTheChild) {
  auto const [listener, port] =
      support::listen_on_tcp(0);  // it never accepts: the second connection hangs
  auto const url = "redis://127.0.0.1:" + std::to_string(port) + "?connect_timeout=1s";
  auto const baseline = open_sockets();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { EXPECT_THROW((Client{url}.command("PING")), Unreachable); });
  }
  ASSERT_TRUE(
      eventually([&] { return open_sockets().size() == baseline.size() + threads.size(); }));
  EXPECT_EQ(in_child([] { return text_of(open_sockets()); }), text_of(baseline));
  for (auto& thread : threads) thread.join();
}

TEST_F(ClientProcessesTest, ChildDoesNotWaitForTheConnectionsOfItsParent) {
  auto options = Options::from_url(server_.url() + "?command_timeout=20s");
  options.max_connections = 1;
  Client redis{options};
  redis.transaction({}, [&](Transaction&) {  // has the one connection while it runs
    EXPECT_EQ(in_child([&] { return ping(redis); }), pong);
  });
  EXPECT_EQ(ping(redis), pong);
}

TEST_F(ClientProcessesTest, DestroyingItInTheChildHarmsNothing) {
  auto redis = std::make_unique<Client>(server_.url());
  auto const id = redis->command("CLIENT", "ID").as<int>();
  EXPECT_EQ(in_child([&] {
              redis.reset();
              return std::string{"destroyed"};
            }),
            "destroyed");
  EXPECT_EQ(redis->command("CLIENT", "ID").as<int>(), id);
}

TEST_F(ClientProcessesTest, DestroyingItInTheChildAfterUseHarmsNothing) {
  auto redis = std::make_unique<Client>(server_.url());
  auto const id = redis->command("CLIENT", "ID").as<int>();
  EXPECT_EQ(in_child([&] {
              auto answer = ping(*redis);
              redis.reset();
              return answer;
            }),
            pong);
  EXPECT_EQ(redis->command("CLIENT", "ID").as<int>(), id);
}

TEST_F(ClientProcessesTest, ForkInsideATransactionBeginsItAgainInTheChild) {
  Client redis{server_.url()};
  std::unique_ptr<Forked> child;
  int begun = 0;
  redis.transaction({"a"}, [&](Transaction& tx) {
    (void)tx.read("GET", "a");
    if (++begun == 1) {
      child = std::make_unique<Forked>([&] {
        redis.transaction({"b"}, [](Transaction& inner) { inner.queue("INCR", "b"); });
        return std::string{"done"};
      });
      EXPECT_EQ(child->told(), "done");
    }
    tx.queue("INCR", "a");
  });
  EXPECT_EQ(redis.command("GET", "a").as<int>(), 1);
  EXPECT_EQ(redis.command("GET", "b").as<int>(), 1);
}

TEST_F(ClientProcessesTest, ForkOfAProgramInTheMiddleOfItsCallsDisturbsNobody) {
  if (support::child_may_find_malloc_locked) GTEST_SKIP() << "the sanitizer's fault";
  Client redis{server_.url() + "?connect_timeout=20s&command_timeout=20s"};
  auto const before = open_sockets();
  std::atomic<bool> over = false;
  std::atomic<int> wrong = 0;
  std::atomic<long long> asked = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !over; ++i) {
        auto const text = std::to_string(t) + ":" + std::to_string(i);
        if (redis.command("ECHO", text).as<std::string>() != text) ++wrong;
        auto const replies =
            redis.pipeline().command("INCR", "asked").command("ECHO", text).execute();
        if (replies[1].as<std::string>() != text) ++wrong;
        ++asked;
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(in_child([&]() -> std::string {
                auto const inherited = open_sockets();
                if (inherited != before) return "inherited\n" + text_of(inherited);
                redis.command("INCR", "children");
                auto const text = "child " + std::to_string(i);
                return redis.command("ECHO", text).as<std::string>();
              }),
              "child " + std::to_string(i));
  }
  over = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(redis.command("GET", "asked").as<long long>(), asked);
  EXPECT_EQ(redis.command("GET", "children").as<int>(), 50);
}

TEST_F(ClientProcessesTest, ClientWithStaticStorageIsDestroyedAtExitWithoutHarm) {
  EXPECT_EQ(in_child([&]() -> std::string {
              static Client const first{server_.url()};
              static Client redis{server_.url()};
              if (ping(redis) != pong) return "no answer";
              std::exit(0);  // NOLINT(concurrency-mt-unsafe)
            }),
            "");
}

// ---- fork: a connection ----

TEST_F(ClientProcessesTest, InheritedConnectionIsUnreachableAndTheParentsGoesOn) {
  Connection wire{server_.url()};
  auto const id = wire.command("CLIENT", "ID").as<int>();
  auto const told = in_child([&]() -> std::string {
    if (wire.usable()) return "usable";
    for (int i = 0; i < 2; ++i) {
      try {
        wire.command("PING");
        return "answered";
      } catch (Unreachable const& fault) {
        if (std::string{fault.what()}.find("belongs to the parent process") == std::string::npos)
          return fault.what();
      }
      try {
        wire.transaction({"k"}, [](Transaction& tx) { tx.queue("INCR", "k"); });
        return "applied";
      } catch (Unreachable const&) {
      }
    }
    return "unreachable";
  });
  EXPECT_EQ(told, "unreachable");
  EXPECT_TRUE(wire.usable());
  EXPECT_EQ(wire.command("CLIENT", "ID").as<int>(), id);
}

TEST_F(ClientProcessesTest, ChildMayReplaceAndDestroyAnInheritedConnection) {
  auto wire = std::make_unique<Connection>(server_.url());
  auto const id = wire->command("CLIENT", "ID").as<int>();
  EXPECT_EQ(in_child([&] {
              *wire = Connection{server_.url()};
              auto answer = ping(*wire);
              wire.reset();
              return answer;
            }),
            pong);
  EXPECT_EQ(wire->command("CLIENT", "ID").as<int>(), id);
}

// ---- exec ----

TEST_F(ClientProcessesTest, ExecutedProgramInheritsNoDescriptor) {
  constexpr auto const* list =
      "ls -l /proc/self/fd | sed -n 's/.*-> //p' | grep -v '^/proc\\|pipe:' | sort";
  auto const before = output_of(list);
  RedisServer const tcp{{.tcp = true}};
  auto const with_servers = output_of(list);
  EXPECT_EQ(before, with_servers);
  Client redis{server_.url()};
  Connection wire{"redis://127.0.0.1:" + std::to_string(tcp.port())};
  ping(redis);
  EXPECT_EQ(output_of(list), before);
}

// ---- SIGPIPE ----

/// What becomes of a child with the default disposition of SIGPIPE that writes to `url` after its
/// connection was killed.
std::string write_after_kill(RedisServer const& server, std::string const& url) {
  return in_child([&]() -> std::string {
    ::signal(SIGPIPE, SIG_DFL);
    Connection killer{server.url()};
    Connection wire{url};
    ping(wire);
    killer.command("CLIENT", "KILL", "ID", wire.command("CLIENT", "ID").as<int>());
    auto pipeline =
        wire.pipeline();  // no buffer holds it: still being written when the end is known
    std::string const value(1 << 20, 'x');
    for (int i = 0; i < 16; ++i) pipeline.command("SET", "k", value);
    try {
      (void)pipeline.execute();
      return "answered";
    } catch (Error const& fault) {
      if (!fault.poisons_connection()) return fault.what();
    }
    Client redis{url};
    for (int i = 0; i < 5; ++i) {
      killer.command("CLIENT", "KILL", "ID", redis.command("CLIENT", "ID").as<int>());
      if (ping(redis) != pong) return "no answer";
    }
    return "alive";
  });
}

TEST_F(ClientProcessesTest, WritingToAClosedUnixSocketRaisesNoSignal) {
  EXPECT_EQ(write_after_kill(server_, server_.url()), "alive");
}

TEST_F(ClientProcessesTest, WritingToAClosedTcpSocketRaisesNoSignal) {
  RedisServer const server{{.tcp = true}};
  EXPECT_EQ(write_after_kill(server, "redis://127.0.0.1:" + std::to_string(server.port())),
            "alive");
}

class ClientProcessesTlsTest : public ::testing::Test {
 protected:
  Certificates certificates_{};
  Certificates::Signed signed_ = certificates_.sign("server", "DNS:localhost");
  RedisServer server_{{.tls = RedisServerTls{signed_.certificate, signed_.key}}};
  std::string url_ = "rediss://localhost:" + std::to_string(server_.tls_port()) +
                     "?connect_timeout=10s&command_timeout=10s&ca=" + certificates_.authority();
};

TEST_F(ClientProcessesTlsTest, WritingToAClosedTlsConnectionRaisesNoSignal) {
  EXPECT_EQ(write_after_kill(server_, url_), "alive");
}

TEST_F(ClientProcessesTlsTest, ParentAndChildBothGoOn) {
  Client redis{url_};
  Connection wire{url_};
  auto const id = redis.command("CLIENT", "ID").as<int>();
  EXPECT_EQ(in_child([&] { return ping(redis); }), pong);
  EXPECT_EQ(redis.command("CLIENT", "ID").as<int>(), id);
  EXPECT_EQ(ping(wire), pong);
}

}  // namespace
}  // namespace tandem
