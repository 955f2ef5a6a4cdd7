#include <chrono>
#include <cstdint>
#include <future>
#include <optional>
#include <stdexcept>
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
using support::Jobs;
using support::text_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class QueueTest : public support::QueueScene {};

INSTANTIATE_TEST_SUITE_P(Protocol, QueueTest, ::testing::Values(3, 2), support::protocol_name);

TEST_P(QueueTest, JobsAreGivenOutInTheOrderInWhichTheyWerePushed) {
  Queue<std::int64_t> numbers{redis_, "numbers"};
  EXPECT_FALSE(numbers.try_pop());
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(numbers.push(i));
  for (int i = 0; i < 100; ++i) {
    auto job = numbers.try_pop();
    ASSERT_TRUE(job);
    EXPECT_EQ(job->value(), i);
    EXPECT_EQ(job->delivery(), 1U);
    EXPECT_TRUE(job->ack());
    EXPECT_FALSE(job->ack());  // said already
  }
  EXPECT_FALSE(numbers.try_pop());
  EXPECT_EQ(numbers.depth(), 0U);
}

TEST_P(QueueTest, JobMayHaveAnyBytes) {
  Jobs odd{redis_, "a {b} c"};
  std::string const bytes{"\0\r\n} 1 2 \xff", 10};
  odd.push(bytes);
  odd.push(bytes, {.delay = 100ms, .id = bytes});
  odd.push("");
  EXPECT_EQ(odd.pop(long_enough)->value(), bytes);
  EXPECT_EQ(odd.pop(long_enough)->value(), "");
  auto const delayed = odd.pop(long_enough);
  EXPECT_EQ(delayed->value(), bytes);
  EXPECT_EQ(delayed->id(), bytes);
}

TEST_P(QueueTest, JobSaysWhenItWasPushedAndWhichItIs) {
  auto const now = [this] {
    auto const time = redis_.command("TIME").as<std::vector<std::int64_t>>();
    return std::chrono::sys_time<std::chrono::milliseconds>{
        std::chrono::milliseconds{time[0] * 1000 + time[1] / 1000}};
  };
  auto const before = now();
  jobs_.push("a");
  jobs_.push("b", {.delay = 30ms, .id = "order-42"});
  auto const after = now();
  auto const a = jobs_.pop(long_enough);
  auto const b = jobs_.pop(long_enough);
  EXPECT_NE(a->id(), "");
  EXPECT_EQ(b->id(), "order-42");
  for (auto const* each : {&*a, &*b}) {
    EXPECT_GE(each->pushed_at(), before);
    EXPECT_LE(each->pushed_at(), after);
  }
}

TEST_P(QueueTest, JobTakesThreeCommandsAndManyTakeThree) {
  jobs_.push("the scripts are known");
  (void)drained(jobs_);
  EXPECT_THAT(commands_of(redis_, [&] { jobs_.push("a"); }), HasSubstr("evalsha 1,"));
  std::optional<Job<std::string>> job;
  EXPECT_THAT(commands_of(redis_, [&] { job = jobs_.try_pop(); }), HasSubstr("evalsha 1,"));
  EXPECT_THAT(commands_of(redis_, [&] { job->ack(); }), HasSubstr("evalsha 1,"));
  auto const said_already = commands_of(redis_, [&] {
    EXPECT_FALSE(job->ack());
    EXPECT_FALSE(job->reject("no"));
    EXPECT_FALSE(job->retry_after(0ms));
    EXPECT_FALSE(job->extend());
  });
  EXPECT_EQ(said_already, "");

  std::vector<std::string> const many(1000, "a job");
  EXPECT_THAT(commands_of(redis_, [&] { jobs_.push_many(many); }), HasSubstr("evalsha 1,"));
  std::vector<Job<std::string>> given;
  EXPECT_THAT(commands_of(redis_, [&] { given = jobs_.pop_many(1000, 0s); }),
              HasSubstr("evalsha 1,"));
  ASSERT_THAT(given, SizeIs(1000));
  EXPECT_THAT(commands_of(redis_, [&] { EXPECT_EQ(jobs_.ack(given), 1000U); }),
              HasSubstr("evalsha 1,"));
  EXPECT_EQ(jobs_.ack(given), 0U);  // said already
  EXPECT_EQ(jobs_.depth(), 0U);
}

TEST_P(QueueTest, HigherPriorityIsServedFirst) {
  jobs_.push("low", {.priority = Priority::low});
  jobs_.push("normal");
  jobs_.push("high", {.priority = Priority::high});
  jobs_.push("high too", {.priority = Priority::high});
  EXPECT_THAT(drained(jobs_), ElementsAre("high", "high too", "normal", "low"));
}

