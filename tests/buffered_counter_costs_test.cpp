// What a buffered counter costs, counted: system calls, memory, commands.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tandem/buffered_counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/observed.hpp"
#include "support/patience.hpp"

namespace {

std::atomic<long long> sends_in_background = 0;
std::atomic<long long> bytes_alive = 0;
thread_local long long allocations = 0;

}  // namespace

extern "C" ssize_t send(int fd, void const* bytes, std::size_t size, int flags) {
  thread_local bool const in_background = [] {
    char name[16] = "";
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    return std::string_view{name} == "tandem";
  }();
  if (in_background) ++sends_in_background;
  return ::syscall(SYS_sendto, fd, bytes, size, flags, nullptr, 0);
}

void* operator new(std::size_t size) {
  ++allocations;
  void* const out = std::malloc(size == 0 ? 1 : size);
  if (out == nullptr) throw std::bad_alloc{};
  bytes_alive += static_cast<long long>(::malloc_usable_size(out));
  return out;
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  ++allocations;
  void* const out = std::aligned_alloc(static_cast<std::size_t>(alignment), size);
  if (out == nullptr) throw std::bad_alloc{};
  bytes_alive += static_cast<long long>(::malloc_usable_size(out));
  return out;
}
void operator delete(void* memory) noexcept {
  bytes_alive -= static_cast<long long>(::malloc_usable_size(memory));  // 0 for none
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { operator delete(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  operator delete(memory);
}

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::commands_of;
using support::eventually;

constexpr BufferedCounterOptions by_hand{.flush_interval = 12h, .resend_for = 24h};

class BufferedCounterCostsTest : public ::testing::Test {
 protected:
  testing::RedisServer server_{{.persistent = true}};
  Client redis_{server_.url() + "?command_timeout=20s&connect_timeout=20s"};
};

TEST_F(BufferedCounterCostsTest, AddAllocatesNothingButForAThreadsFirst) {
  BufferedCounter hits{redis_, "hits", by_hand};
  for (int round = 0; round < 3; ++round) {
    std::thread{[&] {
      hits.add();
      auto const before = allocations;
      for (int i = 0; i < 10'000; ++i) hits.add(i);
      EXPECT_EQ(allocations, before);
    }}.join();
  }
}

TEST_F(BufferedCounterCostsTest, ThreadsThatEndedLeaveNoMemoryBehind) {
  BufferedCounter hits{redis_, "hits", by_hand};
  hits.add();
  auto const threads = [&](int count) {
    for (int i = 0; i < count; ++i) std::thread{[&] { hits.add(); }}.join();
    return hits.pending();
  };
  (void)threads(10);
  auto const before = bytes_alive.load();
  EXPECT_EQ(threads(300), 311);
  EXPECT_LT(bytes_alive - before, 300 * 64);  // a cell is more
}

TEST_F(BufferedCounterCostsTest, CountersThatEndedLeaveNoMemoryBehindInAThread) {
  auto const counters = [&](int count) {
    for (int i = 0; i < count; ++i) {
      BufferedCounter hits{redis_, "hits", by_hand};
      hits.add();
    }
  };
  counters(100);
  auto const before = bytes_alive.load();
  counters(300);
  EXPECT_LT(bytes_alive - before, 300 * 64);
}

TEST_F(BufferedCounterCostsTest, ThousandsOfCountersLeaveTogether) {
  constexpr int many = 2000;
  std::vector<BufferedCounter> counters;
  for (int i = 0; i < many; ++i) counters.emplace_back(redis_, std::to_string(i));
  auto const all_delivered = [&] {
    return eventually([&] {
      for (auto const& each : counters) {
        if (each.pending() != 0) return false;
      }
      return true;
    });
  };
  counters[0].add();
  ASSERT_TRUE(all_delivered());
  // While the server is away they gather; when it is back all of them are due.
  server_.kill();
  for (auto& each : counters) each.add();
  auto const before = sends_in_background.load();
  server_.restart();
  ASSERT_TRUE(all_delivered());
  auto const sends = sends_in_background - before;
  std::printf("%d counters flushed by %lld writes\n", many, sends);
  EXPECT_LT(sends, many / 20);
  EXPECT_EQ(redis_.command("GET", "1999").as<int>(), 1);
  auto const stats = redis_.command("INFO", "commandstats").as<std::string>();
  EXPECT_NE(stats.find("cmdstat_incrby:calls=2000,"), std::string::npos) << stats;
}

TEST_F(BufferedCounterCostsTest, NothingIsSaidOfACounterThatNobodyAddsTo) {
  BufferedCounter idle{redis_, "idle", {.flush_interval = 1ms}};
  BufferedCounter busy{redis_, "busy", {.flush_interval = 1ms}};
  idle.add();
  busy.add();
  ASSERT_TRUE(eventually([&] { return idle.pending() + busy.pending() == 0; }));
  // Fifty flushes of the other one, or fewer of several adds: a script, a GET, a SET, an INCRBY
  // each.
  auto const commands = commands_of(redis_, [&] {
    for (int i = 0; i < 50; ++i) {
      busy.add();
      ASSERT_TRUE(eventually([&] { return busy.pending() == 0; }));
    }
  });
  EXPECT_EQ(commands, "evalsha 50, get 50, incrby 50, set 50");
}

}  // namespace
}  // namespace tandem
