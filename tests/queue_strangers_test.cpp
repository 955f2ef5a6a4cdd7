// What others do to a queue, and what a queue is not.
#include <chrono>
#include <cstdint>
#include <set>
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
using support::code_of;
using support::eventually;
using support::Jobs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class QueueStrangersTest : public support::QueueScene {};

INSTANTIATE_TEST_SUITE_P(Protocol, QueueStrangersTest, ::testing::Values(3, 2),
                         support::protocol_name);

TEST_P(QueueStrangersTest, BytesThatAreNoJobAreADeadLetterAndTheNextIsGiven) {
  jobs_.push("one");
  Queue<std::int64_t> numbers{redis_, "jobs"};
  numbers.push(2);
  auto const job = numbers.try_pop();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->value(), 2);
  auto const dead = numbers.dead_letters();
  ASSERT_THAT(dead, SizeIs(1));
  EXPECT_FALSE(dead[0].value);
  EXPECT_EQ(dead[0].bytes, "one");
  EXPECT_NE(dead[0].error, "");
  EXPECT_THAT(reports_.texts(), ElementsAre(HasSubstr("queue \"jobs\"")));
}

TEST_P(QueueStrangersTest, JobsOfOthersAreJobsAndWhatIsNoneIsADeadLetter) {
  redis_.command("XADD", "jobs", "*", "no", "job");
  redis_.command("XADD", "jobs", "*", "job", "by hand");
  redis_.command("XADD", "{jobs}:low", "*", "note", "x", "job", "low");
  EXPECT_THAT(drained(jobs_), ElementsAre("by hand", "low"));
  EXPECT_THAT(jobs_.dead_letters().at(0).error, HasSubstr("without a field named job"));
}

TEST_P(QueueStrangersTest, GroupThatWasDestroyedIsMadeAnewAndNothingIsLost) {
  for (auto const* each : {"a", "b"}) jobs_.push(each);
  auto taken = jobs_.try_pop();
  redis_.command("XGROUP", "DESTROY", "jobs", "workers");
  EXPECT_THAT(drained(jobs_), ElementsAre("a", "b"));
  EXPECT_TRUE(taken->ack());  // it is done, by whomever
  EXPECT_EQ(jobs_.depth(), 0U);
}

TEST_P(QueueStrangersTest, ConsumerThatIsRemovedTakesNoJobWithIt) {
  Jobs brief{redis_, "jobs", {.visibility = 1ms}};
  brief.push("a");
  (void)brief.try_pop();
  redis_.command("XGROUP", "DELCONSUMER", "jobs", "workers", "tandem");
  EXPECT_EQ(brief.pop(long_enough)->value(), "a");
}

TEST_P(QueueStrangersTest, WhoMayNotPublishPushesAllTheSameAndWakesNobody) {
  redis_.command("ACL", "SETUSER", "mute", "on", "nopass", "~*", "+@all", "resetchannels");
  auto popped = waiting_pop(jobs_);
  auto muted = options();
  muted.user = "mute";
  muted.password = "x";
  Jobs there{Client{muted}, "jobs"};
  there.push("a");
  there.push("later", {.delay = 1h});
  EXPECT_EQ(jobs_.state().waiting, 1U);  // nobody took it for dead
  auto job = there.try_pop();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->value(), "a");
  EXPECT_EQ(job->delivery(), 1U);
  EXPECT_TRUE(job->ack());
  jobs_.push("b");
  EXPECT_EQ(popped.get()->value(), "b");
}

TEST_P(QueueStrangersTest, JobThatWasTrimmedAwayIsForgotten) {
  Jobs brief{redis_, "jobs", {.visibility = 1ms}};
  for (auto const* each : {"a", "b", "c"}) brief.push(each);
  auto taken = brief.try_pop();
  redis_.command("XTRIM", "jobs", "MAXLEN", 1);
  EXPECT_EQ(brief.pop(long_enough)->value(), "c");
  ASSERT_TRUE(eventually([&] {
    while (auto job = brief.try_pop()) job->ack();
    return brief.depth() == 0;
  }));
  EXPECT_EQ(brief.state().taken, 0U);
}

TEST_P(QueueStrangersTest, EverythingFlushedIsAnEmptyQueueAlsoForWhoWaits) {
  auto popped = waiting_pop(jobs_);
  redis_.command("FLUSHALL");
  jobs_.push("a");
  EXPECT_EQ(popped.get()->value(), "a");  // when it looks in
}

TEST_P(QueueStrangersTest, KeyThatIsNoStreamIsSaidToBeOne) {
  redis_.command("SET", "jobs", "text");
  EXPECT_EQ(code_of([&] { jobs_.push("a"); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { jobs_.push("a", {.id = "x"}); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)jobs_.try_pop(); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)jobs_.pop(1s); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)jobs_.state(); }), "WRONGTYPE");
  EXPECT_EQ(code_of([&] { (void)jobs_.drain(1s); }), "WRONGTYPE");
  EXPECT_EQ(redis_.command("GET", "jobs").as<std::string>(), "text");
  redis_.command("RENAME", "jobs", "{jobs}:low");
  EXPECT_EQ(code_of([&] { jobs_.push("a", {.priority = Priority::low}); }), "WRONGTYPE");
  PushOptions const once{.priority = Priority::low, .id = "x"};
  EXPECT_EQ(code_of([&] { jobs_.push("a", once); }), "WRONGTYPE");
  redis_.command("DEL", "{jobs}:low");
  EXPECT_TRUE(jobs_.push("a", once));  // it was not queued before
}

TEST_P(QueueStrangersTest, ServerThatIsOutOfMemoryTakesNoJobAndLosesNone) {
  for (auto const* each : {"a", "b"}) jobs_.push(each);
  auto job = jobs_.try_pop();
  jobs_.push("c", {.delay = 1ms});
  Jobs others{redis_, "others"};
  others.push("dead");
  others.try_pop()->reject("no");
  std::vector const dead{others.dead_letters().at(0).id};
  redis_.command("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(code_of([&] { others.requeue(dead); }), "OOM");
  EXPECT_THAT(others.dead_letters(), SizeIs(1));
  EXPECT_EQ(code_of([&] { jobs_.push("d"); }), "OOM");
  EXPECT_EQ(code_of([&] { jobs_.push("d", {.id = "d"}); }), "OOM");
  EXPECT_TRUE(job->extend());
  EXPECT_EQ(code_of([&] { job->reject("no"); }), "OOM");
  ASSERT_TRUE(eventually([&] {  // "c" is due by now
    auto const time = redis_.command("TIME").as<std::vector<double>>();
    return redis_.command("ZCOUNT", "{jobs}:delayed", 0, time[0] * 1e6 + time[1]).as<int>() == 1;
  }));
  jobs_.try_pop()->retry_after(0ms);  // "b" can be had, and so makes room
  std::stop_source stop;
  Jobs nothing{redis_, "nothing"};
  auto waits = waiting_pop(nothing, stop.get_token());
  stop.request_stop();
  EXPECT_FALSE(waits.get());
  redis_.command("CONFIG", "SET", "maxmemory", 0);
  EXPECT_TRUE(job->retry_after(0ms));
  std::set<std::string> all;
  for (int i = 0; i < 3; ++i) all.insert(jobs_.pop(long_enough)->value());
  EXPECT_THAT(all, SizeIs(3));
}

}  // namespace
}  // namespace tandem
