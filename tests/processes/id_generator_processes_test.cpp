#include <cstdint>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/id_generator.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/forked.hpp"

namespace tandem {
namespace {

using support::Forked;

/// Of everybody, while others do the same.
void kill_connections(Client& redis) {
  try {
    redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  } catch (Error const&) {
    // Killed itself.
  }
}

TEST(IdGeneratorProcessesTest, NoNumberComesTwiceInEightProcessesWhileConnectionsAreKilled) {
  testing::RedisServer const server;
  std::vector<std::unique_ptr<Forked>> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(std::make_unique<Forked>([&] {
      Client own{server.url()};
      Client killer{server.url()};
      IdGenerator ids{own, "ids", {.block = 7}};
      std::string out;
      for (int n = 0; n < 1000; ++n) {
        if (n % 50 == 0) kill_connections(killer);
        out += std::to_string(ids.next()) + ' ';
      }
      return out;
    }));
  }
  std::set<std::int64_t> all;
  for (auto const& child : children) {
    std::istringstream numbers{child->told()};
    int count = 0;
    for (std::int64_t number = 0; numbers >> number; ++count)
      EXPECT_TRUE(all.insert(number).second) << number;
    EXPECT_EQ(count, 1000);
  }
}

TEST(IdGeneratorProcessesTest, ChildOfAForkHandsOutNoneOfItsParents) {
  testing::RedisServer const server;
  IdGenerator ids{Client{server.url()}, "ids", {.block = 10}};
  EXPECT_EQ(ids.next(), 1);
  EXPECT_EQ(support::in_child([&] {
              auto const own = std::to_string(ids.next());
              return own + ' ' + support::in_child([&] { return std::to_string(ids.next()); }) +
                     ' ' + std::to_string(ids.next());
            }),
            "11 21 12");
  EXPECT_EQ(ids.next(), 2);
}

}  // namespace
}  // namespace tandem
