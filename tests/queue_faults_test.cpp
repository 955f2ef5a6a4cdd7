// A queue whose network or server fails: what the caller learns, and that no job is lost for it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
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
using support::eventually;
using support::FaultProxy;
using support::Jobs;
using support::stall;
using support::time_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr FaultProxy::Fault all_cuts[] = {
    FaultProxy::Fault::cut_before_request, FaultProxy::Fault::cut_in_request,
    FaultProxy::Fault::cut_after_request, FaultProxy::Fault::cut_in_reply};

bool reaches_the_server(FaultProxy::Fault fault) {
  return fault == FaultProxy::Fault::cut_after_request || fault == FaultProxy::Fault::cut_in_reply;
}

class QueueFaultsTest : public support::QueueScene {
 protected:
  /// The queue beyond that network, whose scripts the server knows.
  Jobs beyond(FaultProxy const& proxy, QueueOptions const& queue_options = {}) {
    Jobs out{Client{options(proxy.url())}, "jobs", queue_options};
    for (int i = 0; i < 3; ++i) out.push("known", {.id = i == 0 ? "" : std::to_string(i)});
    auto job = out.try_pop();
    EXPECT_TRUE(job->extend() && job->retry_after(0ms));
    EXPECT_EQ(drained(out).size(), 3U);
    return out;
  }
};

INSTANTIATE_TEST_SUITE_P(Protocol, QueueFaultsTest, ::testing::Values(3, 2),
                         support::protocol_name);

// -- answers that are lost ------------------------------------------------------------------------

TEST_P(QueueFaultsTest, PushWithoutAnIdWhoseAnswerIsLostIsInDoubtAndSentOnce) {
  FaultProxy proxy{server_};
  auto there = beyond(proxy);
  for (auto const fault : all_cuts) {
    proxy.next("EVALSHA", fault);
    EXPECT_THROW(there.push("a"), InDoubt);
    EXPECT_EQ(drained(jobs_).size(), reaches_the_server(fault) ? 1U : 0U);
    proxy.next("EVALSHA", fault);
    EXPECT_THROW(there.push_many(std::vector<std::string>(7)), InDoubt);
    EXPECT_EQ(drained(jobs_).size(), reaches_the_server(fault) ? 7U : 0U);
  }
}

TEST_P(QueueFaultsTest, PushWithAnIdIsAskedAgainAndCountsOnce) {
  FaultProxy proxy{server_};
  auto there = beyond(proxy);
  for (auto const fault : all_cuts) {
    proxy.next("EVALSHA", fault);
    auto const id = "order-" + std::to_string(proxy.met());
    EXPECT_TRUE(there.push("a", {.id = id}));
    EXPECT_FALSE(there.push("a", {.id = id}));
    EXPECT_THAT(drained(jobs_), ElementsAre("a"));
  }
}

TEST_P(QueueFaultsTest, JobOfAPopWhoseAnswerIsLostComesAgain) {
  FaultProxy proxy{server_};
  auto there = beyond(proxy, {.visibility = 100ms});
  for (auto const fault : all_cuts) {
    jobs_.push("a");
    proxy.next("EVALSHA", fault);
    EXPECT_THROW((void)there.try_pop(), InDoubt);
    auto job = jobs_.pop(long_enough);
    ASSERT_TRUE(job);
    EXPECT_EQ(job->delivery(), reaches_the_server(fault) ? 2U : 1U);
    EXPECT_TRUE(job->ack());
  }
}

