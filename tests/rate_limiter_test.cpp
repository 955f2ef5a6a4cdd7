#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/rate_limiter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/boot_clock.hpp"
#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/shifted_clock.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;
using support::code_of;
using support::commands_of;
using support::FaultProxy;
using support::text_of;
using ::testing::HasSubstr;

static_assert(std::is_copy_constructible_v<RateLimiter> &&
              std::is_nothrow_move_constructible_v<RateLimiter>);
static_assert(!std::is_convertible_v<RateLimiter::Decision, bool>, "no number by mistake");

/// Time stands still, on the server and here, and passes when a test says so.
class RateLimiterTest : public ::testing::Test {
 protected:
  RateLimiterTest() {
    support::stands_still = true;
    clock_.stand_still_at(now_);
  }
  ~RateLimiterTest() override { support::stands_still = false; }

  void pass(std::chrono::nanoseconds time) {
    support::extra_nanoseconds += time.count();
    set_server_clock(now_ + time);
  }
  /// The server's alone.
  void set_server_clock(std::chrono::sys_time<std::chrono::nanoseconds> time) {
    now_ = time;
    clock_.stand_still_at(time);
  }

  static int admitted(RateLimiter& limiter, int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += limiter.try_acquire() ? 1 : 0;
    return count;
  }

  std::string get(std::string const& key) {
    return redis_.command("GET", key).as<std::optional<std::string>>().value_or("(nil)");
  }

  std::chrono::sys_time<std::chrono::nanoseconds> now_ =
      std::chrono::sys_days{std::chrono::year{2026} / 11 / 23} + 6h;
  support::ShiftedClock clock_{};
  testing::RedisServer server_{};
  Client redis_{server_.url()};
  RateLimiter api_{redis_, "api", {.rate = 100, .per = 1s, .burst = 20}};
};

// ---- What is let through ----

TEST_F(RateLimiterTest, BurstPassesAtOnceAndThenWhatComesBack) {
  EXPECT_EQ(admitted(api_, 30), 20);
  auto const refused = api_.try_acquire();
  EXPECT_FALSE(refused);
  EXPECT_EQ(refused.retry_after(), 10ms);
  pass(10ms - 1us);
  EXPECT_EQ(api_.try_acquire().retry_after(), 1us);
  pass(1us);
  auto const let_through = api_.try_acquire();
  EXPECT_TRUE(let_through);
  EXPECT_EQ(let_through.retry_after(), 0us);
  EXPECT_FALSE(api_.try_acquire());
  pass(1h);
  EXPECT_EQ(admitted(api_, 30), 20);
}

TEST_F(RateLimiterTest, CostIsTakenWholeOrNotAtAll) {
  EXPECT_TRUE(api_.try_acquire(15));
  EXPECT_EQ(api_.try_acquire(6).retry_after(), 10ms);
  EXPECT_EQ(api_.peek(), 5);
  EXPECT_TRUE(api_.try_acquire(5));
  EXPECT_EQ(api_.try_acquire(20).retry_after(), 200ms);
}

TEST_F(RateLimiterTest, NothingIsLostToRounding) {
  RateLimiter third{redis_, "third", {.rate = 3, .per = 1s, .burst = 2}};
  EXPECT_TRUE(third.try_acquire(2));
  std::vector<std::int64_t> moments;
  auto const begin = now_;
  for (int i = 0; i < 6; ++i) {
    pass(third.try_acquire().retry_after());
    EXPECT_TRUE(third.try_acquire());
    moments.push_back(std::chrono::floor<microseconds>(now_ - begin).count());
  }
  EXPECT_EQ(moments,
            (std::vector<std::int64_t>{333334, 666667, 1000000, 1333334, 1666667, 2000000}));
}

