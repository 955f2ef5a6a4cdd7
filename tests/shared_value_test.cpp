#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/core/connection.hpp>
#include <tandem/lock.hpp>
#include <tandem/shared_value.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::commands_of;
using support::eventually;
using support::FaultProxy;
using ::testing::Contains;

using Number = SharedValue<std::int64_t>;
using Text = SharedValue<std::string>;

// A wait that must succeed fails its test after this instead of hanging.
constexpr auto long_enough = 20s;

class SharedValueTest : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] Client client() {
    auto options = Options::from_url(server_.url());
    options.protocol = GetParam();
    return Client{options};
  }
  /// The server tells the client about changes of one key at least.
  bool is_tracked() {
    return eventually([&] {
      auto const info = redis_.command("INFO", "stats").as<std::string>();
      return info.find("tracking_total_keys:0") == std::string::npos;
    });
  }

  testing::RedisServer server_{};
  Client redis_ = client();
  Number value_{redis_, "value"};
};

// ---- one value ----

TEST_P(SharedValueTest, IsThereOnceItWasSetAndGoneOnceItWasErased) {
  EXPECT_EQ(value_.get(), std::nullopt);
  value_.set(3);
  EXPECT_EQ(value_.get(), 3);
  EXPECT_EQ(redis_.command("GET", "value").as<std::string>(), "3") << "others read it as text";
  EXPECT_TRUE(value_.erase());
  EXPECT_FALSE(value_.erase());
  EXPECT_EQ(value_.get(), std::nullopt);
}

TEST_P(SharedValueTest, InsertStoresOnlyWhereThereIsNone) {
  EXPECT_TRUE(value_.insert(1));
  EXPECT_FALSE(value_.insert(2));
  EXPECT_EQ(value_.get(), 1);
}

TEST_P(SharedValueTest, CompareExchangeStoresOnlyWhereItIsWhatWasExpected) {
  EXPECT_FALSE(value_.compare_exchange(1, 2)) << "there is none";
  EXPECT_FALSE(redis_.command("EXISTS", "value").as<bool>());
  value_.set(1);
  EXPECT_FALSE(value_.compare_exchange(2, 3));
  EXPECT_EQ(value_.get(), 1);
  EXPECT_TRUE(value_.compare_exchange(1, 2));
  EXPECT_EQ(value_.get(), 2);
}

TEST_P(SharedValueTest, UpdateMakesAndChangesAndErases) {
  auto const one_more = [](std::optional<std::int64_t> now) { return now.value_or(0) + 1; };
  EXPECT_EQ(value_.update(one_more), 1);
  EXPECT_EQ(value_.update(one_more), 2);
  auto const gone = [](std::optional<std::int64_t>) { return std::optional<std::int64_t>{}; };
  EXPECT_EQ(value_.update(gone), std::nullopt);
  EXPECT_EQ(value_.get(), std::nullopt);
}

TEST_P(SharedValueTest, UpdateLosesNoneOfManyThreads) {
  constexpr int threads = 8, times = 50;
  support::on_threads(threads, [&](int) {
    Number value{client(), "value"};
    for (int i = 0; i < times; ++i) {
      value.update([](std::optional<std::int64_t> now) { return now.value_or(0) + 1; });
    }
  });
  EXPECT_EQ(value_.get(), threads * times);
}

TEST_P(SharedValueTest, UpdateAppliesNothingWhereTheChangeThrows) {
  value_.set(1);
  auto const fails = [](std::optional<std::int64_t>) -> std::int64_t {
    throw std::domain_error{"no"};
  };
  EXPECT_THROW(value_.update(fails), std::domain_error);
  EXPECT_EQ(value_.get(), 1);
}

TEST_P(SharedValueTest, UpdateThatIsForestalledUntilTheDeadlineAppliesNothing) {
  auto options = Options::from_url(server_.url());
  options.command_timeout = 2s;
  Number impatient{Client{options}, "value"};
  std::int64_t others = 0;
  std::optional<Deadline> over;
  auto const late = [&](std::optional<std::int64_t>) {
    if (!over) over = std::chrono::steady_clock::now() + options.command_timeout;
    value_.set(++others);
    // Not while a question is under way, which would be in doubt then.
    if (others == 3) std::this_thread::sleep_until(*over);
    return std::int64_t{-1};
  };
  EXPECT_THROW(impatient.update(late), Conflict);
  EXPECT_EQ(others, 3);
  EXPECT_EQ(value_.get(), others);
}

TEST_P(SharedValueTest, UpdateLeavesAnExpiryThatOthersHaveSet) {
  value_.set(1);
  redis_.command("EXPIRE", "value", 100);
  value_.update([](std::optional<std::int64_t>) { return 2; });
  EXPECT_GT(redis_.command("TTL", "value").as<int>(), 0);
}