TEST_P(QueueFaultsTest, WhatIsSaidOfAJobIsAskedAgainOrInDoubtAndTheJobIsNotLost) {
  FaultProxy proxy{server_};
  auto there = beyond(proxy, {.visibility = 500ms});
  for (auto const fault : all_cuts) {
    there.push("a");
    auto extended = there.try_pop();
    proxy.next("EVALSHA", fault);
    EXPECT_TRUE(extended->extend());
    proxy.next("EVALSHA", fault);
    EXPECT_TRUE(extended->ack());
    there.push("a");
    auto retried = there.try_pop();
    proxy.next("EVALSHA", fault);
    EXPECT_THROW(retried->retry_after(1ms), InDoubt);
    EXPECT_TRUE(retried->is_settled());
    auto again = jobs_.pop(long_enough);
    ASSERT_TRUE(again);
    EXPECT_TRUE(again->ack());
    there.push("a");
    auto rejected = there.try_pop();
    proxy.next("EVALSHA", fault);
    EXPECT_THROW(rejected->reject("no"), InDoubt);
    if (!reaches_the_server(fault)) jobs_.pop(long_enough)->reject("no");
    EXPECT_EQ(jobs_.state().depth(), 0U);
  }
  EXPECT_EQ(jobs_.state().dead_letters, std::size(all_cuts));
}

TEST_P(QueueFaultsTest, WhoGivesUpIsForgottenAlsoWhenTheConnectionBreaksAsThatIsSaid) {
  FaultProxy proxy{server_};
  auto there = beyond(proxy);
  for (auto const fault :
       {FaultProxy::Fault::cut_before_request, FaultProxy::Fault::cut_in_request}) {
    std::stop_source stop;
    auto popped = waiting_pop(there, stop.get_token());
    proxy.next("EVAL", fault);
    stop.request_stop();
    EXPECT_FALSE(popped.get());
    EXPECT_TRUE(eventually([&] { return jobs_.state().waiting == 0; }));
  }
  EXPECT_EQ(proxy.met(), 2);
}

TEST_P(QueueFaultsTest, JobIsExtendedWhenItsServerIsThereAgain) {
  FaultProxy proxy{server_};
  auto there = beyond(proxy, {.visibility = 900ms, .auto_extend = true});
  there.push("a");
  auto job = there.try_pop();
  auto const before = first_end();
  ASSERT_TRUE(eventually([&] { return first_end() > before; }));  // there is a connection
  proxy.refuse(true);
  redis_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  auto const end = first_end();
  ASSERT_TRUE(eventually([&] {
    auto const time = redis_.command("TIME").as<std::vector<double>>();
    return time[0] * 1e6 + time[1] > end;
  }));
  proxy.refuse(false);
  EXPECT_TRUE(eventually([&] { return first_end() > end; }));
  EXPECT_TRUE(job->ack());
}

TEST_P(QueueFaultsTest, EndOfAClientIsNotHeldUpByWhatCannotBeSaid) {
  auto patient = options();
  patient.command_timeout = long_enough;
  for (bool const is_there : {true, false}) {
    std::optional<Jobs> own{Jobs{Client{patient}, "jobs"}};
    std::stop_source stop;
    auto popped = waiting_pop(*own, stop.get_token());
    if (is_there) {
      redis_.command("REPLICAOF", "127.0.0.1", "1");
    } else {
      server_.kill();
    }
    stop.request_stop();
    EXPECT_FALSE(popped.get());
    auto end = std::async(std::launch::async, [&] { own.reset(); });
    EXPECT_EQ(end.wait_for(long_enough / 2), std::future_status::ready);
    if (is_there) redis_.command("REPLICAOF", "NO", "ONE");
  }
}

TEST_P(QueueFaultsTest, WhatIsToldByteByByteIsUnderstood) {
  FaultProxy proxy{server_};
  auto there = beyond(proxy);
  proxy.trickle(1);
  auto popped = waiting_pop(there);
  jobs_.push("told");
  EXPECT_EQ(popped.get()->value(), "told");
}

// -- servers that are silent, or away -------------------------------------------------------------