TEST_F(RateLimiterTest, LargestNumbersAreExact) {
  RateLimiter fast{redis_, "fast", {.rate = 1'000'000, .per = 1ms, .burst = 1'000'000}};
  EXPECT_TRUE(fast.try_acquire(1'000'000));
  EXPECT_EQ(fast.try_acquire().retry_after(), 1us);
  pass(1us);
  EXPECT_EQ(fast.peek(), 1000);
  RateLimiter slow{redis_, "slow", {.rate = 999'983, .per = 24h * 366, .burst = 999'979}};
  EXPECT_TRUE(slow.try_acquire(999'979));
  EXPECT_EQ(slow.try_acquire().retry_after(), 31'622'938us);  // 366 days / 999,983, rounded up
  pass(31'622'937us);
  EXPECT_EQ(slow.peek(), 0);
  pass(1us);
  EXPECT_EQ(slow.peek(), 1);
  EXPECT_EQ(slow.try_acquire(999'979).retry_after(),
            31'622'273'508'250us - 31'622'938us);  // 366 days * 999,979 / 999,983, rounded up
}

TEST_F(RateLimiterTest, NoWindowHasMoreThanBurstAndWhatComesBack) {
  struct Admitted {
    std::int64_t at, cost;
  };
  std::mt19937 random{20261123};
  auto const any = [&](std::int64_t lowest, std::int64_t highest) {
    return std::uniform_int_distribution<std::int64_t>{lowest, highest}(random);
  };
  int number = 0;
  for (RateLimiterOptions const options :
       {RateLimiterOptions{.rate = 7, .per = 1ms, .burst = 10},
        RateLimiterOptions{.rate = 7, .per = 1ms, .burst = 10, .lease = 5},
        RateLimiterOptions{.rate = 1000, .per = 7ms, .burst = 1},
        RateLimiterOptions{.rate = 1000, .per = 7ms, .burst = 100, .lease = 20}}) {
    std::vector<RateLimiter> limiters;
    for (int i = 0; i < 3; ++i)  // each with its own block
      limiters.emplace_back(redis_, "window:" + std::to_string(number), options);
    ++number;
    auto const per = microseconds{options.per}.count();
    std::vector<Admitted> record;
    auto const pause = [&](std::int64_t permits) {
      pass(microseconds{any(0, permits * per / options.rate)});
    };
    auto const try_some = [&](std::int64_t tries) {
      for (; tries > 0; --tries) {
        if (any(0, 3) == 0) pause(2);
        auto const cost = any(1, options.lease == 0 ? (options.burst + 1) / 2 : 2);
        auto& limiter = limiters[static_cast<std::size_t>(any(0, 2))];
        auto const at = std::chrono::floor<microseconds>(now_.time_since_epoch()).count();
        if (limiter.try_acquire(cost)) record.push_back({at, cost});
      }
    };
    for (int round = 0; round < 20; ++round) {
      pause(2 * options.burst);
      try_some(3);  // blocks are taken ...
      pause(options.lease);
      try_some(2 * options.burst);  // ... and used up with what has come back meanwhile
    }
    EXPECT_GT(record.size(), 20U);
    std::int64_t tightest = INT64_MAX;
    for (std::size_t first = 0; first < record.size(); ++first) {
      std::int64_t sum = 0;
      for (auto last = first; last < record.size(); ++last) {
        sum += record[last].cost;
        auto const allowed =
            options.burst * per + options.rate * (record[last].at - record[first].at);
        tightest = std::min(tightest, allowed - sum * per);
      }
    }
    EXPECT_GE(tightest, 0) << number;
    EXPECT_LT(tightest, per * (1 + options.lease / 2)) << "never near the limit: this says nothing";
  }
}

TEST_F(RateLimiterTest, OptionsMayChangeUnderway) {
  RateLimiter third{redis_, "api", {.rate = 3, .per = 1s, .burst = 2}};
  EXPECT_TRUE(third.try_acquire(2));
  EXPECT_EQ(api_.peek(), 0);
  pass(500ms);
  EXPECT_EQ(api_.peek(), 3);  // 166,666 2/3 us of the 200 ms of a burst are left
  EXPECT_TRUE(api_.try_acquire(3));
}

TEST_F(RateLimiterTest, KeyExpiresWhenAllHasComeBack) {
  EXPECT_TRUE(api_.try_acquire(2));
  EXPECT_EQ(get("api"), "1795413600020000 0");
  pass(20ms);
  EXPECT_EQ(redis_.command("EXISTS", "api").as<int>(), 1);  // by then it says nothing any more
  pass(3ms);
  EXPECT_EQ(redis_.command("EXISTS", "api").as<int>(), 0);
}

TEST_F(RateLimiterTest, PeekTakesNone) {
  EXPECT_EQ(api_.peek(), 20);
  EXPECT_EQ(get("api"), "(nil)");
  EXPECT_TRUE(api_.try_acquire(3));
  EXPECT_EQ(api_.peek(), 17);
  pass(5ms);
  EXPECT_EQ(api_.peek(), 17);
  pass(5ms);
  EXPECT_EQ(api_.peek(), 18);
  pass(1h);
  EXPECT_EQ(api_.peek(), 20);
}

// ---- Waiting ----

TEST_F(RateLimiterTest, WaiterSleepsUntilItsPermitCounts) {
  EXPECT_TRUE(api_.try_acquire(20));
  auto const waited = support::time_of([&] {
    EXPECT_EQ(commands_of(redis_, [&] { EXPECT_TRUE(api_.try_acquire_for(1h, 2)); }),
              "evalsha 1, get 1, set 1, time 1");
  });
  EXPECT_GE(waited, 20ms);
  EXPECT_EQ(api_.try_acquire().retry_after(), 30ms);  // no time has passed there
}

TEST_F(RateLimiterTest, WaiterIsRefusedAtOnceWhenItsPermitWouldComeTooLate) {
  EXPECT_TRUE(api_.try_acquire(20));
  auto const before = get("api");
  EXPECT_EQ(api_.try_acquire_for(9ms).retry_after(), 10ms);
  EXPECT_EQ(api_.try_acquire_until(Deadline::min(), 2).retry_after(), 20ms);
  RateLimiter slow{redis_, "slow", {.rate = 1, .per = 2h}};
  EXPECT_TRUE(slow.try_acquire());
  EXPECT_EQ(slow.try_acquire_until(Deadline::max()).retry_after(), 2h);  // over an hour
  EXPECT_EQ(get("api"), before);
}

// ---- Blocks ----

TEST_F(RateLimiterTest, BlockIsOneCommandForAllThreadsOfTheObject) {
  RateLimiter leased{redis_, "leased", {.rate = 100, .per = 1s, .burst = 200, .lease = 100}};
  auto copy = leased;
  EXPECT_TRUE(copy.try_acquire());
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          support::on_threads(9, [&](int) {
                            for (int i = 0; i < 11; ++i) EXPECT_TRUE(leased.try_acquire());
                          });
                        }),
            "");
  EXPECT_EQ(commands_of(redis_, [&] { EXPECT_FALSE(leased.try_acquire()); }),
            "evalsha 1, get 1, time 1");
}