TEST_P(SharedValueTest, SetUnderAHoldIsRefusedOnceItIsLost) {
  auto hold = Lock{redis_, "lock"}.acquire();
  value_.set(1, hold);
  EXPECT_EQ(value_.get(), 1);
  redis_.command("DEL", "lock");
  EXPECT_THROW(value_.set(2, hold), LockLost);
  EXPECT_EQ(value_.get(), 1);
}

TEST_P(SharedValueTest, EachMemberCostsWhatItsDocumentationSays) {
  value_.set(0);
  (void)value_.compare_exchange(1, 1);  // the server knows the script
  EXPECT_EQ(commands_of(redis_, [&] { value_.set(1); }), "set 1");
  EXPECT_EQ(commands_of(redis_, [&] { (void)value_.get(); }), "get 1");
  EXPECT_EQ(commands_of(redis_, [&] { value_.update([](auto) { return 2; }); }),
            "evalsha 1, get 2, set 1");
  EXPECT_EQ(commands_of(redis_, [&] { value_.update([](auto) { return 2; }); }), "get 1");
  EXPECT_EQ(commands_of(redis_, [&] { (void)value_.wait_until([](auto) { return true; }); }),
            "get 1");
}

// ---- waiting ----

TEST_P(SharedValueTest, WaitReturnsAtOnceWhatIsThereAlready) {
  value_.set(5);
  EXPECT_EQ(value_.wait_until([](std::int64_t now) { return now == 5; }), 5);
  EXPECT_EQ(support::background_threads(), 0) << "and starts nothing for it";
}

TEST_P(SharedValueTest, WaitIsWokenByWhoeverChangesTheValue) {
  value_.set(1);
  std::atomic<std::int64_t> got = 0;
  std::jthread waiter{[&] {
    got = value_.wait_for([](std::int64_t now) { return now > 2; }, long_enough).value_or(-1);
  }};
  ASSERT_TRUE(is_tracked());
  value_.set(2);
  redis_.command("INCRBY", "value", 5);
  EXPECT_TRUE(eventually([&] { return got == 7; }));
}

TEST_P(SharedValueTest, WaitBeginsBeforeThereIsAValue) {
  std::atomic<bool> got = false;
  std::jthread waiter{
      [&] { got = value_.wait_for([](std::int64_t now) { return now == 1; }, long_enough) == 1; }};
  ASSERT_TRUE(is_tracked());
  value_.set(1);
  EXPECT_TRUE(eventually([&] { return got.load(); }));
}

TEST_P(SharedValueTest, WaitAsksNothingWhileNothingChanges) {
  value_.set(1);
  std::stop_source stop;
  std::jthread waiter{
      [&] { (void)value_.wait_until([](auto) { return false; }, stop.get_token()); }};
  ASSERT_TRUE(is_tracked());
  EXPECT_EQ(commands_of(redis_, [] { std::this_thread::sleep_for(1500ms); }), "")
      << "time that passes is the condition";
  stop.request_stop();
}

TEST_P(SharedValueTest, ManyThreadsThatWaitCostOneReadForEachChange) {
  constexpr int threads = 8, rounds = 6;
  value_.set(0);
  std::array<std::atomic<int>, rounds + 1> looked{};
  std::vector<std::jthread> waiters;
  for (int i = 0; i < threads; ++i) {
    waiters.emplace_back([&, last = std::int64_t{-1}]() mutable {
      (void)value_.wait_for(
          [&](std::int64_t now) {
            if (std::exchange(last, now) != now) ++looked.at(static_cast<std::size_t>(now));
            return now == rounds;
          },
          long_enough);
    });
  }
  // As one begins to wait the value is read for it: of the rounds the one counts that costs least.
  std::set<std::string> costs;
  for (int round = 0; round <= rounds; ++round) {
    costs.insert(commands_of(redis_, [&] {
      value_.set(round);
      EXPECT_TRUE(
          eventually([&] { return looked.at(static_cast<std::size_t>(round)) == threads; }));
    }));
  }
  EXPECT_THAT(costs, Contains("get 1, set 1"));
}

TEST_P(SharedValueTest, WaitEndsAtItsDeadlineOrWhenItIsStopped) {
  EXPECT_EQ(value_.wait_for([](auto) { return true; }, 20ms), std::nullopt);
  std::stop_source stop;
  std::optional<std::int64_t> got = 0;
  std::jthread waiter{
      [&] { got = value_.wait_until([](auto) { return true; }, stop.get_token()); }};
  stop.request_stop();
  waiter.join();
  EXPECT_EQ(got, std::nullopt);
}

