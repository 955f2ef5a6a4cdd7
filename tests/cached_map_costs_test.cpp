#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include <tandem/cached_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/threads.hpp"

namespace {
thread_local long long allocations = 0;
}  // namespace

// Counted here, for a promise about them.
void* operator new(std::size_t size) {
  ++allocations;
  void* const out = std::malloc(size == 0 ? 1 : size);
  if (out == nullptr) throw std::bad_alloc{};
  return out;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace tandem {
namespace {

using namespace std::chrono_literals;

TEST(CachedMapCostsTest, ReadingWhatIsThereAllocatesNothing) {
  testing::RedisServer const server;
  CachedMap<std::string_view, std::int64_t> map{Client{server.url()}, "m"};
  ASSERT_TRUE(map.await_told(std::chrono::steady_clock::now() + 20s));
  map.set("a", 1);
  support::on_threads(4, [&](int) {
    std::int64_t sum = map.get("a").value_or(0) + (map.contains("none") ? 1 : 0);
    auto const before = allocations;
    for (int i = 0; i < 1000; ++i) sum += *map.get("a") + (map.contains("none") ? 1 : 0);
    EXPECT_EQ(allocations - before, 0);
    EXPECT_EQ(sum, 1001);
  });
}

}  // namespace
}  // namespace tandem