TEST_P(QueueFaultsTest, DeadlinesHoldOnAServerThatIsSilent) {
  auto patient = options();
  patient.command_timeout = 20s;
  Jobs own{Client{patient}, "jobs", {.most = 1, .wait_for_room = 200ms}};
  (void)own.depth();
  (void)jobs_.depth();
  server_.pause();
  EXPECT_LE(time_of([&] { EXPECT_THROW((void)own.pop(200ms), InDoubt); }), 200ms + stall);
  EXPECT_LE(time_of([&] { EXPECT_THROW((void)jobs_.push("a"), InDoubt); }), 1s + stall);
  EXPECT_LE(time_of([&] { EXPECT_THROW((void)jobs_.depth(), Unreachable); }), 1s + stall);
  server_.resume();
}

TEST_P(QueueFaultsTest, DeadlineAndStopHoldOnAServerThatFallsSilentDuringTheWait) {
  std::stop_source stop;
  auto stopped = waiting_pop(jobs_, stop.get_token());
  auto late =
      std::async(std::launch::async, [&] { return time_of([&] { EXPECT_FALSE(jobs_.pop(3s)); }); });
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 2; }));
  server_.pause();
  stop.request_stop();
  EXPECT_FALSE(stopped.get());
  EXPECT_LE(late.get(), 3s + stall);
  server_.resume();
}

TEST_P(QueueFaultsTest, AbsentServerIsUnreachableAndTheQueueWorksWhenItIsBack) {
  jobs_.push("a");
  auto job = jobs_.try_pop();
  server_.kill();
  EXPECT_THROW(jobs_.push("b"), Unreachable);
  EXPECT_THROW((void)jobs_.try_pop(), Unreachable);
  EXPECT_THROW((void)jobs_.pop(100ms), Unreachable);
  EXPECT_THROW((void)jobs_.drain(100ms), Unreachable);
  EXPECT_THROW(job->ack(), Unreachable);
  EXPECT_FALSE(job->is_settled());
  server_.restart();  // without its data
  EXPECT_FALSE(job->ack());
  jobs_.push("b");
  EXPECT_THAT(drained(jobs_), ElementsAre("b"));
}

TEST_P(QueueFaultsTest, WhoWaitsGoesOnWaitingOverARestart) {
  auto popped = waiting_pop(jobs_);
  server_.restart();
  jobs_.push("a");
  EXPECT_EQ(popped.get()->value(), "a");
}

TEST_P(QueueFaultsTest, WhoWaitsIsServedAfterItsConnectionsBroke) {
  auto popped = waiting_pop(jobs_);
  for (int i = 0; i < 3; ++i) {
    for (auto const* type : {"normal", "pubsub"})
      redis_.command("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes");
    EXPECT_TRUE(eventually([&] { return jobs_.state().waiting == 1; }));
    EXPECT_EQ(popped.wait_for(0s), std::future_status::timeout);
  }
  jobs_.push("a");
  EXPECT_EQ(popped.get()->value(), "a");
}

TEST_P(QueueFaultsTest, JobWhoseMessageIsLostWithItsConnectionComesAgain) {
  auto near = waiting_pop(jobs_);
  Far far{*this, long_enough, {.visibility = 300ms}};
  std::stop_source stop;
  auto lost = waiting_pop(*far.jobs, stop.get_token());
  jobs_.push("a");
  EXPECT_EQ(jobs_.state().taken, 1U);
  stop.request_stop();
  EXPECT_FALSE(lost.get());
  redis_.command("CLIENT", "KILL", "TYPE", "pubsub");
  auto const job = near.get();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->value(), "a");
}