TEST_P(SharedValueTest, WaitGoesOnWhenItsConnectionIsLostAndMissesNothing) {
  value_.set(1);
  std::atomic<std::int64_t> got = 0;
  std::jthread waiter{[&] {
    got = value_.wait_for([](std::int64_t now) { return now == 2; }, long_enough).value_or(-1);
  }};
  ASSERT_TRUE(is_tracked());
  Connection other{server_.url()};
  other.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  other.command("SET", "value", 2);
  EXPECT_TRUE(eventually([&] { return got == 2; }));
}

TEST_P(SharedValueTest, WaitOutlivesARestartOfTheServer) {
  std::atomic<std::int64_t> got = 0;
  std::jthread waiter{[&] {
    got = value_.wait_for([](std::int64_t now) { return now == 2; }, long_enough).value_or(-1);
  }};
  ASSERT_TRUE(is_tracked());
  server_.kill();
  server_.restart();
  Connection{server_.url()}.command("SET", "value", 2);
  EXPECT_TRUE(eventually([&] { return got == 2; }));
}

TEST_P(SharedValueTest, WaitWithoutTrackingLooksNowAndThen) {
  redis_.command("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "&*", "+@all",
                 "-client|tracking");
  auto options = Options::from_url(server_.url());
  options.protocol = GetParam();
  options.user = "deaf";
  options.password = "secret";
  Number const value{Client{options}, "value"};
  std::atomic<bool> got = false;
  std::jthread waiter{
      [&] { got = value.wait_for([](std::int64_t now) { return now == 1; }, long_enough) == 1; }};
  value_.set(1);
  EXPECT_TRUE(eventually([&] { return got.load(); }));
}

// ---- what goes wrong ----

TEST_P(SharedValueTest, WhatCannotBeDecodedIsNamedAndLeftAsItIs) {
  redis_.command("SET", "value", "no number");
  auto const all = {
      std::function<void()>{[&] { (void)value_.get(); }},
      std::function<void()>{[&] { value_.update([](auto) { return 1; }); }},
      std::function<void()>{[&] { (void)value_.wait_until([](auto) { return true; }); }}};
  for (auto const& each : all) {
    EXPECT_NE(support::text_of<CodecError>(each).find("value \"value\""), std::string::npos);
  }
  EXPECT_EQ(redis_.command("GET", "value").as<std::string>(), "no number");
}

TEST_P(SharedValueTest, KeyOfAnotherTypeIsRefusedAndLeftAlone) {
  redis_.command("RPUSH", "value", "x");
  EXPECT_EQ(code_of([&] { (void)value_.get(); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)value_.compare_exchange(1, 2); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { value_.update([](auto) { return 1; }); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)value_.wait_until([](auto) { return true; }); }), "WRONGTYPE");
  EXPECT_EQ(redis_.command("LLEN", "value").as<int>(), 1);
}

TEST_P(SharedValueTest, WaitIsToldWhenTheKeyBecomesAnotherType) {
  std::string code;
  std::jthread waiter{[&] {
    code = code_of([&] { (void)value_.wait_for([](auto) { return true; }, long_enough); });
  }};
  ASSERT_TRUE(is_tracked());
  redis_.command("RPUSH", "value", "x");
  waiter.join();
  EXPECT_EQ(code, "WRONGTYPE");
}

TEST_P(SharedValueTest, LostReplyToAChangeIsNotSentAgain) {
  FaultProxy way{server_};
  Number far{Client{way.url()}, "value"};
  way.next("SET", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW(far.set(1), InDoubt);
  EXPECT_EQ(far.get(), 1);
  (void)far.compare_exchange(0, 0);
  way.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW((void)far.compare_exchange(1, 2), InDoubt);
  EXPECT_EQ(far.get(), 2);
}

TEST_P(SharedValueTest, AnyBytesAreAValue) {
  auto patient = Options::from_url(server_.url());
  patient.command_timeout = 60s;  // 64 MiB on a machine that stalls
  Text text{Client{patient}, std::string{"na\0me {", 7}};
  std::string const bytes{"\0\r\n\xff", 4};
  text.set(bytes);
  EXPECT_EQ(text.get(), bytes);
  text.set("");
  EXPECT_EQ(text.get(), "");
  EXPECT_TRUE(text.compare_exchange("", bytes));
  std::string const large(64 << 20, 'x');
  text.set(large);
  EXPECT_EQ(text.get(), large);
}

TEST_P(SharedValueTest, EmptyNameIsRefusedBeforeAnyIo) {
  EXPECT_THROW((Number{Client{"unix:///nowhere"}, ""}), std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(WithResp, SharedValueTest, ::testing::Values(2, 3));

}  // namespace
}  // namespace tandem
