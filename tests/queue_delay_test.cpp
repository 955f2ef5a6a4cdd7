// Jobs that are given out later, and who looks out for them.
#include <chrono>
#include <future>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/queue.hpp>

#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/queue_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::commands_of;
using support::eventually;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class QueueDelayTest : public support::QueueScene {};

INSTANTIATE_TEST_SUITE_P(Protocol, QueueDelayTest, ::testing::Values(3, 2), support::protocol_name);

TEST_P(QueueDelayTest, WhatFallsDueIsLookedOutForAlsoWhenWhoDidIsDead) {
  redis_.command("ZADD", "{jobs}:waiters", 0, "dead/1/30000/5/nobody");
  auto popped = waiting_pop(jobs_);
  jobs_.push("a", {.delay = 100ms});
  ASSERT_EQ(popped.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_EQ(popped.get()->value(), "a");
}

TEST_P(QueueDelayTest, DelayedJobIsThereWhenItsTimeHasComeAndWakesWhoWaits) {
  jobs_.push("far", {.delay = 1h});
  auto popped = waiting_pop(jobs_);
  jobs_.push("late", {.delay = 1500ms});
  jobs_.push("soon", {.delay = 100ms});
  auto const first = popped.get();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->value(), "soon");
  EXPECT_EQ(jobs_.pop(before_it_looks_in)->value(), "late");
  auto const state = jobs_.state();
  EXPECT_EQ(state.delayed, 1U);
  EXPECT_EQ(state.depth(), 3U);
}

TEST_P(QueueDelayTest, JobsThatFallDueTogetherWakeAsManyAsWait) {
  std::vector<std::future<std::optional<Job<std::string>>>> pops;
  for (int i = 0; i < 2; ++i) {
    pops.push_back(std::async(std::launch::async, [&] { return jobs_.pop(before_it_looks_in); }));
    ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == pops.size(); }));
  }
  jobs_.push_many(std::vector<std::string>{"a", "b"}, {.delay = 100ms});
  for (auto& each : pops) EXPECT_TRUE(each.get());
}

TEST_P(QueueDelayTest, JobsThatAreAlikeAreDelayedEachAndGivenOutTogether) {
  jobs_.push_many(std::vector<std::string>(7, "a"), {.delay = 1ms});
  ASSERT_TRUE(eventually([&] {  // they are due
    auto const time = redis_.command("TIME").as<std::vector<double>>();
    return redis_.command("ZCOUNT", "{jobs}:delayed", 0, time[0] * 1e6 + time[1]).as<int>() == 7;
  }));
  EXPECT_THAT(jobs_.pop_many(10, 0s), SizeIs(7));
}

TEST_P(QueueDelayTest, WhatFallsDueIsLookedOutForAlsoWhenWhoDidHasLeft) {
  auto popped = waiting_pop(jobs_);
  auto later = std::async(std::launch::async, [&] { return jobs_.pop(before_it_looks_in); });
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 2; }));
  jobs_.push("a", {.delay = 100ms});  // the first one is told, and leaves with it
  jobs_.push("b", {.delay = 1s});
  EXPECT_EQ(popped.get()->value(), "a");
  auto const b = later.get();
  ASSERT_TRUE(b);
  EXPECT_EQ(b->value(), "b");
}

TEST_P(QueueDelayTest, WhatFallsDueIsLookedOutForAlsoWhenWhoDidGivesUp) {
  std::stop_source stop;
  auto first = waiting_pop(jobs_, stop.get_token());
  auto next = waiting_pop(jobs_);
  jobs_.push("a", {.delay = 1s});  // the first one is told
  stop.request_stop();
  EXPECT_FALSE(first.get());
  ASSERT_EQ(next.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(next.get());
}

TEST_P(QueueDelayTest, WhoWaitsAtAPausedQueueAsksNothing) {
  jobs_.pause();
  jobs_.push("due", {.delay = 1ms});
  auto popped = waiting_pop(jobs_);
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          for (int i = 0; i < 300; ++i) redis_.command("PING");
                        }),
            "");
  EXPECT_THAT(commands_of(redis_,
                          [&] {
                            jobs_.resume();
                            EXPECT_TRUE(popped.get());
                          }),
              HasSubstr("evalsha 1,"));
}

TEST_P(QueueDelayTest, WhatFallsDueIsLookedOutForAgainWhenThePauseIsOver) {
  jobs_.push("a", {.delay = 1s});
  jobs_.pause();
  auto popped = waiting_pop(jobs_);
  jobs_.resume();
  ASSERT_EQ(popped.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(popped.get());
}

}  // namespace
}  // namespace tandem
