// What becomes of adds while the server loads its data, and while this process can open nothing.
#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/buffered_counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/observed.hpp"
#include "support/open_descriptors.hpp"
#include "support/patience.hpp"
#include "support/reports.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::eventually;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr BufferedCounterOptions by_hand{.flush_interval = 12h, .resend_for = 24h};
constexpr BufferedCounterOptions often{.flush_interval = 5ms};

class BufferedCounterOutagesTest : public ::testing::Test {
 protected:
  [[nodiscard]] Client client(std::string const& parameters) {
    auto options = Options::from_url(server_.url() + parameters);
    options.on_error = reports_.hook();
    return Client{options};
  }
  std::string get(std::string const& key) {
    return redis_.command("GET", key).as<std::optional<std::string>>().value_or("(nil)");
  }
  static bool is_delivered(BufferedCounter const& counter) {
    return eventually([&] { return counter.pending() == 0; });
  }

  support::Reports reports_{};
  testing::RedisServer server_{{.arguments = {"--enable-debug-command", "yes",
                                              "--loading-process-events-interval-bytes", "1024"}}};
  Client redis_{server_.url() + "?command_timeout=60s"};
};

TEST_F(BufferedCounterOutagesTest, AddsAreKeptWhileTheServerLoadsItsDataAndNobodyIsToldOfThat) {
  BufferedCounter hits{client("?command_timeout=20s"), "hits", often};
  BufferedCounter mine{client("?command_timeout=20s"), "mine", by_hand};
  hits.add(1);
  mine.add(1);
  mine.flush();
  ASSERT_TRUE(is_delivered(hits));
  auto pipeline = redis_.pipeline();
  for (int i = 0; i < 2000; ++i) pipeline.command("SET", i, "value");
  (void)pipeline.execute();
  redis_.command("CONFIG", "SET", "key-load-delay", 500);  // microseconds for each of them
  std::thread loader{[&] { Client{redis_}.command("DEBUG", "RELOAD"); }};
  // It is asked all the time; this is what it answers.
  EXPECT_TRUE(eventually([&] {
    hits.add(10);
    mine.add(10);
    return code_of([&] { mine.flush(); }) == "LOADING";
  }));
  auto const kept = mine.pending();
  EXPECT_GE(kept, 10);
  loader.join();
  EXPECT_TRUE(is_delivered(hits));
  mine.flush();
  EXPECT_EQ(mine.pending(), 0);
  EXPECT_EQ(get("hits"), get("mine"));
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(BufferedCounterOutagesTest, AddsAreKeptWhileNothingCanBeOpenedAndDeliveredLater) {
  for (bool const seen_before : {true, false}) {  // by UBSan, which would look at types in vain
    redis_.command("DEL", "hits", "mine");
    BufferedCounter hits{client("?connect_timeout=50ms"), "hits", often};
    BufferedCounter mine{client("?connect_timeout=50ms"), "mine", by_hand};
    hits.add(1);
    mine.add(1);
    mine.flush();
    ASSERT_TRUE(is_delivered(hits));
    std::string told;
    auto const without_connections = [&] {
      hits.add(10);
      mine.add(10);
      try {
        mine.flush();
      } catch (Unreachable const& fault) {
        told = fault.what();
      }
    };
    if (seen_before) {
      server_.kill();
      without_connections();
      server_.restart();
      ASSERT_TRUE(is_delivered(hits));
      continue;
    }
    redis_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    {
      support::NoMoreDescriptors const for_a_while;
      without_connections();
    }
    EXPECT_THAT(told, HasSubstr("Too many open files"));
    EXPECT_EQ(mine.pending(), 10);
    mine.flush();
    EXPECT_TRUE(is_delivered(hits));
    EXPECT_EQ(get("mine"), "11");
    EXPECT_EQ(get("hits"), "11");
  }
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

}  // namespace
}  // namespace tandem
