// A server that is restarted, forgets its scripts and kills connections while sixteen threads talk
// to it: what was acknowledged is there, what was not is there at most once.
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/core/script.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/certificates.hpp"
#include "support/patience.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Certificates;
using support::eventually;
using support::on_threads;
using testing::RedisServer;
using testing::RedisServerTls;

constexpr int many = 16;

// Run twice it counts twice, and so it must not be repeated.
Script const counting{"return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)"};
Script const repeatable{"-- retry: safe\nreturn redis.call('HSET', KEYS[1], ARGV[1], 1)"};

/// Sixteen threads that count in every way there is, each thing once and under a name of its own.
class Load {
 public:
  explicit Load(std::string const& url) : redis_{url} {
    runner_ = std::thread{[this] { on_threads(many, [this](int thread) { run(thread); }); }};
  }
  Load(Load const&) = delete;
  Load& operator=(Load const&) = delete;
  ~Load() { end(); }

  void end() {
    over_ = true;
    if (runner_.joinable()) runner_.join();
  }

  /// Waits until so much more was acknowledged.
  [[nodiscard]] bool goes_on(int by = 2 * many) {
    auto const before = acknowledged_.load();
    return eventually([&] { return acknowledged_ >= before + by; }, 60s);
  }

  /// Compares what was told with what the server has.
  void expect_told_the_truth(Conversation& server) {
    end();
    int acknowledged = 0;
    for (int thread = 0; thread < many; ++thread) {
      auto const pairs = server.command("HGETALL", "counts:" + std::to_string(thread))
                             .as<std::vector<std::pair<std::string, int>>>();
      std::map<std::string, int> const there{pairs.begin(), pairs.end()};
      for (auto const& [name, fate] : told_[static_cast<std::size_t>(thread)]) {
        auto const found = there.find(name);
        auto const count = found == there.end() ? 0 : found->second;
        if (fate == Fate::acknowledged) {
          ++acknowledged;
          EXPECT_EQ(count, 1) << thread << " " << name;
        } else if (fate == Fate::not_executed) {
          EXPECT_EQ(count, 0) << thread << " " << name;
        } else {
          EXPECT_LE(count, 1) << thread << " " << name;
        }
      }
    }
    EXPECT_EQ(acknowledged, acknowledged_);
  }

 private:
  enum class Fate { acknowledged, in_doubt, not_executed };

  void run(int thread) {
    auto const key = "counts:" + std::to_string(thread);
    for (int i = 0; !over_; ++i) {
      auto const tag = std::to_string(thread) + "/" + std::to_string(i);
      auto const name = [&](char const* what) { return what + std::to_string(i); };
      count(thread, {name("plain ")},
            [&] { EXPECT_EQ(redis_.command("HINCRBY", key, name("plain "), 1).as<int>(), 1); });
      count(thread, {name("script ")},
            [&] { EXPECT_EQ(redis_.run(counting, {key}, name("script ")).as<int>(), 1); });
      count(thread, {name("safe ")}, [&] {
        // What was lost and repeated is there already: that is no error of its.
        EXPECT_LE(redis_.run(repeatable, {key}, name("safe ")).as<int>(), 1);
      });
      count(thread, {name("first "), name("second "), name("third ")}, [&] {
        auto pipeline = redis_.pipeline();
        pipeline.command("HINCRBY", key, name("first "), 1).command("ECHO", tag);
        pipeline.run(counting, {key}, name("second ")).run(counting, {key}, name("third "));
        auto const replies = pipeline.execute();
        EXPECT_EQ(replies[0].as<int>(), 1);
        EXPECT_EQ(replies[1].as<std::string>(), tag);
        EXPECT_EQ(replies[2].as<int>(), 1);
        EXPECT_EQ(replies[3].as<int>(), 1);
      });
      count(thread, {name("exec ")}, [&] {
        redis_.transaction({},
                           [&](Transaction& tx) { tx.queue("HINCRBY", key, name("exec "), 1); });
      });
      count(thread, {}, [&] { EXPECT_EQ(redis_.command("ECHO", tag).as<std::string>(), tag); });
    }
  }

