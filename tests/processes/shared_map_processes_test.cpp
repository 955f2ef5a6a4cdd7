#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>

#include <tandem/shared_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/forked.hpp"
#include "support/patience.hpp"
#include "support/shared_memory.hpp"

namespace tandem {
namespace {

using support::Forked;
using Stock = SharedMap<std::string, std::int64_t>;

constexpr int processes = 16;

/// Sixteen processes on two cores, under a sanitizer at that, may have to wait for each other.
Options patient(testing::RedisServer const& server) {
  auto options = Options::from_url(server.url());
  options.command_timeout = std::chrono::seconds{60};
  return options;
}

class SharedMapProcessesTest : public ::testing::Test {
 protected:
  /// Runs `body(map, which)` in sixteen processes that begin together; what each returned.
  template <class Body>
  std::vector<std::string> in_processes(Body const& body) {
    std::vector<std::unique_ptr<Forked>> children(processes);
    for (std::size_t which = 0; which < processes; ++which) {
      children[which] = std::make_unique<Forked>([&, which] {
        Client redis{patient(server_)};
        redis.command("INCR", "ready");
        support::eventually(
            [&] { return redis.command("GET", "ready").template as<int>() == processes; });
        Stock stock{redis, "stock"};
        return body(stock, which);
      });
    }
    std::vector<std::string> told;
    for (auto const& child : children) {
      told.push_back(child->told(std::chrono::seconds{100}));
      EXPECT_EQ(told.back().find("threw"), std::string::npos) << told.back();
    }
    return told;
  }

