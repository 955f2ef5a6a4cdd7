#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/queue.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/reports.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::commands_of;
using support::eventually;
using support::FaultProxy;
using support::text_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using Jobs = Queue<std::string>;

// A wait that must succeed fails its test after this instead of hanging.
constexpr auto long_enough = 20s;
// Less than it takes until who waits and is told nothing looks in.
constexpr auto before_it_looks_in = 4s;

class QueueTest : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] Options options() {
    auto out = Options::from_url(server_.url());
    out.protocol = GetParam();
    out.on_error = reports_.hook();
    return out;
  }
  [[nodiscard]] Client client() { return Client{options()}; }

  /// The values of all that can be had at once, acknowledged.
  static std::vector<std::string> drained(Jobs& jobs) {
    std::vector<std::string> out;
    while (auto job = jobs.try_pop()) {
      out.push_back(job->value());
      job->ack();
    }
    return out;
  }

  /// A pop on a thread of its own, which has begun to wait when this returns.
  std::future<std::optional<Job<std::string>>> waiting_pop(Jobs jobs, std::stop_token stop = {}) {
    auto const before = jobs.state().waiting;
    auto out = std::async(std::launch::async,
                          [jobs, stop]() mutable { return jobs.pop(long_enough, stop); });
    EXPECT_TRUE(eventually([&] { return jobs.state().waiting == before + 1; }));
    return out;
  }

  /// The same queue for another client, to whom what is said comes so much later than answers do.
  struct Far {
    Far(QueueTest& test, std::chrono::milliseconds late, QueueOptions const& of_queue = {})
        : proxy{test.server_} {
      auto options = Options::from_url(proxy.url());
      options.protocol = GetParam();
      options.command_timeout = long_enough;  // the event connection bears the delay
      jobs.emplace(Client{options}, "jobs", of_queue);
      auto const before = test.jobs_.state().waiting;
      std::stop_source listens;
      auto first = test.waiting_pop(*jobs, listens.get_token());
      listens.request_stop();
      EXPECT_FALSE(first.get());
      EXPECT_TRUE(eventually([&] { return test.jobs_.state().waiting == before; }));
      proxy.delay_where_asked("SUBSCRIBE", late);
    }
    FaultProxy proxy;
    std::optional<Jobs> jobs{};
  };

  /// When the first of the jobs that are taken is given to another, in microseconds.
  double first_end() {
    return redis_.command("ZRANGE", "{jobs}:taken", 0, 0, "WITHSCORES")
        .as<std::vector<std::pair<std::string, double>>>()
        .at(0)
        .second;
  }

  /// The same, of each of them.
  std::map<std::string, double> ends_of(std::string const& queue) {
    std::map<std::string, double> out;
    for (auto const& [ticket, end] :
         redis_.command("ZRANGE", "{" + queue + "}:taken", 0, -1, "WITHSCORES")
             .as<std::vector<std::pair<std::string, double>>>())
      out.emplace(queue + " " + ticket, end);
    return out;
  }

  testing::RedisServer server_{};
  support::Reports reports_{};
  Client redis_ = client();
  Jobs jobs_{redis_, "jobs"};
};

INSTANTIATE_TEST_SUITE_P(Resp2, QueueTest, ::testing::Values(2),
                         [](auto const&) { return std::string{"Resp2"}; });
INSTANTIATE_TEST_SUITE_P(Resp3, QueueTest, ::testing::Values(3),
                         [](auto const&) { return std::string{"Resp3"}; });

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

TEST_P(QueueTest, WhoWaitsIsToldTheJobByTheServerAndAsksNoMore) {
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

TEST_P(QueueTest, WhoWaitsAsksOnceForAJobOfMoreThan64KiB) {
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

TEST_P(QueueTest, WhoWaitsForManyIsGivenAsManyAsThereAre) {
  auto popped = std::async(std::launch::async, [&] { return jobs_.pop_many(10, long_enough); });
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 1; }));
  jobs_.push_many(std::vector<std::string>(7, "a"));
  EXPECT_THAT(popped.get(), SizeIs(7));
}

