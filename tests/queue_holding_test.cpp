// What becomes of a job that somebody has.
#include <chrono>
#include <future>
#include <optional>
#include <set>
#include <span>
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
using support::code_of;
using support::commands_of;
using support::eventually;
using support::FaultProxy;
using support::Jobs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class QueueHoldingTest : public support::QueueScene {};

INSTANTIATE_TEST_SUITE_P(Protocol, QueueHoldingTest, ::testing::Values(3, 2),
                         support::protocol_name);

TEST_P(QueueHoldingTest, JobThatIsNotAcknowledgedIsGivenToAnotherWhenItsVisibilityEnds) {
  Jobs brief{redis_, "jobs", {.visibility = 50ms}};
  brief.push("a");
  auto first = brief.try_pop();
  ASSERT_TRUE(first);
  auto second = jobs_.pop(before_it_looks_in);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->value(), "a");
  EXPECT_EQ(second->id(), first->id());
  EXPECT_EQ(second->delivery(), 2U);
  EXPECT_FALSE(first->ack());
  EXPECT_TRUE(second->ack());
  EXPECT_EQ(brief.depth(), 0U);
}

TEST_P(QueueHoldingTest, JobsThatWereLeftBehindTogetherComeBackInTheirOrder) {
  Jobs brief{redis_, "jobs", {.visibility = 1ms}};
  std::vector<std::string> all;
  for (int i = 0; i < 12; ++i) all.push_back(std::to_string(i));
  brief.push_many(all);
  ASSERT_THAT(brief.pop_many(12, 0s), SizeIs(12));
  ASSERT_TRUE(eventually([&] {  // their end has come
    auto const time = redis_.command("TIME").as<std::vector<double>>();
    return redis_.command("ZCOUNT", "{jobs}:taken", 0, time[0] * 1e6 + time[1]).as<int>() == 12;
  }));
  std::vector<std::string> again;
  for (auto const& job : brief.pop_many(12, 0s)) again.push_back(job.value());
  EXPECT_EQ(again, all);
}

TEST_P(QueueHoldingTest, JobWhoseVisibilityHasEndedIsItsWorkersAsLongAsNobodyElseHasIt) {
  Jobs brief{redis_, "jobs", {.visibility = 1ms}};
  brief.push("a");
  auto job = brief.try_pop();
  ASSERT_TRUE(job);
  ASSERT_TRUE(eventually([&] {  // its end has come
    auto const time = redis_.command("TIME").as<std::vector<double>>();
    return redis_.command("ZCOUNT", "{jobs}:taken", 0, time[0] * 1e6 + time[1]).as<int>() == 1;
  }));
  EXPECT_TRUE(job->ack());
  EXPECT_FALSE(brief.try_pop());
}

TEST_P(QueueHoldingTest, JobThatIsAnothersIsNotGivenBackOrRejected) {
  Jobs brief{redis_, "jobs", {.visibility = 1ms}};
  brief.push("a");
  auto first = brief.pop(long_enough);
  auto second = brief.pop(long_enough);
  auto third = jobs_.pop(long_enough);
  ASSERT_TRUE(third);
  EXPECT_FALSE(first->retry_after(0ms));
  EXPECT_FALSE(second->reject("no"));
  EXPECT_FALSE(jobs_.try_pop());
  EXPECT_EQ(jobs_.state().dead_letters, 0U);
  EXPECT_TRUE(third->ack());
}

TEST_P(QueueHoldingTest, OfManyThatAreAcknowledgedThoseThatAreAnothersAreNotCounted) {
  Jobs brief{redis_, "jobs", {.visibility = 1ms}};
  std::vector<Job<std::string>> jobs;
  brief.push("a");
  jobs.push_back(brief.pop(long_enough).value());
  jobs.push_back(jobs_.pop(long_enough).value());  // the same
  EXPECT_EQ(jobs_.ack(jobs), 1U);
  EXPECT_TRUE(jobs[0].is_settled());
}