  testing::RedisServer server_{};
  Client redis_{patient(server_)};
  Stock stock_{redis_, "stock"};
};

std::int64_t sum(std::vector<std::string> const& numbers) {
  std::int64_t out = 0;
  for (auto const& number : numbers) out += std::stoll(number);
  return out;
}

TEST_F(SharedMapProcessesTest, UpdateBySixteenProcessesAtOnceLosesNothing) {
  constexpr int rounds = 100;
  auto const conflicts = in_processes([](Stock& stock, std::size_t) {
    int calls = 0;
    for (int round = 0; round < rounds; ++round) {
      stock.update("apple", [&](std::optional<std::int64_t> n) {
        ++calls;
        return n.value_or(0) + 1;
      });
    }
    return std::to_string(calls - rounds);
  });
  EXPECT_EQ(stock_.get("apple"), processes * rounds);
  EXPECT_GT(sum(conflicts), 0) << "they never met: this showed nothing";
}

TEST_F(SharedMapProcessesTest, MovesBetweenTwoEntriesByCompareExchangeKeepTheSum) {
  stock_.set_many({{"a", 1000}, {"b", 0}});
  auto const moved = in_processes([](Stock& stock, std::size_t) {
    int taken = 0;
    while (taken < 100) {
      auto const have = *stock.get("a");
      if (stock.compare_exchange("a", have, have - 1)) ++taken;
    }
    stock.add("b", taken);
    return std::to_string(taken);
  });
  EXPECT_EQ(sum(moved), 100 * processes);
  EXPECT_EQ(stock_.get("a"), 1000 - 100 * processes);
  EXPECT_EQ(stock_.get("b"), 100 * processes);
}

TEST_F(SharedMapProcessesTest, MovesBetweenEntriesInOneStepKeepTheSumThatEverybodySees) {
  constexpr int accounts = 5;
  constexpr int rounds = 40;
  std::vector<std::string> keys;
  for (int i = 0; i < accounts; ++i) {
    keys.push_back("account" + std::to_string(i));
    stock_.set(keys.back(), 100);
  }
  auto const told = in_processes([&](Stock& stock, std::size_t which) -> std::string {
    for (std::size_t round = 0; round < rounds; ++round) {
      auto const& from = keys[(which + round) % accounts];
      auto const& to = keys[(which * 3 + round * 2 + 1) % accounts];
      std::int64_t sum = 0;
      stock.atomically([&](auto& entries) {
        sum = 0;
        for (auto const& key : keys) sum += *entries.get(key);
        if (sum != 100 * accounts) return;  // two moments mixed
        entries.set(from, *entries.get(from) - 1);
        entries.set(to, *entries.get(to) + 1);
      });
      if (sum != 100 * accounts) return "saw a sum of " + std::to_string(sum);
      sum = 0;
      for (auto const& [key, value] : stock.snapshot()) sum += value;
      if (sum != 100 * accounts) return "a snapshot has a sum of " + std::to_string(sum);
    }
    return "";
  });
  EXPECT_EQ(told, std::vector<std::string>(processes));
}

TEST_F(SharedMapProcessesTest, InsertIsWonByExactlyOneProcess) {
  constexpr int keys = 200;
  auto const won = in_processes([](Stock& stock, std::size_t which) {
    int wins = 0;
    for (int key = 0; key < keys; ++key)
      wins += stock.insert(std::to_string(key), static_cast<std::int64_t>(which)) ? 1 : 0;
    return std::to_string(wins);
  });
  EXPECT_EQ(sum(won), keys);
  std::map<std::int64_t, std::int64_t> owned;
  for (auto const [key, which] : stock_) ++owned[which];
  for (std::size_t which = 0; which < processes; ++which) {
    EXPECT_EQ(owned[static_cast<std::int64_t>(which)], std::stoll(won[which])) << which;
  }
}

TEST_F(SharedMapProcessesTest,
       ProcessKilledInMidUpdateLeavesAllAcknowledgedUpdatesAndAtMostOneMore) {
  support::Shared<std::array<std::atomic<std::int64_t>, processes>> acknowledged;
  std::vector<std::unique_ptr<Forked>> children;
  for (auto& own : *acknowledged) {
    children.push_back(std::make_unique<Forked>([&]() -> std::string {
      Stock stock{Client{patient(server_)}, "stock"};
      for (;;) {
        stock.update("apple", [](std::optional<std::int64_t> n) { return n.value_or(0) + 1; });
        ++own;
      }
    }));
  }
  for (std::size_t which = 0; which < processes; ++which) {
    EXPECT_TRUE(support::eventually([&] { return (*acknowledged)[which] > 20; }));
    ::kill(children[which]->pid(), SIGKILL);
    EXPECT_EQ(children[which]->told(), "signal 9");
  }
  std::int64_t all = 0;
  for (auto const& own : *acknowledged) all += own;
  EXPECT_GE(stock_.get("apple"), all);
  EXPECT_LE(stock_.get("apple"), all + processes);
}

TEST_F(SharedMapProcessesTest, EntriesThatStayAreSeenOnceWhileProcessesWrite) {
  std::vector<std::pair<std::string, std::int64_t>> staying;
  for (std::int64_t i = 0; i < 400; ++i) staying.emplace_back("stay" + std::to_string(i), i);
  stock_.set_many(staying);
  auto const told = in_processes([&](Stock& stock, std::size_t which) -> std::string {
    std::vector<std::pair<std::string, std::int64_t>> own;
    std::vector<std::string> own_keys;
    for (std::int64_t i = 0; i < 600; ++i) {
      own.emplace_back(std::to_string(which) + "." + std::to_string(i), i);
      own_keys.push_back(own.back().first);
    }
    for (int round = 0; round < 3; ++round) {
      stock.set_many(own);
      std::map<std::string, int> seen;
      for (auto const& [key, value] : stock) {
        if (++seen[key] > 1) return key + " came twice";
      }
      for (auto const& [key, value] : staying) {
        if (seen[key] != 1) return key + " was missed";
      }
      for (auto const& [key, value] : own) {
        if (seen[key] != 1) return key + " was missed";
      }
      stock.erase_many(own_keys);
    }
    return "";
  });
  EXPECT_EQ(told, std::vector<std::string>(processes));
}

TEST_F(SharedMapProcessesTest, MapMadeAndUsedBeforeAForkServesBothProcesses) {
  stock_.set("apple", 1);
  Forked child{[&] {
    for (int round = 0; round < 200; ++round) stock_.add("apple", 1);
    return std::to_string(stock_.update("apple", [](auto n) { return *n; }) > 200);
  }};
  for (int round = 0; round < 200; ++round) stock_.add("apple", 1);
  EXPECT_EQ(child.told(), "1");
  EXPECT_EQ(stock_.get("apple"), 401);
}

TEST_F(SharedMapProcessesTest, IterationBegunBeforeAForkGoesOnInBothProcesses) {
  std::vector<std::pair<std::string, std::int64_t>> entries;
  for (std::int64_t i = 0; i < 3000; ++i) entries.emplace_back(std::to_string(i), i);
  stock_.set_many(entries);
  auto it = stock_.begin();
  auto const rest = [&] {
    std::map<std::string, int> seen;
    for (; it != stock_.end(); ++it) ++seen[(*it).first];
    return std::to_string(seen.size());
  };
  Forked child{rest};
  EXPECT_EQ(rest(), "3000");
  EXPECT_EQ(child.told(), "3000");
}

}  // namespace
}  // namespace tandem
