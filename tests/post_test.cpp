#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/forked.hpp"
#include "support/patience.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::FaultProxy;
using support::Forked;
using support::stall;
using support::time_of;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RedisServer;
using Fault = FaultProxy::Fault;

/// What Options::on_error was told.
class Reports {
 public:
  [[nodiscard]] std::function<void(Error const&)> listener() {
    return [this](Error const& error) {
      std::lock_guard const guard{mutex_};
      auto const* const kind = dynamic_cast<ServerError const*>(&error)   ? "ServerError"
                               : dynamic_cast<InDoubt const*>(&error)     ? "InDoubt"
                               : dynamic_cast<Unreachable const*>(&error) ? "Unreachable"
                                                                          : "Error";
      said_.push_back(std::string{kind} + ": " + error.what());
    };
  }
  [[nodiscard]] std::vector<std::string> said() {
    std::lock_guard const guard{mutex_};
    return said_;
  }
  /// Failures, those that are only told in number included.
  [[nodiscard]] int count() {
    int out = 0;
    for (auto const& text : said()) {
      bool const many = text.find(" more posted commands failed") != std::string::npos;
      out += many ? std::stoi(text.substr(text.find("tandem: ") + 8)) : 1;
    }
    return out;
  }
  [[nodiscard]] bool are(std::size_t count) {
    return eventually([&] { return said().size() >= count; });
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> said_;
};

class PostTest : public ::testing::Test {
 protected:
  [[nodiscard]] Client client(std::string const& url, std::string const& parameters = "") {
    auto options = Options::from_url(url + parameters);
    options.on_error = reports_.listener();
    return Client{options};
  }
  [[nodiscard]] Client client() { return client(server_.url(), "?command_timeout=20s"); }

  int number(std::string const& key) {
    return own_.command("GET", key).as<std::optional<int>>().value_or(0);
  }