TEST_P(QueueFaultsTest, NoJobIsLostAndNoneIsDoneTwiceWhileConnectionsAreKilled) {
  constexpr int jobs_of_each = 150;
  constexpr int threads = 3;
  std::atomic<bool> over = false;
  std::thread killer{[&] {
    Client own{options()};
    for (int i = 0; !over; ++i) {
      own.command("CLIENT", "KILL", "TYPE", i % 2 == 0 ? "normal" : "pubsub", "SKIPME", "yes");
      std::this_thread::sleep_for(5ms);  // the pace of the faults; nothing is waited for
    }
  }};
  std::mutex mutex;
  std::set<std::string> pushed;
  std::map<std::string, int> done;
  std::stop_source all_done;
  std::vector<std::thread> producers;
  std::vector<std::thread> workers;
  for (int me = 0; me < threads; ++me) {
    producers.emplace_back([&, me] {
      Jobs own{client(), "jobs"};
      for (int i = 0; i < jobs_of_each; ++i) {
        auto const job = std::to_string(me) + "/" + std::to_string(i);
        try {
          own.push(job);
          std::lock_guard const guard{mutex};
          pushed.insert(job);
        } catch (Error const&) {
          // It may be there, or not.
        }
      }
    });
    workers.emplace_back([&] {
      Jobs own{client(), "jobs", {.visibility = 500ms, .max_deliveries = 1000}};
      while (!all_done.stop_requested()) {
        try {
          auto job = own.pop(all_done.get_token());
          if (!job || !job->ack()) continue;
          std::lock_guard const guard{mutex};
          ++done[job->value()];
        } catch (Error const&) {
          // It comes again.
        }
      }
    });
  }
  for (auto& each : producers) each.join();
  EXPECT_TRUE(eventually([&] {
    std::lock_guard const guard{mutex};
    return std::all_of(pushed.begin(), pushed.end(),
                       [&](auto const& job) { return done.contains(job); });
  }));
  over = true;
  killer.join();
  all_done.request_stop();
  for (auto& each : workers) each.join();
  for (auto const& [job, times] : done) EXPECT_EQ(times, 1) << job;
  EXPECT_GT(pushed.size(), 0U);
}

// -- what the server refuses ----------------------------------------------------------------------

TEST_P(QueueFaultsTest, ReplicaRefusesEveryChangeAndNothingIsChanged) {
  jobs_.push("a");
  jobs_.push("b");
  auto job = jobs_.try_pop();
  redis_.command("REPLICAOF", "127.0.0.1", "1");
  EXPECT_EQ(code_of([&] { jobs_.push("c"); }), "READONLY");
  EXPECT_EQ(code_of([&] { jobs_.push("c", {.delay = 1ms, .id = "c"}); }), "READONLY");
  EXPECT_EQ(code_of([&] { (void)jobs_.try_pop(); }), "READONLY");
  EXPECT_EQ(code_of([&] { (void)jobs_.pop(long_enough); }), "READONLY");
  EXPECT_EQ(code_of([&] { job->ack(); }), "READONLY");
  EXPECT_EQ(code_of([&] { job->extend(); }), "READONLY");
  EXPECT_EQ(code_of([&] { job->retry_after(1ms); }), "READONLY");
  EXPECT_EQ(code_of([&] { job->reject("no"); }), "READONLY");
  EXPECT_EQ(code_of([&] { jobs_.pause(); }), "READONLY");
  EXPECT_EQ(jobs_.depth(), 2U);
  redis_.command("REPLICAOF", "NO", "ONE");
  EXPECT_TRUE(job->ack());
  EXPECT_THAT(drained(jobs_), ElementsAre("b"));
}

TEST_P(QueueFaultsTest, ServerThatForgotItsScriptsIsTaughtThemAgain) {
  auto const forget = [&] { redis_.command("SCRIPT", "FLUSH"); };
  for (int i = 0; i < 2; ++i) {
    forget();
    jobs_.push("a");
    forget();
    jobs_.push("b", {.id = std::to_string(i)});
    forget();
    auto a = jobs_.try_pop();
    forget();
    EXPECT_TRUE(a->extend());
    forget();
    EXPECT_TRUE(a->ack());
    forget();
    EXPECT_TRUE(jobs_.try_pop()->reject("no"));
    forget();
    EXPECT_EQ(jobs_.requeue(std::vector{jobs_.dead_letters().at(0).id}), 1U);
    forget();
    EXPECT_EQ(jobs_.depth(), 1U);
    EXPECT_THAT(drained(jobs_), ElementsAre("b"));
    std::stop_source stop;
    auto popped = waiting_pop(jobs_, stop.get_token());
    forget();
    stop.request_stop();
    EXPECT_FALSE(popped.get());
    EXPECT_TRUE(eventually([&] { return jobs_.state().waiting == 0; }));
  }
}

