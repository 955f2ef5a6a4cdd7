// Who waits for jobs: what they are told, and by whom.
#include <chrono>
#include <cstddef>
#include <future>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/queue.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/queue_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::commands_of;
using support::eventually;
using support::FaultProxy;
using support::Jobs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class QueueWaitingTest : public support::QueueScene {};

INSTANTIATE_TEST_SUITE_P(Protocol, QueueWaitingTest, ::testing::Values(3, 2),
                         support::protocol_name);

TEST_P(QueueWaitingTest, WhoWaitsIsToldTheJobByTheServerAndAsksNoMore) {
  jobs_.push("the scripts are known");
  (void)drained(jobs_);
  auto popped = waiting_pop(jobs_);
  auto const commands = commands_of(redis_, [&] {
    jobs_.push("a");
    auto const job = popped.get();
    ASSERT_TRUE(job);
    EXPECT_EQ(job->value(), "a");
    EXPECT_EQ(job->delivery(), 1U);
  });
  EXPECT_THAT(commands, AllOf(HasSubstr("evalsha 1,"), ::testing::Not(HasSubstr("eval "))));
}

TEST_P(QueueWaitingTest, WhoWaitsAsksOnceForAJobOfMoreThan64KiB) {
  jobs_.push("the scripts are known");
  (void)drained(jobs_);
  auto const commands_for = [&](std::size_t size) {
    auto popped = waiting_pop(jobs_);
    return commands_of(redis_, [&] {
      jobs_.push(std::string(size, 'x'));
      EXPECT_EQ(popped.get()->value().size(), size);
    });
  };
  EXPECT_THAT(commands_for(65'536), HasSubstr("evalsha 1,"));
  EXPECT_THAT(commands_for(65'537), HasSubstr("evalsha 2,"));
}

TEST_P(QueueWaitingTest, WhoWaitsForManyIsGivenAsManyAsThereAre) {
  auto popped = std::async(std::launch::async, [&] { return jobs_.pop_many(10, long_enough); });
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 1; }));
  jobs_.push_many(std::vector<std::string>(7, "a"));
  EXPECT_THAT(popped.get(), SizeIs(7));
}

TEST_P(QueueWaitingTest, WhoWaitsForManyKeepsTheOneItWasToldWhereTheServerDoesNotSayMore) {
  FaultProxy proxy{server_};
  Jobs there{Client{proxy.url()}, "jobs"};
  auto first = waiting_pop(there);
  jobs_.push("it listens");
  EXPECT_TRUE(first.get()->ack());
  auto popped = std::async(std::launch::async, [&] { return there.pop_many(10, long_enough); });
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 1; }));
  proxy.next("EVALSHA", FaultProxy::Fault::cut_before_request);
  jobs_.push("a");
  EXPECT_THAT(popped.get(), SizeIs(1));
  EXPECT_EQ(proxy.met(), 1);
}

TEST_P(QueueWaitingTest, EachOfThoseWhoWaitIsGivenOneOfManyJobs) {
  std::vector<std::future<std::optional<Job<std::string>>>> pops;
  for (int i = 0; i < 8; ++i) pops.push_back(waiting_pop(jobs_));
  jobs_.push_many(std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8"});
  std::set<std::string> got;
  for (auto& each : pops) {
    auto job = each.get();
    ASSERT_TRUE(job);
    got.insert(job->value());
    job->ack();
  }
  EXPECT_THAT(got, SizeIs(8));
  EXPECT_THAT(drained(jobs_), ElementsAre("8"));
}

TEST_P(QueueWaitingTest, PopThatIsStoppedReturnsAndWhatComesLaterIsAnothers) {
  std::stop_source stop;
  auto popped = waiting_pop(jobs_, stop.get_token());
  stop.request_stop();
  EXPECT_FALSE(popped.get());
  EXPECT_TRUE(eventually([&] { return jobs_.state().waiting == 0; }));
  jobs_.push("a");
  EXPECT_THAT(drained(jobs_), ElementsAre("a"));
}

TEST_P(QueueWaitingTest, JobThatIsGivenToOneWhoHasJustGivenUpIsGivenBackUnseen) {
  Far far{*this, 1500ms};
  std::stop_source stop;
  auto popped = waiting_pop(*far.jobs, stop.get_token());
  jobs_.push("a");  // the message is on its way for a while
  EXPECT_EQ(jobs_.state().taken, 1U);
  stop.request_stop();
  EXPECT_FALSE(popped.get());
  auto const job = jobs_.pop(long_enough);
  ASSERT_TRUE(job);
  EXPECT_EQ(job->value(), "a");
  EXPECT_EQ(job->delivery(), 1U);
}

TEST_P(QueueWaitingTest, EndOfAClientWaitsUntilWhatIsOnItsWayToItIsGivenBack) {
  Far far{*this, 1500ms};
  std::stop_source stop;
  auto popped = waiting_pop(*far.jobs, stop.get_token());
  jobs_.push("a");  // the message is on its way for a while
  stop.request_stop();
  EXPECT_FALSE(popped.get());
  auto end = std::async(std::launch::async, [&] { far.jobs.reset(); });
  ASSERT_EQ(end.wait_for(long_enough / 2), std::future_status::ready) << "it waits for no more";
  auto const job = jobs_.try_pop();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->value(), "a");
  EXPECT_EQ(job->delivery(), 1U);
}

