#include "core/lookup.hpp"

#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <tandem/client.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/patience.hpp"

namespace tandem::detail {
namespace {

using namespace std::chrono_literals;
using support::stall;
using support::time_of;
using ::testing::HasSubstr;

/// A resolver that answers for "slow.test" when it is let go, and then with 127.0.0.1.
class Resolver {
 public:
  struct Call {
    std::string host;
    std::thread::id thread;
  };

  int answer(char const* host, char const* port, addrinfo const* hints, addrinfo** found) {
    bool const slow = host == std::string_view{"slow.test"};
    {
      std::unique_lock lock{mutex_};
      calls_.push_back({host, std::this_thread::get_id()});
      if (slow && (hints->ai_flags & AI_NUMERICHOST) == 0) {
        ++held_up_;
        changed_.notify_all();
        // For ever would be for ever also for who waits for it on its own thread.
        changed_.wait_for(lock, 10s, [&] { return let_go_; });
        --held_up_;
        changed_.notify_all();
        host = "127.0.0.1";
      }
    }
    static auto* const real =
        reinterpret_cast<decltype(&::getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    return real(host, port, hints, found);
  }

  [[nodiscard]] std::vector<Call> calls() const {
    std::lock_guard const guard{mutex_};
    return calls_;
  }
  /// Until somebody waits for its answer.
  [[nodiscard]] bool await_question() { return await(1); }
  void let_go() {
    {
      std::lock_guard const guard{mutex_};
      let_go_ = true;
    }
    changed_.notify_all();
  }
  /// Until nobody waits for an answer any more.
  void reset() {
    let_go();
    EXPECT_TRUE(await(0));
    std::lock_guard const guard{mutex_};
    let_go_ = false;
    calls_.clear();
  }

 private:
  [[nodiscard]] bool await(int count) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 20s, [&] { return held_up_ == count; });
  }

  mutable std::mutex mutex_{};
  std::condition_variable changed_{};
  bool let_go_ = false;  // guarded by mutex_, as what follows
  int held_up_ = 0;
  std::vector<Call> calls_{};
};

Resolver resolver;

class LookupTest : public ::testing::Test {
 protected:
  ~LookupTest() override { resolver.reset(); }
};

}  // namespace
}  // namespace tandem::detail

/// In the place of the system's, for the whole program.
extern "C" int getaddrinfo(char const* host, char const* port, addrinfo const* hints,
                           addrinfo** found) {
  return tandem::detail::resolver.answer(host, port, hints, found);
}

namespace tandem::detail {
namespace {

TEST_F(LookupTest, NameThatIsLookedUpForLongIsUnreachableWithinTheConnectTimeout) {
  Client redis{"redis://slow.test?connect_timeout=200ms&command_timeout=20s"};
  auto const took = time_of([&] {
    try {
      redis.command("PING");
      ADD_FAILURE() << "no error";
    } catch (Unreachable const& fault) {
      EXPECT_THAT(fault.what(), HasSubstr("looking its name up"));
    }
  });
  EXPECT_LE(took, 200ms + stall);
}

TEST_F(LookupTest, AnswerThatComesInTimeIsUsed) {
  testing::RedisServer const server{{.tcp = true}};
  Client redis{"redis://slow.test:" + std::to_string(server.port()) +
               "?connect_timeout=20s&command_timeout=20s"};
  auto later =
      std::async(std::launch::async, [&] { return redis.command("PING").as<std::string>(); });
  EXPECT_TRUE(resolver.await_question());
  resolver.let_go();
  EXPECT_EQ(later.get(), "PONG");
}

TEST_F(LookupTest, NumericAddressNeedsNoThread) {
  for (auto const* const host : {"127.0.0.1", "::1"}) {
    Options options;
    options.host = host;
    options.port = 7;
    CallerWaits waiting;
    auto const found = look_up(options, std::chrono::steady_clock::now() + 20s, waiting);
    ASSERT_TRUE(found);
    auto const calls = resolver.calls();
    ASSERT_EQ(calls.size(), 1U) << host;
    EXPECT_EQ(calls[0].host, host);
    EXPECT_EQ(calls[0].thread, std::this_thread::get_id());
    resolver.reset();
  }
}

}  // namespace
}  // namespace tandem::detail