TEST_P(QueueTest, PausedQueueGivesOutNothingUntilItIsResumed) {
  jobs_.push("a");
  EXPECT_TRUE(jobs_.pause());
  EXPECT_FALSE(jobs_.pause());
  EXPECT_TRUE(jobs_.state().paused);
  EXPECT_FALSE(jobs_.try_pop());
  auto popped = waiting_pop(jobs_);
  jobs_.push("b");
  EXPECT_TRUE(jobs_.resume());
  EXPECT_FALSE(jobs_.resume());
  EXPECT_EQ(popped.get()->value(), "a");
  EXPECT_THAT(drained(jobs_), ElementsAre("b"));
}

TEST_P(QueueTest, DrainWaitsForTheLastJob) {
  EXPECT_TRUE(jobs_.drain(0s));
  jobs_.push("a");
  EXPECT_FALSE(jobs_.drain(1ms));
  auto job = jobs_.try_pop();
  auto drained = std::async(std::launch::async, [&] { return jobs_.drain(long_enough); });
  ASSERT_TRUE(eventually([&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>() == 1; }));
  job->ack();
  EXPECT_TRUE(drained.get());
}

TEST_P(QueueTest, DrainThatIsStoppedReturns) {
  jobs_.push("a");
  std::stop_source stop;
  auto drained =
      std::async(std::launch::async, [&] { return jobs_.drain(long_enough, stop.get_token()); });
  auto const blocked = [&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>(); };
  ASSERT_TRUE(eventually([&] { return blocked() == 1; }));
  stop.request_stop();
  ASSERT_EQ(drained.wait_for(long_enough / 2), std::future_status::ready);
  EXPECT_FALSE(drained.get());
  EXPECT_TRUE(eventually([&] { return blocked() == 0; }));
}

TEST_P(QueueTest, WhoDrainsGoesOnWaitingWhenItIsToldTooEarly) {
  EXPECT_TRUE(jobs_.drain(0s));  // it listens in a moment
  ASSERT_TRUE(
      eventually([&] { return redis_.command("PUBSUB", "CHANNELS", "tandem:*").size() == 1; }));
  auto const channel = redis_.command("PUBSUB", "CHANNELS", "tandem:*")[0].as<std::string>();
  jobs_.push("a");
  auto job = jobs_.try_pop();
  auto drained = std::async(std::launch::async, [&] { return jobs_.drain(long_enough); });
  ASSERT_TRUE(eventually([&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>() == 1; }));
  redis_.command("CONFIG", "RESETSTAT");
  redis_.command("PUBLISH", channel, "ask 2");
  ASSERT_TRUE(eventually([&] {  // it has asked
    auto const stats = redis_.command("INFO", "commandstats").as<std::string>();
    return stats.find("cmdstat_evalsha:calls=1,") != std::string::npos;
  }));
  job->ack();
  EXPECT_TRUE(drained.get());
}

TEST_P(QueueTest, AllWhoDrainAndWhoPushAreToldThatTheLastJobIsDone) {
  Jobs own{redis_, "jobs", {.most = 1, .wait_for_room = long_enough}};
  EXPECT_TRUE(own.drain(0s));
  own.push("a");
  auto const drain = [&] { return own.drain(long_enough); };
  auto one = std::async(std::launch::async, drain);
  auto other = std::async(std::launch::async, drain);
  ASSERT_TRUE(eventually([&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>() == 2; }));
  own.try_pop()->ack();
  for (auto* const each : {&one, &other}) {
    ASSERT_EQ(each->wait_for(before_it_looks_in), std::future_status::ready);
    EXPECT_TRUE(each->get());
  }
}