TEST_F(RateLimiterTest, BlockTakesWhatThereIs) {
  RateLimiter leased{redis_, "leased", {.rate = 100, .per = 1s, .burst = 30, .lease = 10}};
  EXPECT_TRUE(leased.try_acquire(14));  // more than a block
  EXPECT_EQ(leased.peek(), 6);
  EXPECT_TRUE(leased.try_acquire(2));
  EXPECT_EQ(leased.peek(), 0);
  EXPECT_TRUE(leased.try_acquire(3));
  EXPECT_EQ(leased.try_acquire(2).retry_after(), 20ms);  // one is left, which is not enough
  EXPECT_TRUE(leased.try_acquire());
}

TEST_F(RateLimiterTest, BlockEndsWithTheTimeInWhichItComesBack) {
  RateLimiter leased{redis_, "leased", {.rate = 100, .per = 1s, .burst = 30, .lease = 10}};
  auto const cost_after = [&](std::chrono::nanoseconds time) {
    EXPECT_TRUE(leased.try_acquire());
    pass(time);
    auto commands = commands_of(redis_, [&] { EXPECT_TRUE(leased.try_acquire()); });
    pass(1h);
    return commands;
  };
  EXPECT_EQ(cost_after(99ms), "");  // 0.1 ms may have been drifted
  EXPECT_EQ(cost_after(100ms), "evalsha 1, get 1, set 1, time 1");
}

TEST_F(RateLimiterTest, ThreadsThatWaitForABlockEndAtTheirDeadlines) {
  support::stands_still = false;
  auto options = Options::from_url(server_.url());
  options.command_timeout = 500ms;
  RateLimiter leased{Client{options}, "leased", {.rate = 1, .per = 24h, .burst = 30, .lease = 10}};
  server_.pause();
  auto const waited = support::time_of([&] {
    support::on_threads(8, [&](int) { EXPECT_THROW((void)leased.try_acquire(), Error); });
  });
  server_.resume();
  EXPECT_LT(waited, 500ms + support::stall);
}

// ---- What is given ----

TEST_F(RateLimiterTest, BadOptionsAreRefusedBeforeAnyConversation) {
  Client nowhere{"unix:///nowhere.sock"};
  auto const text = [&](std::string const& name, RateLimiterOptions options) {
    return text_of<std::invalid_argument>([&] { RateLimiter const made{nowhere, name, options}; });
  };
  EXPECT_THAT(text("", {}), HasSubstr("the name is empty; any bytes will do"));
  EXPECT_THAT(text("api", {.rate = 0}),
              HasSubstr("rate limiter \"api\": the rate is 0; accepted is 1 to 1000000"));
  EXPECT_THAT(text("api", {.rate = -1}), HasSubstr("the rate is -1"));
  EXPECT_THAT(text("api", {.rate = 1'000'001}), HasSubstr("the rate is 1000001"));
  EXPECT_THAT(text("api", {.per = 0s}), HasSubstr("per is 0 ms; accepted is 1 ms to 366 days"));
  EXPECT_THAT(text("api", {.per = -1s}), HasSubstr("per is -1000 ms"));
  EXPECT_THAT(text("api", {.per = 24h * 366 + 1ms}), HasSubstr("per is 31622400001 ms"));
  EXPECT_THAT(text("api", {.burst = 0}), HasSubstr("the burst is 0; accepted is 1 to 1000000"));
  EXPECT_THAT(text("api", {.per = 24h, .burst = 367}),
              HasSubstr("a burst of 367 takes longer than 366 days to come back"));
  EXPECT_THAT(text("api", {.burst = 9, .lease = 5}),
              HasSubstr("the lease is 5; accepted is 0 to half of the burst, 4"));
  EXPECT_THAT(text("api", {.lease = -1}), HasSubstr("the lease is -1"));
}

