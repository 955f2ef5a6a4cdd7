#include "caching/cache_agent.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

#include <gtest/gtest.h>

#include "core/core.hpp"

namespace tandem::detail {
namespace {

std::unique_ptr<CachedValue const> decode(std::string_view /*field*/,
                                          std::optional<std::string_view> /*bytes*/) {
  return std::make_unique<CachedValue>();
}

TEST(CacheAgentTest, CacheWhoseChannelIsNotAmongThoseSubscribedDoesNotBeginToBeTold) {
  Core core{Options::from_url("unix:///nowhere")};
  CacheAgent agent{core};  // not attached: this thread is what it hears of
  auto const cache = agent.make(core, "m", {}, decode);
  agent.start(cache);
  EventListener& listens = agent;
  listens.on_subscribed();  // to another
  auto const nothing_to_do = Deadline::max();
  EXPECT_EQ(cache->on_time(std::chrono::steady_clock::now()), nothing_to_do);
}

}  // namespace
}  // namespace tandem::detail
