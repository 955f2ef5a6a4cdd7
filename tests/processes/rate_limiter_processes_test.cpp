#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/rate_limiter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/forked.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Forked;

std::int64_t now() {
  return std::chrono::floor<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// A call that let something through, by the clock that all processes share.
struct Admitted {
  std::int64_t before, after;
};

/// What was let through surely within a window: the calls that lie in it as a whole. By how many
/// there were too many, at most, in any of them.
std::int64_t too_many(std::vector<Admitted> record, RateLimiterOptions const& options) {
  std::sort(record.begin(), record.end(),
            [](auto const& a, auto const& b) { return a.after < b.after; });
  auto const per = std::chrono::microseconds{options.per}.count();
  std::int64_t out = 0;
  for (auto const& first : record) {
    std::int64_t inside = 0;
    for (auto const& each : record) {
      if (each.before < first.before) continue;
      ++inside;
      auto const allowed = options.burst + options.rate * (each.after - first.before) / per;
      out = std::max(out, inside - allowed);
    }
  }
  return out;
}

/// Sixteen processes, which try or wait until each was let through so many times.
std::vector<Admitted> record_of(RateLimiterOptions const& options) {
  testing::RedisServer const server;
  std::vector<std::unique_ptr<Forked>> children;
  for (int number = 0; number < 16; ++number) {
    children.push_back(std::make_unique<Forked>([&, number] {
      RateLimiter limiter{Client{server.url()}, "api", options};
      std::string out;
      for (int got = 0; got < 40;) {
        auto const before = now();
        if (number % 2 == 0 ? limiter.try_acquire() : limiter.try_acquire_for(1min)) {
          out += std::to_string(before) + ' ' + std::to_string(now()) + ' ';
          ++got;
        }
      }
      return out;
    }));
  }
  std::vector<Admitted> record;
  for (auto const& child : children) {
    std::istringstream numbers{child->told(60s)};
    for (Admitted each{}; numbers >> each.before >> each.after;) record.push_back(each);
  }
  return record;
}

TEST(RateLimiterProcessesTest, NoWindowHasMoreThanBurstAndWhatComesBack) {
  RateLimiterOptions const options{.rate = 300, .per = 1s, .burst = 20};
  auto const record = record_of(options);
  EXPECT_EQ(record.size(), 640U);
  EXPECT_EQ(too_many(record, options), 0);
}

TEST(RateLimiterProcessesTest, NoWindowHasMoreWithBlocks) {
  RateLimiterOptions const options{.rate = 300, .per = 1s, .burst = 20, .lease = 10};
  auto const record = record_of(options);
  EXPECT_EQ(record.size(), 640U);
  EXPECT_EQ(too_many(record, options), 0);
}

TEST(RateLimiterProcessesTest, ChildOfAForkUsesNoPermitOfItsParents) {
  testing::RedisServer const server;
  RateLimiter limiter{
      Client{server.url()}, "api", {.rate = 1, .per = 24h, .burst = 20, .lease = 10}};
  EXPECT_TRUE(limiter.try_acquire());  // nine more are here, and the server has none
  EXPECT_EQ(support::in_child(
                [&] { return std::string{limiter.try_acquire() ? "let through" : "refused"}; }),
            "refused");
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(limiter.try_acquire());
  EXPECT_FALSE(limiter.try_acquire());
}

}  // namespace
}  // namespace tandem