TEST_F(RateLimiterTest, BadCostIsRefusedBeforeAnyConversation) {
  RateLimiter nowhere{Client{"unix:///nowhere.sock"}, "api", {.burst = 20, .lease = 5}};
  for (std::int64_t const cost : {0, -1, 16}) {
    EXPECT_THAT(text_of<std::invalid_argument>([&] { (void)nowhere.try_acquire(cost); }),
                HasSubstr("rate limiter \"api\": the cost is " + std::to_string(cost) +
                          "; accepted is 1 to 15"));
    EXPECT_THROW((void)nowhere.try_acquire_for(1s, cost), std::invalid_argument);
  }
}

// ---- What it costs, what the server refuses, what the network does ----

TEST_F(RateLimiterTest, EachCallIsOneCommandAndOneRoundTrip) {
  FaultProxy proxy{server_};
  RateLimiter far{Client{proxy.url()}, "api", {.rate = 100, .per = 1s, .burst = 20}};
  EXPECT_TRUE(far.try_acquire());
  EXPECT_EQ(far.peek(), 19);
  auto const before = proxy.round_trips();
  EXPECT_EQ(commands_of(redis_, [&] { EXPECT_TRUE(far.try_acquire(2)); }),
            "evalsha 1, get 1, set 1, time 1");
  EXPECT_EQ(commands_of(redis_, [&] { (void)far.peek(); }), "evalsha 1, get 1, time 1");
  EXPECT_EQ(proxy.round_trips() - before, 2);
  redis_.command("SCRIPT", "FLUSH");
  EXPECT_TRUE(far.try_acquire());
  redis_.command("SCRIPT", "FLUSH");
  EXPECT_EQ(far.peek(), 16);
}

TEST_F(RateLimiterTest, ForeignKeyIsRefusedAndLeftAlone) {
  redis_.command("RPUSH", "api", "a");
  for (auto const& act : std::vector<std::function<void()>>{[&] { (void)api_.try_acquire(); },
                                                            [&] { (void)api_.try_acquire_for(1s); },
                                                            [&] { (void)api_.peek(); }}) {
    EXPECT_EQ(code_of(act), "WRONGTYPE");
  }
  EXPECT_EQ(redis_.command("LLEN", "api").as<int>(), 1);
  for (auto const* text : {"", "17", "1 2 3", "-1 0", "seven"}) {
    redis_.command("SET", "api", text);
    EXPECT_THAT(text_of<ServerError>([&] { (void)api_.try_acquire(); }),
                HasSubstr("the text there is not a rate limiter's"));
    EXPECT_EQ(code_of([&] { (void)api_.peek(); }), "ERR");
    EXPECT_EQ(get("api"), text);
  }
}

TEST_F(RateLimiterTest, ServerThatTakesNoWritesTakesNoPermits) {
  EXPECT_TRUE(api_.try_acquire());
  redis_.command("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(code_of([&] { (void)api_.try_acquire(); }), "OOM");
  redis_.command("CONFIG", "SET", "maxmemory", 0);
  redis_.command("REPLICAOF", "127.0.0.1", 1);
  EXPECT_EQ(code_of([&] { (void)api_.try_acquire(); }), "READONLY");
  redis_.command("REPLICAOF", "NO", "ONE");
  EXPECT_EQ(api_.peek(), 19);
}

TEST_F(RateLimiterTest, LostReplyIsInDoubtAndPermitsAreTakenOnce) {
  FaultProxy proxy{server_};
  RateLimiter far{Client{proxy.url()}, "api", {.rate = 100, .per = 1s, .burst = 20}};
  EXPECT_TRUE(far.try_acquire());
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW((void)far.try_acquire(2), InDoubt);
  EXPECT_EQ(api_.peek(), 17);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_in_reply);
  EXPECT_THROW((void)far.try_acquire_for(1s, 2), InDoubt);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_in_request);
  EXPECT_THROW((void)far.try_acquire(2), InDoubt);
  EXPECT_EQ(far.peek(), 15);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_EQ(far.peek(), 15);
}

TEST_F(RateLimiterTest, ServersClockThatIsSetBackByMuchBeginsAnew) {
  EXPECT_TRUE(api_.try_acquire(20));
  set_server_clock(now_ - 59min);
  EXPECT_EQ(api_.try_acquire().retry_after(), 59min + 10ms);
  set_server_clock(now_ - 24h);
  EXPECT_EQ(admitted(api_, 30), 20);
}

}  // namespace
}  // namespace tandem
