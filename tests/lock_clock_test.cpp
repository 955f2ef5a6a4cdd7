// The wall clock is set forth or back by a day while locks are held and waited for.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <optional>
#include <ostream>
#include <ratio>
#include <string>

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <tandem/lock.hpp>

#include "support/lock_scene.hpp"
#include "support/shifted_clock.hpp"

namespace {

/// By how much the wall clock of this process is ahead of the machine's.
std::atomic<std::int64_t> seconds_ahead{0};

}  // namespace

/// The C library's, but for the wall clock. It goes before the library's own because it is the
/// program's.
extern "C" int clock_gettime(clockid_t clock, timespec* out) noexcept {
  auto const result = static_cast<int>(::syscall(SYS_clock_gettime, clock, out));
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) out->tv_sec += seconds_ahead;
  return result;
}

namespace tandem {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using support::eventually;
using support::Waiting;

/// Whose clock is set, and by how much.
struct Jump {
  char const* name;
  std::chrono::hours client;
  std::chrono::hours server;

  friend std::ostream& operator<<(std::ostream& out, Jump const& jump) { return out << jump.name; }
};

class LockClockTest : public ::testing::TestWithParam<Jump> {
 protected:
  void TearDown() override { seconds_ahead = 0; }

  [[nodiscard]] Lock lock(LockOptions const& options = {}) {
    return Lock{scene_.client(), "orders", options};
  }

  void jump() {
    set_server(GetParam().server);
    auto const before = system_clock::now();
    seconds_ahead = std::chrono::seconds{GetParam().client}.count();
    // Or the tests would say nothing.
    ASSERT_NEAR(hours(system_clock::now() - before), hours(GetParam().client), 0.1);
  }
  /// So much ahead of the machine's.
  void set_server(std::chrono::hours ahead) {
    auto const before = server_time();
    clock_.go_on_from(system_clock::now() + ahead);
    ASSERT_NEAR(hours(server_time() - before), hours(ahead - server_ahead_), 0.1);
    server_ahead_ = ahead;
  }
  [[nodiscard]] static double hours(system_clock::duration time) {
    return std::chrono::duration<double, std::ratio<3600>>{time}.count();
  }
  [[nodiscard]] system_clock::time_point server_time() {
    return system_clock::time_point{
        std::chrono::seconds{scene_.redis("TIME")[0].as<std::int64_t>()}};
  }

  support::ShiftedClock clock_{};  // the server's
  support::LockScene scene_{};

 private:
  std::chrono::hours server_ahead_{};
};

INSTANTIATE_TEST_SUITE_P(Jump, LockClockTest,
                         ::testing::Values(Jump{"DayForthOfTheClient", 24h, 0h},
                                           Jump{"DayBackOfTheClient", -24h, 0h},
                                           Jump{"DayBackOfTheServer", 0h, -24h},
                                           Jump{"DayBackOfBoth", -24h, -24h}),
                         [](auto const& jump) { return std::string{jump.param.name}; });

TEST_P(LockClockTest, ChangesNothingAboutHowLongAHoldIsValid) {
  auto hold = lock({.lease = 10min}).acquire();
  auto const stop = hold.stop_token();
  auto const until = hold.valid_until();
  jump();
  EXPECT_TRUE(hold.held());
  EXPECT_EQ(hold.valid_until(), until);
  EXPECT_FALSE(lock().try_acquire());
  EXPECT_FALSE(stop.stop_requested());
  EXPECT_EQ(hold.release(), Release::released);
}

TEST_P(LockClockTest, DoesNotKeepAHoldFromBeingRenewedForItsLease) {
  constexpr auto lease = 2s;  // a stall must not end it
  auto hold = lock({.lease = lease}).acquire();
  auto const stop = hold.stop_token();
  jump();
  for (int renewals = 0; renewals < 2; ++renewals) {
    auto const until = hold.valid_until();
    ASSERT_TRUE(eventually([&] { return hold.valid_until() > until; }));
    EXPECT_LE(hold.valid_until(), steady_clock::now() + lease);
    auto const left = scene_.redis("PTTL", "orders").as<std::int64_t>();
    EXPECT_LE(std::chrono::milliseconds{left}, lease) << "the server's, renewed by its new clock";
  }
  EXPECT_TRUE(hold.held());
  EXPECT_FALSE(stop.stop_requested());
  EXPECT_EQ(hold.release(), Release::released);
}

TEST_P(LockClockTest, DoesNotMoveTheEndOfAHoldThatIsNotRenewed) {
  auto const hold = lock({.lease = 500ms, .renew = false}).acquire();
  auto const stop = hold.stop_token();
  auto const until = hold.valid_until();
  jump();
  EXPECT_EQ(hold.valid_until(), until);
  EXPECT_TRUE(eventually([&] { return stop.stop_requested(); }));
  EXPECT_GE(steady_clock::now(), until);
  EXPECT_FALSE(hold.held());
}

TEST_P(LockClockTest, DoesNotMoveTheEndOfAWait) {
  auto hold = lock().acquire();
  auto const begin = steady_clock::now();
  auto waiting = std::async(std::launch::async, [lock = lock()] {
    return lock.try_acquire_until(steady_clock::now() + 500ms).has_value();
  });
  scene_.await_waiters("orders", 1);
  jump();
  EXPECT_EQ(waiting.wait_for(500ms + support::stall), std::future_status::ready);
  EXPECT_GE(steady_clock::now(), begin + 500ms);
  hold.release();  // or one that does not end would not
  EXPECT_FALSE(waiting.get());
}

TEST_P(LockClockTest, LeavesTheOrderOfTheQueueAndOfTheFences) {
  auto hold = std::make_optional(lock().acquire());
  Waiting first{lock()};
  scene_.await_waiters("orders", 1);
  jump();
  Waiting second{lock()};
  scene_.await_waiters("orders", 2);
  auto fence = hold->fence();
  hold.reset();
  hold = first.get();
  ASSERT_TRUE(hold);
  EXPECT_FALSE(second.over());
  EXPECT_GT(hold->fence(), fence);
  fence = hold->fence();
  hold.reset();
  hold = second.get();
  ASSERT_TRUE(hold);
  EXPECT_GT(hold->fence(), fence);
}

// ---- Where the server's clock does decide: docs/locks.md says so ----

class LockServerClockTest : public LockClockTest {};

INSTANTIATE_TEST_SUITE_P(Jump, LockServerClockTest,
                         ::testing::Values(Jump{"DayForthOfTheServer", 0h, 24h}),
                         [](auto const& jump) { return std::string{jump.param.name}; });

TEST_P(LockServerClockTest, EndsAHoldWhichSaysSoAtItsNextRenewalAtTheLatest) {
  auto hold = lock({.lease = 3s}).acquire();
  auto const stop = hold.stop_token();
  auto const until = hold.valid_until();
  jump();
  auto const next = lock().try_acquire();
  ASSERT_TRUE(next);
  EXPECT_GT(next->fence(), hold.fence());
  EXPECT_TRUE(eventually([&] { return stop.stop_requested(); }));
  EXPECT_FALSE(hold.held());
  EXPECT_LE(hold.valid_until(), until) << "it was not renewed";
  EXPECT_EQ(hold.release(), Release::taken_over);
  EXPECT_TRUE(next->held());
}

TEST_P(LockServerClockTest, LeavesTheFencesInOrderWhenItIsSetRightAgain) {
  auto const before = lock().acquire().fence();
  jump();
  auto const then = lock().acquire().fence();
  EXPECT_GT(then, before);
  set_server(0h);
  EXPECT_GT(lock().acquire().fence(), then);
}

}  // namespace
}  // namespace tandem