TEST_P(QueueHoldingTest, JobThatIsExtendedStaysItsWorkers) {
  Jobs own{redis_, "jobs", {.visibility = 30s}};
  own.push("a");
  auto job = own.try_pop();
  auto const before = first_end();
  EXPECT_TRUE(job->extend());
  EXPECT_GT(first_end(), before);
  EXPECT_TRUE(job->ack());
  EXPECT_FALSE(job->extend());
}

TEST_P(QueueHoldingTest, AutomaticExtensionHoldsAJobAsLongAsItLives) {
  Jobs own{redis_, "jobs", {.visibility = 3s, .auto_extend = true}};
  for (int i = 0; i < 3; ++i) own.push(std::to_string(i));
  auto jobs = own.pop_many(3, 0s);
  ASSERT_THAT(jobs, SizeIs(3));
  auto const before = first_end();
  ASSERT_TRUE(eventually([&] { return first_end() > before + 3'000'000; }));
  EXPECT_FALSE(own.try_pop());
  for (auto const& job : jobs) EXPECT_FALSE(job.is_lost());
  EXPECT_EQ(own.ack(std::span{jobs}.first(2)), 2U);
  jobs.pop_back();  // it dies without a word
  auto const again = own.pop(long_enough);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->delivery(), 2U);
}

TEST_P(QueueHoldingTest, AutomaticExtensionHoldsEachJobForItsOwnTimeInItsOwnQueue) {
  Jobs own{redis_, "jobs", {.visibility = 900ms, .auto_extend = true}};
  Jobs longer{redis_, "jobs", {.visibility = 3s, .auto_extend = true}};
  Jobs other{redis_, "others", {.visibility = 900ms, .auto_extend = true}};
  std::vector<Job<std::string>> jobs;
  for (auto* const each : {&own, &longer, &other}) {
    each->push("a");
    jobs.push_back(each->try_pop().value());
  }
  auto const ends = [&] {
    auto out = ends_of("jobs");
    out.merge(ends_of("others"));
    return out;
  };
  auto const before = ends();
  ASSERT_THAT(before, SizeIs(3));
  ASSERT_TRUE(eventually([&] {
    auto const now = ends();
    bool all = true;
    for (auto const& [ticket, end] : before) {
      EXPECT_GE(now.at(ticket), end) << "it was held for less than before";
      all = all && now.at(ticket) > end + 2'000'000;
    }
    return all;
  }));
  for (auto const& job : jobs) EXPECT_FALSE(job.is_lost());
}

TEST_P(QueueHoldingTest, JobsThatAreDueTogetherAreExtendedByOneCommand) {
  Jobs own{redis_, "jobs", {.visibility = 6s, .auto_extend = true}};
  own.push_many(std::vector<std::string>(20));
  auto const jobs = own.pop_many(20, 0s);
  ASSERT_THAT(jobs, SizeIs(20));
  auto const before = ends_of("jobs").rbegin()->second;
  ASSERT_TRUE(eventually([&] { return first_end() > before; }));
  std::set<double> ends;
  for (auto const& [ticket, end] : ends_of("jobs")) ends.insert(end);
  EXPECT_THAT(ends, SizeIs(1));
}