TEST_P(QueueFaultsTest, UserNeedsWhatTheDocumentationSaysAndNoMore) {
  redis_.command("ACL", "SETUSER", "worker", "on", ">p", "~jobs", "~{jobs}:*", "resetchannels",
                 "&tandem:*", "-@all", "+@connection", "+evalsha", "+eval", "+xadd", "+xlen",
                 "+xrange", "+xreadgroup", "+xgroup", "+xack", "+xclaim", "+xdel", "+xpending",
                 "+zadd", "+zrange", "+zrevrange", "+zrangebyscore", "+zrank", "+zrem", "+zscore",
                 "+zcard", "+hincrby", "+hset", "+hdel", "+hexists", "+get", "+set", "+time",
                 "+publish", "+subscribe", "+unsubscribe");
  auto of_user = options();
  of_user.user = "worker";
  of_user.password = "p";
  Jobs own{Client{of_user}, "jobs", {.visibility = 200ms, .max_deliveries = 2, .most = 5}};
  auto popped = waiting_pop(own);
  own.push("told");
  EXPECT_TRUE(popped.get()->ack());
  own.push("delayed", {.delay = 10ms, .id = "1"});
  EXPECT_TRUE(own.pop(long_enough)->extend());
  EXPECT_TRUE(own.pop(long_enough)->retry_after(1ms));  // taken over
  EXPECT_TRUE(eventually([&] { return own.state().dead_letters == 1 || !own.try_pop(); }));
  own.push("rejected", {.priority = Priority::high});
  auto rejected = own.pop(long_enough);
  EXPECT_TRUE(rejected->reject("no"));
  auto const dead = own.dead_letters();
  ASSERT_FALSE(dead.empty());
  EXPECT_EQ(own.requeue(std::vector{dead.back().id}), 1U);
  EXPECT_EQ(own.purge(std::vector{dead.front().id}), dead.size() == 1 ? 0U : 1U);
  EXPECT_TRUE(own.pause());
  EXPECT_FALSE(own.drain(1ms));
  EXPECT_TRUE(own.resume());
  EXPECT_TRUE(own.pop(long_enough)->ack());
  EXPECT_TRUE(own.drain(long_enough));
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_P(QueueFaultsTest, JobThatMayNotBeTakenOverStaysWhereItIs) {
  jobs_.push("a");
  Jobs brief{redis_, "jobs", {.visibility = 1ms}};
  (void)brief.try_pop();
  redis_.command("ACL", "SETUSER", "new", "on", ">p", "~*", "&*", "+@all", "-xclaim");
  auto of_user = options();
  of_user.user = "new";
  of_user.password = "p";
  Jobs there{Client{of_user}, "jobs"};
  EXPECT_TRUE(eventually([&] {
    auto const code = code_of([&] { (void)there.try_pop(); });
    return code == "NOPERM" || code == "ERR";  // as the server's version tells what a script met
  }));
  EXPECT_THAT(drained(jobs_), ElementsAre("a"));
}

TEST_P(QueueFaultsTest, JobsThatWereReadBeforeSomethingFailedComeAgain) {
  Jobs brief{redis_, "jobs", {.visibility = 1ms}};
  brief.push("a");
  redis_.command("XADD", "jobs", "*", "no", "job");
  redis_.command("SET", "{jobs}:dead", "is no stream");
  EXPECT_EQ(code_of([&] { (void)brief.pop_many(2, 0s); }), "WRONGTYPE");
  redis_.command("DEL", "{jobs}:dead");
  auto job = brief.pop(long_enough);
  ASSERT_TRUE(job);
  EXPECT_EQ(job->value(), "a");
  EXPECT_TRUE(job->ack());
  EXPECT_TRUE(eventually([&] { return !brief.try_pop() && brief.state().dead_letters == 1; }));
  EXPECT_EQ(brief.depth(), 0U);
}

TEST_P(QueueFaultsTest, WhoMayNotListenIsToldSoAndMayLookAllTheSame) {
  redis_.command("ACL", "SETUSER", "deaf", "on", ">p", "~*", "+@all", "-subscribe");
  auto of_user = options();
  of_user.user = "deaf";
  of_user.password = "p";
  Jobs own{Client{of_user}, "jobs"};
  EXPECT_EQ(code_of([&] { (void)own.pop(long_enough); }), "NOPERM");
  own.push("a");
  EXPECT_THAT(drained(own), ElementsAre("a"));
  EXPECT_EQ(jobs_.state().waiting, 0U);
  redis_.command("ACL", "SETUSER", "deaf", "+subscribe", "&*");
  EXPECT_TRUE(eventually([&] { return code_of([&] { (void)own.pop(500ms); }) == "none"; }));
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 0; }));
  auto popped = waiting_pop(own);
  jobs_.push("b");
  EXPECT_EQ(popped.get()->value(), "b");
}