TEST_P(QueueTest, WhoDrainsDoesNotWaitForAnotherWhoIsToldLater) {
  EXPECT_TRUE(jobs_.drain(0s));  // it listens in a moment
  Far far{*this, 6s};
  jobs_.push("a");
  auto const blocked = [&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>(); };
  auto late = std::async(std::launch::async, [&] { return far.jobs->drain(long_enough); });
  ASSERT_TRUE(eventually([&] { return blocked() == 1; }));
  auto near = std::async(std::launch::async, [&] { return jobs_.drain(long_enough); });
  ASSERT_TRUE(eventually([&] { return blocked() == 2; }));
  jobs_.try_pop()->ack();
  ASSERT_EQ(near.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(near.get());
  EXPECT_TRUE(late.get());
}

TEST_P(QueueTest, StateSaysWhatThereIs) {
  auto const before = jobs_.state();
  EXPECT_EQ(before.depth(), 0U);
  EXPECT_FALSE(before.age_of_oldest);
  for (int i = 0; i < 5; ++i) jobs_.push("a", {.priority = i < 3 ? Priority::low : Priority::high});
  jobs_.push("a", {.delay = 1h});
  auto first = jobs_.try_pop();
  auto second = jobs_.try_pop();
  second->reject("no");
  auto const state = jobs_.state();
  EXPECT_EQ(state.ready, 3U);
  EXPECT_EQ(state.delayed, 1U);
  EXPECT_EQ(state.taken, 1U);
  EXPECT_EQ(state.dead_letters, 1U);
  EXPECT_EQ(state.depth(), 5U);
  ASSERT_TRUE(state.age_of_oldest);
  EXPECT_LT(*state.age_of_oldest, 1min);
  EXPECT_TRUE(eventually([&] { return jobs_.state().age_of_oldest > *state.age_of_oldest; }));
  first->ack();
  (void)drained(jobs_);
  EXPECT_FALSE(jobs_.state().age_of_oldest);
  jobs_.push("a", {.priority = Priority::low});
  EXPECT_TRUE(jobs_.state().age_of_oldest);
}

TEST_P(QueueTest, WhatIsOutOfRangeIsRefusedBeforeAnythingIsSent) {
  auto const refused = [&](QueueOptions const& options) {
    return text_of<std::invalid_argument>([&] { Jobs{redis_, "jobs", options}; });
  };
  EXPECT_THROW((Jobs{redis_, ""}), std::invalid_argument);
  EXPECT_THAT(refused({.visibility = 0ms}), HasSubstr("visibility in ms is 0"));
  EXPECT_THAT(refused({.max_deliveries = 0}), HasSubstr("max_deliveries is 0"));
  EXPECT_THAT(refused({.most = 1ULL << 40U}), HasSubstr("most is"));
  EXPECT_THAT(refused({.wait_for_room = -1ms}), HasSubstr("wait_for_room"));
  EXPECT_THAT(refused({.id_window = 1s}), HasSubstr("id_window in ms is 1000"));
  EXPECT_THAT(refused({.visibility = 99ms, .auto_extend = true}), HasSubstr("accepted are 100"));
  EXPECT_THAT(refused({.visibility = 169h}), HasSubstr("1 to 604800000"));
  EXPECT_THAT(refused({.max_deliveries = 1'000'001}), HasSubstr("1 to 1000000"));
  EXPECT_THAT(refused({.wait_for_room = 25h}), HasSubstr("0 to 86400000"));
  EXPECT_THAT(refused({.id_window = 367 * 24h}), HasSubstr("to 31622400000"));
  jobs_.push("a");
  auto job = jobs_.try_pop();
  jobs_.push_many(std::vector<std::string>(1000));
  jobs_.push("one more");
  auto many = jobs_.pop_many(1000, 0s);
  many.push_back(jobs_.try_pop().value());
  Jobs small{redis_, "jobs", {.most = 1}};
  auto const commands = commands_of(redis_, [&] {
    EXPECT_THROW(jobs_.push("a", {.delay = -1ms}), std::invalid_argument);
    EXPECT_THROW(jobs_.push("a", {.delay = 36'501 * 24h}), std::invalid_argument);
    EXPECT_THROW(job->retry_after(-1ms), std::invalid_argument);
    EXPECT_THROW(job->retry_after(36'501 * 24h), std::invalid_argument);
    EXPECT_FALSE(job->is_settled());
    for (int const priority : {0, 4})
      EXPECT_THROW(jobs_.push("a", {.priority = Priority{priority}}), std::invalid_argument);
    std::vector<std::string> const two(2);
    EXPECT_THROW(jobs_.push_many(two, {.id = "x"}), std::invalid_argument);
    EXPECT_THROW(small.push_many(two), std::invalid_argument);
    EXPECT_THROW(jobs_.push_many(std::vector<std::string>(1001)), std::invalid_argument);
    EXPECT_THROW((void)jobs_.pop_many(0, 0s), std::invalid_argument);
    EXPECT_THROW((void)jobs_.pop_many(1001, 0s), std::invalid_argument);
    EXPECT_THROW(jobs_.requeue(std::vector<std::string>(1001)), std::invalid_argument);
    EXPECT_THROW(jobs_.ack(many), std::invalid_argument);
    EXPECT_FALSE(many[0].is_settled());
    jobs_.push_many({});
  });
  EXPECT_EQ(commands, "");
}

}  // namespace
}  // namespace tandem