TEST_P(QueueWaitingTest, WhoAsksBeforeItIsToldWhatItWasGivenTakesNothingBesides) {
  Far far{*this, 2500ms};
  jobs_.push("b", {.delay = 1s});  // it asks then
  auto popped = waiting_pop(*far.jobs);
  jobs_.push("a");  // it is told of this one later
  auto b = popped.get();
  ASSERT_TRUE(b);
  if (b->value() == "a") GTEST_SKIP() << "the machine was slow";
  b.reset();
  far.jobs.reset();  // its client ends, and waits for what is on its way
  auto const a = jobs_.try_pop();
  ASSERT_TRUE(a);
  EXPECT_EQ(a->value(), "a");
  EXPECT_EQ(a->delivery(), 1U);
}

TEST_P(QueueWaitingTest, WhoWaitsAndIsDeadIsPassedOver) {
  auto popped = waiting_pop(jobs_);
  redis_.command("ZADD", "{jobs}:waiters", 9e15, "dead/1/30000/5/nobody");
  jobs_.push("a");
  ASSERT_EQ(popped.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_EQ(popped.get()->value(), "a");
  redis_.command("ZADD", "{jobs}:waiters", 9e15, "dead/2/30000/5/nobody");
  jobs_.push("b");
  auto const job = jobs_.try_pop();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->value(), "b");
  EXPECT_EQ(job->delivery(), 1U);
}

TEST_P(QueueWaitingTest, LargeJobIsNotSentWithTheMessage) {
  redis_.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1");
  std::string const large(4U << 20U, 'x');
  auto patient = options();
  patient.command_timeout = long_enough;  // on a busy machine such a push takes a while
  Jobs own{Client{patient}, "jobs"};
  auto first = waiting_pop(own);
  auto second = waiting_pop(own);
  own.push_many(std::vector{large, large});
  for (auto* const each : {&first, &second}) {
    auto const job = each->get();
    ASSERT_TRUE(job);
    EXPECT_EQ(job->value(), large);
    EXPECT_EQ(job->delivery(), 1U);
  }
}

TEST_P(QueueWaitingTest, LargeJobsAreTakenByAllWhoWait) {
  std::vector<std::future<std::optional<Job<std::string>>>> pops;
  for (int i = 0; i < 3; ++i) pops.push_back(waiting_pop(jobs_));
  jobs_.push_many(std::vector<std::string>(3, std::string(100'000, 'x')));
  for (auto& each : pops) {
    ASSERT_EQ(each.wait_for(before_it_looks_in), std::future_status::ready);
    EXPECT_TRUE(each.get());
  }
}

TEST_P(QueueWaitingTest, WhoIsToldToTakeALargeJobAndDoesNotKeepsItFromNobodyElse) {
  std::string const large(100'000, 'x');
  auto near = waiting_pop(jobs_);
  Far far{*this, 6s};
  std::stop_source stop;
  auto late = waiting_pop(*far.jobs, stop.get_token());
  jobs_.push(large);  // this one is told to take it
  EXPECT_EQ(near.wait_for(50ms), std::future_status::timeout);
  jobs_.push("small");
  ASSERT_EQ(near.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_EQ(near.get()->value(), large);
  stop.request_stop();
}

TEST_P(QueueWaitingTest, LargeJobIsAnothersWhenWhoWasToTakeItGivesUp) {
  std::string const large(100'000, 'x');
  auto near = waiting_pop(jobs_);
  Far far{*this, 6s};
  std::stop_source stop;
  auto late = waiting_pop(*far.jobs, stop.get_token());
  jobs_.push(large);
  EXPECT_EQ(near.wait_for(50ms), std::future_status::timeout);
  stop.request_stop();
  ASSERT_EQ(near.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_EQ(near.get()->value(), large);
}

}  // namespace
}  // namespace tandem