TEST_P(QueueTest, WhoWaitsForManyKeepsTheOneItWasToldWhereTheServerDoesNotSayMore) {
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

TEST_P(QueueTest, EachOfThoseWhoWaitIsGivenOneOfManyJobs) {
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

TEST_P(QueueTest, PopThatIsStoppedReturnsAndWhatComesLaterIsAnothers) {
  std::stop_source stop;
  auto popped = waiting_pop(jobs_, stop.get_token());
  stop.request_stop();
  EXPECT_FALSE(popped.get());
  EXPECT_TRUE(eventually([&] { return jobs_.state().waiting == 0; }));
  jobs_.push("a");
  EXPECT_THAT(drained(jobs_), ElementsAre("a"));
}

TEST_P(QueueTest, JobThatIsGivenToOneWhoHasJustGivenUpIsGivenBackUnseen) {
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

TEST_P(QueueTest, EndOfAClientWaitsUntilWhatIsOnItsWayToItIsGivenBack) {
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

TEST_P(QueueTest, WhoAsksBeforeItIsToldWhatItWasGivenTakesNothingBesides) {
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

TEST_P(QueueTest, WhoWaitsAndIsDeadIsPassedOver) {
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

TEST_P(QueueTest, WhatFallsDueIsLookedOutForAlsoWhenWhoDidIsDead) {
  redis_.command("ZADD", "{jobs}:waiters", 0, "dead/1/30000/5/nobody");
  auto popped = waiting_pop(jobs_);
  jobs_.push("a", {.delay = 100ms});
  ASSERT_EQ(popped.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_EQ(popped.get()->value(), "a");
}

// -- what becomes of a job ------------------------------------------------------------------------

TEST_P(QueueTest, JobThatIsNotAcknowledgedIsGivenToAnotherWhenItsVisibilityEnds) {
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

TEST_P(QueueTest, JobsThatWereLeftBehindTogetherComeBackInTheirOrder) {
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

TEST_P(QueueTest, JobWhoseVisibilityHasEndedIsItsWorkersAsLongAsNobodyElseHasIt) {
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

TEST_P(QueueTest, JobThatIsAnothersIsNotGivenBackOrRejected) {
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

TEST_P(QueueTest, OfManyThatAreAcknowledgedThoseThatAreAnothersAreNotCounted) {
  Jobs brief{redis_, "jobs", {.visibility = 1ms}};
  std::vector<Job<std::string>> jobs;
  brief.push("a");
  jobs.push_back(brief.pop(long_enough).value());
  jobs.push_back(jobs_.pop(long_enough).value());  // the same
  EXPECT_EQ(jobs_.ack(jobs), 1U);
  EXPECT_TRUE(jobs[0].is_settled());
}

TEST_P(QueueTest, JobThatIsExtendedStaysItsWorkers) {
  Jobs own{redis_, "jobs", {.visibility = 30s}};
  own.push("a");
  auto job = own.try_pop();
  auto const before = first_end();
  EXPECT_TRUE(job->extend());
  EXPECT_GT(first_end(), before);
  EXPECT_TRUE(job->ack());
  EXPECT_FALSE(job->extend());
}

TEST_P(QueueTest, AutomaticExtensionHoldsAJobAsLongAsItLives) {
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

TEST_P(QueueTest, AutomaticExtensionHoldsEachJobForItsOwnTimeInItsOwnQueue) {
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

TEST_P(QueueTest, JobsThatAreDueTogetherAreExtendedByOneCommand) {
  Jobs own{redis_, "jobs", {.visibility = 6s, .auto_extend = true}};
  std::vector<Job<std::string>> jobs;
  for (int i = 0; i < 20; ++i) {
    own.push("a");
    jobs.push_back(own.try_pop().value());
  }
  auto const before = ends_of("jobs").rbegin()->second;
  ASSERT_TRUE(eventually([&] { return first_end() > before; }));
  std::set<double> ends;
  for (auto const& [ticket, end] : ends_of("jobs")) ends.insert(end);
  EXPECT_THAT(ends, SizeIs(1));
}

TEST_P(QueueTest, JobThatIsSettledIsExtendedNoMore) {
  Jobs own{redis_, "jobs", {.visibility = 600ms, .auto_extend = true}};
  own.push_many(std::vector<std::string>{"a", "b"});
  auto jobs = own.pop_many(2, 0s);
  ASSERT_THAT(jobs, SizeIs(2));
  EXPECT_TRUE(jobs[0].ack());
  auto const before = first_end();
  ASSERT_TRUE(eventually([&] { return first_end() > before + 600'000; }));  // of the other one
  EXPECT_FALSE(jobs[0].is_lost());
}

TEST_P(QueueTest, JobOfWhichNothingCouldBeSaidIsExtendedAllTheSame) {
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

TEST_P(QueueTest, WorkerWhoseJobIsAnothersIsToldWhereItIsExtended) {
  Jobs own{redis_, "jobs", {.visibility = 300ms, .auto_extend = true}};
  own.push("a");
  auto job = own.try_pop();
  redis_.command("DEL", "{jobs}:taken");
  EXPECT_TRUE(eventually([&] { return job->is_lost(); }));
}

TEST_P(QueueTest, JobThatIsGivenBackIsGivenOutAgainLater) {
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

TEST_P(QueueTest, ExtensionThatArrivesLateDoesNotHoldAJobThatWasGivenBack) {
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

TEST_P(QueueTest, WhoWaitsIsGivenAJobThatComesBack) {
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

TEST_P(QueueTest, JobBecomesADeadLetterAfterItsLastDelivery) {
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

TEST_P(QueueTest, DeadLettersDoNotStandBeforeWhatCanBeDone) {
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

TEST_P(QueueTest, RejectedJobIsADeadLetterAtOnceAndCanBeRequeuedOrPurged) {
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

TEST_P(QueueTest, RequeuedJobIsWhatItWasAndIsGivenToWhoWaits) {
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

// -- when it is given out -------------------------------------------------------------------------

TEST_P(QueueTest, DelayedJobIsThereWhenItsTimeHasComeAndWakesWhoWaits) {
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

TEST_P(QueueTest, JobsThatFallDueTogetherWakeAsManyAsWait) {
  std::vector<std::future<std::optional<Job<std::string>>>> pops;
  for (int i = 0; i < 2; ++i) {
    pops.push_back(std::async(std::launch::async, [&] { return jobs_.pop(before_it_looks_in); }));
    ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == pops.size(); }));
  }
  jobs_.push_many(std::vector<std::string>{"a", "b"}, {.delay = 100ms});
  for (auto& each : pops) EXPECT_TRUE(each.get());
}

TEST_P(QueueTest, JobsThatAreAlikeAreDelayedEachAndGivenOutTogether) {
  jobs_.push_many(std::vector<std::string>(7, "a"), {.delay = 1ms});
  ASSERT_TRUE(eventually([&] {  // they are due
    auto const time = redis_.command("TIME").as<std::vector<double>>();
    return redis_.command("ZCOUNT", "{jobs}:delayed", 0, time[0] * 1e6 + time[1]).as<int>() == 7;
  }));
  EXPECT_THAT(jobs_.pop_many(10, 0s), SizeIs(7));
}

TEST_P(QueueTest, WhatFallsDueIsLookedOutForAlsoWhenWhoDidHasLeft) {
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

TEST_P(QueueTest, WhatFallsDueIsLookedOutForAlsoWhenWhoDidGivesUp) {
  std::stop_source stop;
  auto first = waiting_pop(jobs_, stop.get_token());
  auto next = waiting_pop(jobs_);
  jobs_.push("a", {.delay = 1s});  // the first one is told
  stop.request_stop();
  EXPECT_FALSE(first.get());
  ASSERT_EQ(next.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(next.get());
}

TEST_P(QueueTest, LargeJobIsNotSentWithTheMessage) {
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

TEST_P(QueueTest, LargeJobsAreTakenByAllWhoWait) {
  std::vector<std::future<std::optional<Job<std::string>>>> pops;
  for (int i = 0; i < 3; ++i) pops.push_back(waiting_pop(jobs_));
  jobs_.push_many(std::vector<std::string>(3, std::string(100'000, 'x')));
  for (auto& each : pops) {
    ASSERT_EQ(each.wait_for(before_it_looks_in), std::future_status::ready);
    EXPECT_TRUE(each.get());
  }
}

TEST_P(QueueTest, WhoIsToldToTakeALargeJobAndDoesNotKeepsItFromNobodyElse) {
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

TEST_P(QueueTest, LargeJobIsAnothersWhenWhoWasToTakeItGivesUp) {
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

TEST_P(QueueTest, WhoWaitsAtAPausedQueueAsksNothing) {
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

TEST_P(QueueTest, WhatFallsDueIsLookedOutForAgainWhenThePauseIsOver) {
  jobs_.push("a", {.delay = 1s});
  jobs_.pause();
  auto popped = waiting_pop(jobs_);
  jobs_.resume();
  ASSERT_EQ(popped.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(popped.get());
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

// -- what may be pushed ---------------------------------------------------------------------------

TEST_P(QueueTest, IdIsQueuedOnceWithinItsWindow) {
  Jobs own{redis_, "jobs", {.id_window = 2s}};
  EXPECT_TRUE(own.push("a", {.id = "order-42"}));
  EXPECT_FALSE(own.push("b", {.id = "order-42"}));
  EXPECT_TRUE(own.push("c", {.id = "order-43"}));
  EXPECT_THAT(drained(own), ElementsAre("a", "c"));
  EXPECT_TRUE(eventually([&] { return own.push("d", {.id = "order-42"}); }));
  EXPECT_THAT(drained(own), ElementsAre("d"));
}

TEST_P(QueueTest, WhoWaitsIsGivenAJobWithAnIdAtOnce) {
  auto popped = std::async(std::launch::async, [&] { return jobs_.pop(before_it_looks_in); });
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 1; }));
  jobs_.push("a", {.id = "1"});
  auto const job = popped.get();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->id(), "1");
}

TEST_P(QueueTest, PushWithAnIdIsAskedAgainWhenItsAnswerIsLost) {
  FaultProxy proxy{server_};
  Jobs there{Client{proxy.url()}, "jobs"};
  there.push("the script is known", {.id = "0"});
  there.push("and this");
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_TRUE(there.push("a", {.id = "1"}));
  EXPECT_EQ(proxy.met(), 1);
  EXPECT_THAT(drained(jobs_), ElementsAre("the script is known", "and this", "a"));
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_THROW(there.push("b"), InDoubt);
  EXPECT_EQ(jobs_.pop(long_enough)->value(), "b");
  EXPECT_FALSE(jobs_.try_pop());  // it was not asked again
}

TEST_P(QueueTest, AcknowledgementIsAskedAgainWhenItsAnswerIsLost) {
  FaultProxy proxy{server_};
  Jobs there{Client{proxy.url()}, "jobs"};
  jobs_.push("a");
  jobs_.push("b");
  there.try_pop()->ack();
  auto job = there.try_pop();
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_TRUE(job->ack());
  EXPECT_EQ(proxy.met(), 1);
}

TEST_P(QueueTest, FullQueueTakesNoMoreThanItMay) {
  Jobs own{redis_, "jobs", {.most = 3, .wait_for_room = 0ms}};
  own.push("a");
  own.push("b", {.delay = 1h});
  EXPECT_THROW(own.push_many(std::vector<std::string>{"c", "d"}), QueueFull);
  own.push("c", {.priority = Priority::low});
  EXPECT_THAT(text_of<QueueFull>([&] { own.push("d", {.id = "d"}); }),
              AllOf(HasSubstr("queue \"jobs\""), HasSubstr("3")));
  own.try_pop()->ack();
  EXPECT_TRUE(own.push("d", {.id = "d"}));  // it was not queued before
  EXPECT_EQ(own.depth(), 3U);
}

TEST_P(QueueTest, PushIntoAFullQueueWaitsForRoom) {
  Jobs own{redis_, "jobs", {.most = 2, .wait_for_room = long_enough}};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  own.push_many(std::vector<std::string>{"a", "b"});
  auto pushed = std::async(std::launch::async, [&] { return own.push("c"); });
  ASSERT_TRUE(eventually([&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>() == 1; }));
  own.try_pop()->ack();
  ASSERT_EQ(pushed.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(pushed.get());
  auto again = std::async(std::launch::async, [&] {
    own.push_many(std::vector<std::string>{"d", "e"});
  });
  ASSERT_TRUE(eventually([&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>() == 1; }));
  own.try_pop()->reject("dead letters take no room");
  own.try_pop()->ack();
  ASSERT_EQ(again.wait_for(before_it_looks_in), std::future_status::ready);
  again.get();
  EXPECT_THAT(drained(own), ElementsAre("d", "e"));
  EXPECT_EQ(redis_.command("ZCARD", "{jobs}:blocked").as<int>(), 0);
}

TEST_P(QueueTest, RoomThatIsNotTakenByWhoIsToldOfItIsTheNextOnes) {
  Jobs own{redis_, "jobs", {.most = 2, .wait_for_room = long_enough}};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  own.push_many(std::vector<std::string>{"a", "b"});
  auto const blocked = [&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>(); };
  auto first = std::async(std::launch::async, [&] { return own.push("c", {.id = "c"}); });
  ASSERT_TRUE(eventually([&] { return blocked() == 1; }));
  auto next = std::async(std::launch::async, [&] { return own.push("d"); });
  ASSERT_TRUE(eventually([&] { return blocked() == 2; }));
  jobs_.push("c", {.id = "c"});  // so that the first does not need it
  for (int i = 0; i < 2; ++i) own.try_pop()->ack();
  EXPECT_FALSE(first.get());
  ASSERT_EQ(next.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(next.get());
}

TEST_P(QueueTest, AsManyAreToldOfRoomAsThereIsRoomFor) {
  QueueOptions const four{.most = 4, .wait_for_room = long_enough};
  Jobs own{redis_, "jobs", four};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  Far far{*this, 6s, four};
  own.push_many(std::vector<std::string>{"a", "b", "c", "d"});
  auto const blocked = [&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>(); };
  redis_.command("ZADD", "{jobs}:blocked", 0, "dead/1/3/0/-");  // is not counted
  std::vector<std::future<bool>> pushes;
  for (auto* const each : {&*far.jobs, &own, &own}) {
    auto const before = blocked();
    pushes.push_back(std::async(std::launch::async, [each] { return each->push("e"); }));
    ASSERT_TRUE(eventually([&] { return blocked() == before + 1; }));
  }
  auto jobs = own.pop_many(2, 0s);
  EXPECT_EQ(own.ack(jobs), 2U);
  ASSERT_EQ(pushes[1].wait_for(before_it_looks_in), std::future_status::ready);
  own.try_pop()->ack();  // of which who is told late is not told once more
  ASSERT_EQ(pushes[2].wait_for(before_it_looks_in), std::future_status::ready);
  own.try_pop()->ack();
  for (auto& each : pushes) EXPECT_TRUE(each.get());
}

TEST_P(QueueTest, WhoWaitsForMoreRoomDoesNotKeepOthersFromLess) {
  Jobs own{redis_, "jobs", {.most = 2, .wait_for_room = long_enough}};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  own.push_many(std::vector<std::string>{"a", "b"});
  auto const blocked = [&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>(); };
  auto two = std::async(std::launch::async, [&] {
    own.push_many(std::vector<std::string>{"c", "d"});
  });
  ASSERT_TRUE(eventually([&] { return blocked() == 1; }));
  auto one = std::async(std::launch::async, [&] { return own.push("e"); });
  ASSERT_TRUE(eventually([&] { return blocked() == 2; }));
  own.try_pop()->ack();
  ASSERT_EQ(one.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(one.get());
  for (int i = 0; i < 2; ++i) own.try_pop()->ack();
  two.get();
}

TEST_P(QueueTest, WhoWaitsForRoomIsLeftToOthersByWhoMayNotPublish) {
  redis_.command("ACL", "SETUSER", "mute", "on", "nopass", "~*", "+@all", "resetchannels");
  auto muted = options();
  muted.user = "mute";
  muted.password = "x";
  Jobs there{Client{muted}, "jobs"};
  Jobs own{redis_, "jobs", {.most = 1}};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  own.push("a");
  auto pushed = std::async(std::launch::async, [&] { return own.push("b"); });
  auto const blocked = [&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>(); };
  ASSERT_TRUE(eventually([&] { return blocked() == 1; }));
  auto job = there.try_pop();
  EXPECT_TRUE(job->ack());
  EXPECT_EQ(blocked(), 1);
  EXPECT_TRUE(pushed.get());  // when it looks in
}

TEST_P(QueueTest, JobThatIsGivenUpMakesRoomToo) {
  Jobs own{redis_,
           "jobs",
           {.visibility = 1ms, .max_deliveries = 1, .most = 1, .wait_for_room = long_enough}};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  own.push("a");
  (void)own.try_pop();
  auto pushed = std::async(std::launch::async, [&] { return own.push("b", {.id = "b"}); });
  ASSERT_TRUE(eventually([&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>() == 1; }));
  auto const job = own.pop(before_it_looks_in);  // and "a" becomes a dead letter
  ASSERT_TRUE(job);
  EXPECT_EQ(job->value(), "b");
  EXPECT_TRUE(pushed.get());
}

// -- bad input ------------------------------------------------------------------------------------

TEST_P(QueueTest, BytesThatAreNoJobAreADeadLetterAndTheNextIsGiven) {
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

TEST_P(QueueTest, JobsOfOthersAreJobsAndWhatIsNoneIsADeadLetter) {
  redis_.command("XADD", "jobs", "*", "no", "job");
  redis_.command("XADD", "jobs", "*", "job", "by hand");
  redis_.command("XADD", "{jobs}:low", "*", "note", "x", "job", "low");
  EXPECT_THAT(drained(jobs_), ElementsAre("by hand", "low"));
  EXPECT_THAT(jobs_.dead_letters().at(0).error, HasSubstr("without a field named job"));
}

TEST_P(QueueTest, GroupThatWasDestroyedIsMadeAnewAndNothingIsLost) {
  for (auto const* each : {"a", "b"}) jobs_.push(each);
  auto taken = jobs_.try_pop();
  redis_.command("XGROUP", "DESTROY", "jobs", "workers");
  EXPECT_THAT(drained(jobs_), ElementsAre("a", "b"));
  EXPECT_TRUE(taken->ack());  // it is done, by whomever
  EXPECT_EQ(jobs_.depth(), 0U);
}

TEST_P(QueueTest, ConsumerThatIsRemovedTakesNoJobWithIt) {
  Jobs brief{redis_, "jobs", {.visibility = 1ms}};
  brief.push("a");
  (void)brief.try_pop();
  redis_.command("XGROUP", "DELCONSUMER", "jobs", "workers", "tandem");
  EXPECT_EQ(brief.pop(long_enough)->value(), "a");
}

TEST_P(QueueTest, WhoMayNotPublishPushesAllTheSameAndWakesNobody) {
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

TEST_P(QueueTest, JobThatWasTrimmedAwayIsForgotten) {
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

TEST_P(QueueTest, EverythingFlushedIsAnEmptyQueueAlsoForWhoWaits) {
  auto popped = waiting_pop(jobs_);
  redis_.command("FLUSHALL");
  jobs_.push("a");
  EXPECT_EQ(popped.get()->value(), "a");  // when it looks in
}

TEST_P(QueueTest, KeyThatIsNoStreamIsSaidToBeOne) {
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

TEST_P(QueueTest, ServerThatIsOutOfMemoryTakesNoJobAndLosesNone) {
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
    jobs_.push_many({});
  });
  EXPECT_EQ(commands, "");
}

}  // namespace
}  // namespace tandem