  void count(int thread, std::vector<std::string> const& names, std::function<void()> const& act) {
    auto fate = Fate::acknowledged;
    try {
      act();
      acknowledged_ += static_cast<int>(names.size());
    } catch (InDoubt const&) {
      fate = Fate::in_doubt;
    } catch (Unreachable const&) {
      fate = Fate::not_executed;
    } catch (ServerError const& error) {
      EXPECT_EQ(error.code(), "LOADING") << error.what();
      // One command that is refused was not executed; of several, some may have been.
      fate = names.size() == 1 ? Fate::not_executed : Fate::in_doubt;
    }
    auto& mine = told_[static_cast<std::size_t>(thread)];
    for (auto const& name : names) mine.emplace_back(name, fate);
  }

  Client redis_;
  std::atomic<bool> over_ = false;
  std::atomic<int> acknowledged_ = 0;
  std::array<std::vector<std::pair<std::string, Fate>>, many> told_{};
  std::thread runner_{};
};

class LoadTest : public ::testing::Test {
 protected:
  RedisServer server_{{.persistent = true}};
  Connection own_{server_.url() + "?command_timeout=20s"};
  std::string url_ = server_.url() + "?command_timeout=20s&connect_timeout=20s";
};

std::vector<std::string> connections_of(Conversation& own, int own_id) {
  std::vector<std::string> out;
  auto const list = own.command("CLIENT", "LIST").as<std::string>();
  for (std::size_t at = 0; at < list.size(); at = list.find('\n', at) + 1) {
    auto const id = list.substr(at + 3, list.find(' ', at) - at - 3);  // "id=7 addr=..."
    if (id != std::to_string(own_id)) out.push_back(id);
  }
  return out;
}

TEST_F(LoadTest, KillingAllConnectionsAtOnceLosesNothingAndDoublesNothing) {
  Load load{url_};
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(load.goes_on());
    own_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  }
  load.expect_told_the_truth(own_);
}

TEST_F(LoadTest, KillingOneConnectionAfterTheOtherLosesNothingAndDoublesNothing) {
  Load load{url_};
  auto const own_id = own_.command("CLIENT", "ID").as<int>();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(load.goes_on());
    for (auto const& id : connections_of(own_, own_id)) {
      own_.command("CLIENT", "KILL", "ID", id);  // 0 for those that have gone by themselves
    }
  }
  load.expect_told_the_truth(own_);
}

TEST_F(LoadTest, ForgettingAllScriptsLosesNothingAndDoublesNothing) {
  Load load{url_};
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(load.goes_on(many));
    own_.command("SCRIPT", "FLUSH");
  }
  load.expect_told_the_truth(own_);
}

TEST_F(LoadTest, RestartsLoseNothingAndDoubleNothing) {
  Load load{url_};
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(load.goes_on(20 * many));
    server_.restart();
  }
  Connection after{url_};
  load.expect_told_the_truth(after);
}

TEST_F(LoadTest, AllOfThemTogetherLoseNothingAndDoubleNothing) {
  Load load{url_};
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(load.goes_on());
    if (i % 10 == 9) {
      server_.restart();
    } else {
      Connection own{url_};
      if (i % 2 == 0) own.command("SCRIPT", "FLUSH");
      own.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    }
  }
  Connection after{url_};
  load.expect_told_the_truth(after);
}

TEST(LoadOverTlsTest, KillingAllConnectionsAtOnceLosesNothingAndDoublesNothing) {
  Certificates const certificates;
  auto const signed_by_it = certificates.sign("server", "DNS:localhost");
  RedisServer const server{{.tls = RedisServerTls{signed_by_it.certificate, signed_by_it.key}}};
  Connection own{server.url() + "?command_timeout=20s"};
  Load load{"rediss://localhost:" + std::to_string(server.tls_port()) +
            "?command_timeout=20s&connect_timeout=20s&ca=" + certificates.authority()};
  for (int i = 0; i < 15; ++i) {
    ASSERT_TRUE(load.goes_on());
    own.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  }
  load.expect_told_the_truth(own);
}

}  // namespace
}  // namespace tandem