TEST_P(QueueHoldingTest, JobThatIsSettledIsExtendedNoMore) {
  Jobs own{redis_, "jobs", {.visibility = 600ms, .auto_extend = true}};
  own.push_many(std::vector<std::string>{"a", "b"});
  auto jobs = own.pop_many(2, 0s);
  ASSERT_THAT(jobs, SizeIs(2));
  EXPECT_TRUE(jobs[0].ack());
  auto const before = first_end();
  ASSERT_TRUE(eventually([&] { return first_end() > before + 600'000; }));  // of the other one
  EXPECT_FALSE(jobs[0].is_lost());
}

TEST_P(QueueHoldingTest, JobOfWhichNothingCouldBeSaidIsExtendedAllTheSame) {
  Jobs own{redis_, "jobs", {.visibility = 600ms, .auto_extend = true}};
  own.push("a");
  auto job = own.try_pop();
  redis_.command("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(code_of([&] { job->reject("no"); }), "OOM");
  redis_.command("CONFIG", "SET", "maxmemory", 0);
  EXPECT_FALSE(job->is_settled());
  auto const before = first_end();
  ASSERT_TRUE(eventually([&] { return first_end() > before + 600'000; }));
  EXPECT_TRUE(job->ack());
}

TEST_P(QueueHoldingTest, WorkerWhoseJobIsAnothersIsToldWhereItIsExtended) {
  Jobs own{redis_, "jobs", {.visibility = 300ms, .auto_extend = true}};
  own.push("a");
  auto job = own.try_pop();
  redis_.command("DEL", "{jobs}:taken");
  EXPECT_TRUE(eventually([&] { return job->is_lost(); }));
}

TEST_P(QueueHoldingTest, JobThatIsAnothersIsExtendedNoMore) {
  Jobs own{redis_, "jobs", {.visibility = 300ms, .auto_extend = true}};
  own.push_many(std::vector<std::string>{"a", "b"});
  auto a = own.try_pop();
  auto const taken = redis_.command("ZRANGE", "{jobs}:taken", 0, 0).as<std::vector<std::string>>();
  redis_.command("DEL", "{jobs}:taken");
  ASSERT_TRUE(eventually([&] { return a->is_lost(); }));
  auto b = own.try_pop();
  redis_.command("ZADD", "{jobs}:taken", 9e15, taken.at(0));
  auto const before = first_end();
  ASSERT_TRUE(eventually([&] { return first_end() > before + 300'000; }));
  EXPECT_EQ(ends_of("jobs").at("jobs " + taken[0]), 9e15);
}

TEST_P(QueueHoldingTest, JobThatIsGivenBackIsGivenOutAgainLater) {
  jobs_.push("a");
  jobs_.push("b");
  auto job = jobs_.try_pop();
  EXPECT_TRUE(job->retry_after(0ms));
  EXPECT_FALSE(job->ack());
  auto again = jobs_.try_pop();
  EXPECT_EQ(again->value(), "a");
  EXPECT_EQ(again->delivery(), 2U);
  EXPECT_TRUE(again->retry_after(1s));
  EXPECT_EQ(jobs_.try_pop()->value(), "b");
  auto const third = jobs_.pop(long_enough);
  EXPECT_EQ(third->value(), "a");
  EXPECT_EQ(third->delivery(), 3U);
}

TEST_P(QueueHoldingTest, ExtensionThatArrivesLateDoesNotHoldAJobThatWasGivenBack) {
  FaultProxy proxy{server_};
  Jobs there{Client{proxy.url()}, "jobs"};
  there.push("a");
  auto job = there.try_pop();
  EXPECT_TRUE(job->extend());
  proxy.next("EVALSHA", FaultProxy::Fault::cut_and_delay);
  EXPECT_TRUE(job->extend());  // asked again
  EXPECT_TRUE(job->retry_after(0ms));
  redis_.command("CONFIG", "RESETSTAT");
  proxy.deliver_delayed();
  ASSERT_TRUE(eventually([&] {
    auto const stats = redis_.command("INFO", "commandstats").as<std::string>();
    return stats.find("cmdstat_evalsha:calls=1,") != std::string::npos;
  }));
  EXPECT_TRUE(jobs_.try_pop());
}

TEST_P(QueueHoldingTest, WhoWaitsIsGivenAJobThatComesBack) {
  jobs_.push("a");
  auto job = jobs_.try_pop();
  job->retry_after(0ms);  // the scripts are known
  job = jobs_.try_pop();
  auto at_once = waiting_pop(jobs_);
  std::optional<Job<std::string>> again;
  EXPECT_THAT(commands_of(redis_,
                          [&] {
                            job->retry_after(0ms);
                            again = at_once.get();
                          }),
              HasSubstr("evalsha 1,"));
  ASSERT_TRUE(again);
  auto later = waiting_pop(jobs_);
  again->retry_after(100ms);
  ASSERT_EQ(later.wait_for(before_it_looks_in), std::future_status::ready);
  auto const third = later.get();
  ASSERT_TRUE(third);
  EXPECT_EQ(third->delivery(), 4U);
}

TEST_P(QueueHoldingTest, JobBecomesADeadLetterAfterItsLastDelivery) {
  Jobs own{redis_, "jobs", {.visibility = 1ms, .max_deliveries = 2}};
  own.push("by silence", {.id = "order-1"});
  (void)own.pop(long_enough);
  (void)own.pop(long_enough);
  own.push("by its worker");
  std::optional<Job<std::string>> job = own.pop(long_enough);
  EXPECT_EQ(job->value(), "by its worker");
  EXPECT_TRUE(job->retry_after(0ms, "disk full"));
  job = own.pop(long_enough);
  EXPECT_TRUE(job->retry_after(0ms, "disk full"));
  EXPECT_FALSE(own.try_pop());
  EXPECT_EQ(own.depth(), 0U);

  auto const dead = own.dead_letters();
  ASSERT_THAT(dead, SizeIs(2));
  EXPECT_EQ(dead[0].value, "by silence");
  EXPECT_EQ(dead[0].error, "not acknowledged in 2 deliveries");
  EXPECT_EQ(dead[0].deliveries, 2U);
  EXPECT_EQ(dead[0].job_id, "order-1");
  EXPECT_EQ(dead[1].value, "by its worker");
  EXPECT_EQ(dead[1].error, "disk full");
  EXPECT_GE(dead[1].died_at, dead[1].pushed_at);
}

TEST_P(QueueHoldingTest, DeadLettersDoNotStandBeforeWhatCanBeDone) {
  Jobs own{redis_, "jobs", {.visibility = 1s, .max_deliveries = 1}};
  for (auto const* each : {"a", "b", "c"}) own.push(each);
  for (int i = 0; i < 2; ++i) (void)own.try_pop();
  ASSERT_TRUE(eventually([&] {
    auto const time = redis_.command("TIME").as<std::vector<double>>();
    return redis_.command("ZCOUNT", "{jobs}:taken", 0, time[0] * 1e6 + time[1]).as<int>() == 2;
  }));
  EXPECT_EQ(own.try_pop()->value(), "c");
  EXPECT_THAT(own.dead_letters(), SizeIs(2));
}

TEST_P(QueueHoldingTest, RejectedJobIsADeadLetterAtOnceAndCanBeRequeuedOrPurged) {
  for (auto const* each : {"a", "b", "c"}) jobs_.push(each, {.priority = Priority::low});
  while (auto job = jobs_.try_pop()) EXPECT_TRUE(job->reject("no such order"));
  auto const dead = jobs_.dead_letters();
  ASSERT_THAT(dead, SizeIs(3));
  EXPECT_EQ(dead[2].error, "no such order");
  EXPECT_THAT(jobs_.dead_letters(1), SizeIs(1));
  EXPECT_EQ(jobs_.dead_letters(9, dead[1].id).at(0).value, "c");

  EXPECT_EQ(jobs_.requeue(std::vector{dead[1].id, std::string{"0-1"}}), 1U);
  EXPECT_EQ(jobs_.purge(std::vector{dead[0].id}), 1U);
  EXPECT_THAT(jobs_.dead_letters(), SizeIs(1));
  auto job = jobs_.try_pop();
  EXPECT_EQ(job->value(), "b");
  EXPECT_EQ(job->delivery(), 1U);
  EXPECT_EQ(job->pushed_at(), dead[1].pushed_at);
}

TEST_P(QueueHoldingTest, RequeuedJobIsWhatItWasAndIsGivenToWhoWaits) {
  jobs_.push("a", {.priority = Priority::low});
  jobs_.try_pop()->reject("no");
  EXPECT_EQ(jobs_.requeue(std::vector{jobs_.dead_letters().at(0).id}), 1U);
  jobs_.push("b");
  EXPECT_THAT(drained(jobs_), ElementsAre("b", "a"));  // of low priority still
  jobs_.push("c", {.id = "order-43"});
  jobs_.try_pop()->reject("no");
  auto popped = waiting_pop(jobs_);
  EXPECT_EQ(jobs_.requeue(std::vector{jobs_.dead_letters().at(0).id}), 1U);
  ASSERT_EQ(popped.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_EQ(popped.get()->id(), "order-43");
}

}  // namespace
}  // namespace tandem
