// exec: a program that is started finds no descriptor of ours, whatever is open or just opening.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/lock.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/certificates.hpp"
#include "support/open_descriptors.hpp"
#include "support/patience.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Certificates;
using support::eventually;
using support::on_threads;
using support::open_sockets;
using testing::RedisServer;
using testing::RedisServerTls;

constexpr auto const* patient = "?command_timeout=60s&connect_timeout=60s";

/// What a program that is started now has open, but for what popen gives to it and what it opens.
/// popen runs no pthread_atfork hook: what is not close-on-exec from its very beginning is seen.
std::string descriptors_of_a_program() {
  auto* const pipe = ::popen(  // NOLINT(cert-env33-c)
      "ls -l /proc/self/fd | sed -n 's/.*-> //p' | grep -v '^/proc\\|pipe:' | sort", "re");
  std::string out;
  char buffer[4096];
  while (auto const size = std::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, size);
  ::pclose(pipe);
  return out;
}

class ExecTest : public ::testing::Test {
 protected:
  Certificates certificates_{};
  Certificates::Signed signed_ = certificates_.sign("server", "DNS:localhost");
  std::string before_ = descriptors_of_a_program();
  RedisServer server_{{.tcp = true, .tls = RedisServerTls{signed_.certificate, signed_.key}}};
};

TEST_F(ExecTest, ProgramInheritsNeitherLineNorPoolNorEventConnection) {
  auto const own = open_sockets().size();
  for (auto const& url : {server_.url() + patient, server_.url() + patient + "&protocol=2",
                          "redis://localhost:" + std::to_string(server_.port()) + patient,
                          "rediss://localhost:" + std::to_string(server_.tls_port()) + patient +
                              "&ca=" + certificates_.authority()}) {
    Client redis{url};
    Lock const lock{redis, "orders"};
    auto const hold = lock.acquire();  // and with it the event thread
    redis.transaction({"k"}, [&](Transaction& tx) {
      (void)tx.read("GET", "k");
      redis.command("PING");
      // Line, pool, event connection and its bell; what is looked up has a bell of its own.
      EXPECT_TRUE(eventually([&] { return open_sockets().size() >= own + 4; })) << url;
      EXPECT_EQ(descriptors_of_a_program(), before_) << url;
    });
  }
}

TEST_F(ExecTest, ProgramInheritsNothingThatIsJustBeingOpened) {
  Connection killer{server_.url()};
  std::atomic<bool> over = false;
  std::thread executor{[&] {
    for (int i = 0; i < 30; ++i) EXPECT_EQ(descriptors_of_a_program(), before_);
    over = true;
  }};
  on_threads(16, [&](int thread) {
    auto const port = std::to_string(server_.port());
    auto const url = thread % 2 == 0 ? server_.url() : "redis://localhost:" + port;
    while (!over) {
      Client redis{url + patient};
      redis.command("PING");
      auto const hold = Lock{redis, "lock " + std::to_string(thread)}.try_acquire();
      EXPECT_TRUE(hold);
    }
  });
  executor.join();
}

}  // namespace
}  // namespace tandem