  RedisServer server_{};
  Connection own_{server_.url() + "?command_timeout=20s"};
  Reports reports_{};
};

// ---- What it does ----

TEST_F(PostTest, PostedCommandsAreExecutedInOrderAndBeforeTheNextCall) {
  auto redis = client();
  std::vector<int> expected;
  for (int i = 0; i < 1000; ++i) {
    redis.post("RPUSH", "list", i);
    expected.push_back(i);
    if (i % 100 != 0) continue;
    ASSERT_EQ(redis.command("LLEN", "list").as<int>(), i + 1);
  }
  EXPECT_EQ(redis.command("LRANGE", "list", 0, -1).as<std::vector<int>>(), expected);
  EXPECT_THAT(reports_.said(), IsEmpty());
}

TEST_F(PostTest, EachThreadIsExecutedInItsOwnOrder) {
  auto redis = client();
  std::vector<std::thread> threads;
  for (int number = 0; number < 8; ++number) {
    threads.emplace_back([&, list = std::to_string(number)] {
      for (int i = 0; i < 500; ++i) {
        if (i % 7 == 3) {
          EXPECT_EQ(redis.command("RPUSH", list, i).as<int>(), i + 1);
        } else {
          redis.post("RPUSH", list, i);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  redis.command("PING");
  for (int number = 0; number < 8; ++number) {
    auto const list = own_.command("LRANGE", std::to_string(number), 0, -1).as<std::vector<int>>();
    ASSERT_EQ(list.size(), 500U);
    for (int i = 0; i < 500; ++i) EXPECT_EQ(list[static_cast<std::size_t>(i)], i);
  }
  EXPECT_THAT(reports_.said(), IsEmpty());
}

TEST_F(PostTest, WaitsForNoAnswer) {
  auto redis = client();
  redis.command("PING");
  server_.pause();
  for (int i = 0; i < 1000; ++i) redis.post("INCR", "n");
  server_.resume();
  EXPECT_TRUE(eventually([&] { return number("n") == 1000; }));
}

TEST_F(PostTest, WordsMayBeCountedAtRunTime) {
  auto redis = client();
  std::vector<Argument> words{"SADD", "set"};
  for (int i = 0; i < 10; ++i) words.emplace_back(i);
  redis.post_words(words);
  EXPECT_EQ(redis.command("SCARD", "set").as<int>(), 10);
  EXPECT_THROW(redis.post_words({}), std::invalid_argument);
}

TEST_F(PostTest, WhatWasPostedIsDoneWhenTheClientIsGone) {
  for (int round = 1; round <= 5; ++round) {
    {
      auto redis = client();
      for (int i = 0; i < 3000; ++i) redis.post("INCR", "n");
    }
    EXPECT_EQ(number("n"), round * 3000);
  }
  EXPECT_THAT(reports_.said(), IsEmpty());
}

TEST_F(PostTest, ChildOfAForkPostsForItselfAndItsParentForItself) {
  auto redis = client();
  for (int i = 0; i < 100; ++i) redis.post("INCR", "n");
  Forked child{[&] {
    for (int i = 0; i < 100; ++i) redis.post("INCR", "child");
    return redis.command("GET", "child").as<std::string>();
  }};
  for (int i = 0; i < 100; ++i) redis.post("INCR", "n");
  EXPECT_EQ(child.told(), "100");
  EXPECT_EQ(redis.command("GET", "n").as<int>(), 200);
  EXPECT_EQ(number("child"), 100);
}

TEST_F(PostTest, CommandOverAnotherConnectionComesAfterWhatWasPosted) {
  auto redis = client();
  for (int round = 0; round < 50; ++round) {
    auto const list = "list:" + std::to_string(round);
    for (int i = 0; i < 30; ++i) redis.post("RPUSH", list, i);
    EXPECT_EQ(redis.command("BLPOP", list, 20)[1].as<int>(), 0);
    redis.post("SET", "k", round);
    auto const seen = redis.transaction(
        {}, [](Transaction& tx) { return tx.read("GET", "k").as<std::optional<int>>(); });
    ASSERT_EQ(seen, round);
  }
}

TEST_F(PostTest, BacklogThatIsBeingWorkedOffIsNotGivenUp) {
  auto redis = client(server_.url(), "?command_timeout=1s");
  redis.command("PING");
  std::string_view const busy =  // for a millisecond or so
      "local n = 0 for i = 1, 100000 do n = n + i end return redis.call('INCR', KEYS[1])";
  for (int i = 0; i < 2500; ++i) redis.post("EVAL", busy, 1, "n");
  EXPECT_TRUE(eventually([&] { return number("n") == 2500; }));
  EXPECT_THAT(reports_.said(), IsEmpty());
}

// ---- What it costs ----

TEST_F(PostTest, RepliesThatNobodyWaitsForAreRead) {
  auto redis = client(server_.url(), "?name=posting&command_timeout=60s");
  own_.command("SET", "large", std::string(1 << 20, 'x'));
  for (int i = 0; i < 100; ++i) redis.post("GET", "large");
  redis.post("SET", "last", 1);
  ASSERT_TRUE(eventually([&] { return number("last") == 1; }));
  // And so the server's memory is free of them.
  EXPECT_TRUE(eventually([&] {
    auto const list = own_.command("CLIENT", "LIST").as<std::string>();
    auto const line = list.substr(list.find("name=posting"));
    return line.substr(0, line.find('\n')).find(" omem=0 ") != std::string::npos;
  }));
}

TEST_F(PostTest, WhoPostsMoreThanTheServerTakesWaitsAndIsToldSoInTime) {
  auto redis = client(server_.url(), "?command_timeout=300ms");
  redis.command("PING");
  server_.pause();
  std::string const large(64 * 1024, 'x');
  int posted = 0;
  std::chrono::milliseconds last{};
  EXPECT_THROW(
      for (;; ++posted) {
        last = time_of([&] { redis.post("SET", "k", large); });
        ASSERT_LT(posted, 1000) << "60 MiB wait in memory";
      },
      Unreachable);
  EXPECT_LT(last, 300ms + stall);
  server_.resume();
  EXPECT_TRUE(eventually([&] {
    try {
      return redis.command("PING").as<std::string>() == "PONG";
    } catch (Error const&) {
      return false;
    }
  }));
}

// ---- What goes wrong ----

TEST_F(PostTest, RefusalIsReportedWithItsCommandAndKey) {
  auto redis = client();
  redis.command("SET", "text", "x");
  redis.post("INCR", "text");
  ASSERT_TRUE(reports_.are(1));
  EXPECT_THAT(reports_.said()[0], AllOf(HasSubstr("ServerError: INCR on text: ERR value")));
  redis.post("INCR", "n");
  EXPECT_EQ(redis.command("GET", "n").as<int>(), 1);
  EXPECT_EQ(reports_.said().size(), 1U);
}

TEST_F(PostTest, ReportsThatNobodyTakesDoNotPileUp) {
  auto options = Options::from_url(server_.url() + "?command_timeout=60s");
  std::atomic<bool> may_go_on = false;
  options.on_error = [&, report = reports_.listener()](Error const& error) {
    (void)eventually([&] { return may_go_on.load(); }, 60s);
    report(error);
  };
  Client redis{options};
  redis.command("SET", "text", "x");
  constexpr int count = 20'000;
  for (int i = 0; i < count; ++i) redis.post("INCR", "text");
  redis.command("PING");
  may_go_on = true;
  EXPECT_TRUE(eventually([&] { return reports_.count() == count; }));
  EXPECT_LE(reports_.said().size(), 3000U);
}

TEST_F(PostTest, WhoIsToldOfAFailureMayUseTheClient) {
  std::unique_ptr<Client> redis;
  std::atomic<int> told = 0;
  auto options = Options::from_url(server_.url() + "?command_timeout=20s");
  options.on_error = [&](Error const&) {
    redis->command("INCR", "failures");
    redis->post("INCR", "failures");
    ++told;
  };
  redis = std::make_unique<Client>(options);
  redis->command("SET", "text", "x");
  for (int i = 0; i < 10; ++i) {
    redis->post("INCR", "text");
    redis->command("PING");  // by whose thread the refusal is read
  }
  EXPECT_TRUE(eventually([&] { return told == 10; }));
  EXPECT_EQ(redis->command("GET", "failures").as<int>(), 20);
}

TEST_F(PostTest, CutConnectionIsReportedTruthfullyAndNothingIsSentTwice) {
  FaultProxy proxy{server_};
  struct Case {
    Fault fault;
    int least;
    int most;
  };
  for (auto const& [fault, least, most] :
       {Case{Fault::cut_before_request, 0, 0}, Case{Fault::cut_in_request, 0, 0},
        Case{Fault::cut_after_request, 1, 1}, Case{Fault::cut_in_reply, 1, 1},
        Case{Fault::swallow_reply, 1, 1}}) {
    Reports reports;
    auto options = Options::from_url(proxy.url() + "?command_timeout=2s");
    options.on_error = reports.listener();
    Client redis{options};
    redis.command("PING");
    own_.command("DEL", "n");
    proxy.next("INCR", fault);
    redis.post("INCR", "n");
    ASSERT_TRUE(reports.are(1)) << static_cast<int>(fault);
    EXPECT_THAT(reports.said()[0], AllOf(HasSubstr("InDoubt: "), HasSubstr("INCR on n")));
    EXPECT_GE(number("n"), least);
    EXPECT_LE(number("n"), most);
    redis.post("INCR", "m");
    redis.command("PING");
    EXPECT_EQ(reports.said().size(), 1U);
  }
  EXPECT_EQ(number("m"), 5);
}

TEST_F(PostTest, EveryPostUnderCutsIsCountedOrReported) {
  FaultProxy proxy{server_};
  constexpr int each = 2000;
  constexpr int threads = 4;
  std::atomic<int> refused = 0;
  {
    auto redis = client(proxy.url(), "?command_timeout=20s&connect_timeout=20s");
    redis.command("PING");
    std::atomic<bool> over = false;
    std::thread cutter{[&] {
      constexpr Fault faults[] = {Fault::cut_before_request, Fault::cut_in_request,
                                  Fault::cut_after_request, Fault::cut_in_reply};
      for (int i = 0; !over; ++i) {
        auto const before = number("n");
        (void)eventually([&] { return over || number("n") > before + 100; });
        proxy.next("INCR", faults[i % 4]);
      }
    }};
    std::vector<std::thread> posting;
    for (int i = 0; i < threads; ++i) {
      posting.emplace_back([&] {
        for (int n = 0; n < each; ++n) {
          try {
            redis.post("INCR", "n");
          } catch (Unreachable const&) {
            ++refused;
          }
        }
      });
    }
    for (auto& thread : posting) thread.join();
    over = true;
    cutter.join();
  }
  auto const reported = reports_.count();
  EXPECT_GT(reported, 0) << "nothing tested";
  EXPECT_GE(number("n"), threads * each - refused - reported);
  EXPECT_LE(number("n"), threads * each - refused);
}

TEST_F(PostTest, AbsentServerIsToldAtOnce) {
  server_.kill();
  auto redis = client(server_.url(), "?connect_timeout=100ms");
  EXPECT_THROW(redis.post("INCR", "n"), Unreachable);
  EXPECT_THAT(reports_.said(), IsEmpty());
}

TEST_F(PostTest, CommandThatMayBlockIsRefused) {
  auto redis = client();
  EXPECT_THROW(redis.post("BLPOP", "list", 0), std::invalid_argument);
  EXPECT_THROW(redis.post("SELECT", 1), std::invalid_argument);
  EXPECT_EQ(own_.command("LLEN", "list").as<int>(), 0);
}

}  // namespace
}  // namespace tandem