TEST_P(QueueFaultsTest, StrangersWordsAtTheChannelOfWhoWaitsDoNoHarm) {
  auto popped = waiting_pop(jobs_);
  auto const channels = redis_.command("PUBSUB", "CHANNELS", "tandem:*");
  ASSERT_EQ(channels.size(), 1U);
  auto const channel = channels[0].as<std::string>();
  for (auto const* words : {"", " ", "job", "job x", "job 99999999999999999999 1 1-1 1 1 1 1 abc",
                            "job 7000", "job 7000 1 1-1 1 1 4294967295 4294967295 abc", "take",
                            "take 7000", "none", "none x", "ask -1", "what 1"})
    redis_.command("PUBLISH", channel, words);
  jobs_.push("a");
  EXPECT_EQ(popped.get()->value(), "a");
}

// -- many, and large ------------------------------------------------------------------------------

TEST_P(QueueFaultsTest, ThousandWaitersAreGivenOneJobEach) {
  constexpr std::size_t count = 1000;
  Jobs own{redis_, "jobs", {.visibility = 10min}};
  std::vector<std::future<std::optional<Job<std::string>>>> waiting;
  waiting.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    waiting.push_back(std::async(std::launch::async, [&] { return own.pop(5min); }));
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == count; }, 5min));
  std::vector<std::string> all;
  all.reserve(count);
  for (std::size_t i = 0; i < count; ++i) all.push_back(std::to_string(i));
  jobs_.push_many(all);
  std::set<std::string> given;
  for (auto& each : waiting) {
    auto job = each.get();
    ASSERT_TRUE(job);
    given.insert(job->value());
    EXPECT_EQ(job->delivery(), 1U);
  }
  EXPECT_EQ(given, (std::set<std::string>{all.begin(), all.end()}));
}

class LargeJobTest : public support::QueueScene {};

INSTANTIATE_TEST_SUITE_P(Protocol, LargeJobTest, ::testing::Values(3), support::protocol_name);

TEST_P(LargeJobTest, JobMayHave64MiB) {
  std::string const large(64U << 20U, 'x');
  auto patient = options();
  patient.command_timeout = 2min;
  Jobs own{Client{patient}, "jobs", {.visibility = 10min}};
  auto popped = std::async(std::launch::async, [&] { return own.pop(2min); });
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 1; }));
  own.push(large);
  EXPECT_TRUE(popped.get()->value() == large);
}

}  // namespace
}  // namespace tandem
