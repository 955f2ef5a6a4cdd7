#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/testing/redis_server.hpp>
#include <tandem/worker.hpp>

#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/reports.hpp"

namespace tandem {
namespace {

/// Text, some of which is read with an exception that is no CodecError.
struct Odd {
  std::string text;
};

}  // namespace

template <>
struct Codec<Odd> {
  static std::string encode(Odd const& value) { return value.text; }
  static Odd decode(std::string_view bytes) {
    if (bytes == "of the library") throw std::runtime_error{"odd"};
    if (bytes == "of nobody") throw 7;
    return {std::string{bytes}};
  }
};

namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::text_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class WorkerTest : public ::testing::Test {
 protected:
  [[nodiscard]] Client client() {
    auto out = Options::from_url(server_.url());
    out.on_error = reports_.hook();
    return Client{out};
  }
  using Handler = Worker<int>::Handler;
  [[nodiscard]] std::unique_ptr<Worker<int>> worker(std::size_t threads, Handler handler) {
    return std::make_unique<Worker<int>>(jobs_, threads, std::move(handler),
                                         WorkOptions{.shortest_pause = 1ms, .longest_pause = 20ms});
  }
  template <class T>
  std::future<void> run(Worker<T>& worker) {
    return std::async(std::launch::async, [&worker, this] { worker.run(stop_.get_token()); });
  }
  void push(int count) {
    for (int i = 0; i < count; ++i) jobs_.push(i);
  }

  testing::RedisServer server_{};
  support::Reports reports_{};
  Client redis_ = client();
  Queue<int> jobs_{redis_, "jobs", {.max_deliveries = 3}};
  std::stop_source stop_{};
};

TEST_F(WorkerTest, EachJobIsDoneOnceOnOneOfItsThreads) {
  constexpr int count = 200;
  std::vector<std::atomic<int>> done(count);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::atomic<int> waiting = 0;
  auto const own = worker(4, [&](Job<int>& job) {
    ++done[static_cast<std::size_t>(job.value())];
    {
      std::lock_guard const guard{mutex};
      threads.insert(std::this_thread::get_id());
    }
    if (++waiting <= 4) {  // none of the four can have two of the first four
      EXPECT_TRUE(eventually([&] { return waiting >= 4; }));
    }
  });
  push(count);
  auto running = run(*own);
  ASSERT_TRUE(jobs_.drain(20s));
  ASSERT_TRUE(eventually([&] { return own->progress().done == count; }));
  stop_.request_stop();
  running.get();
  for (auto const& each : done) EXPECT_EQ(each, 1);
  EXPECT_THAT(threads, SizeIs(4));
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(WorkerTest, JobWhoseHandlerThrowsIsTriedAgainAndIsADeadLetterInTheEnd) {
  std::atomic<int> calls = 0;
  auto const own = worker(1, [&](Job<int>& job) {
    ++calls;
    if (job.value() == 0) throw std::runtime_error{"disk full"};
    if (job.value() == 1 && job.delivery() < 3) throw 7;
  });
  push(2);
  auto running = run(*own);
  ASSERT_TRUE(jobs_.drain(20s));
  stop_.request_stop();
  running.get();
  EXPECT_EQ(calls, 6);
  auto const progress = own->progress();
  EXPECT_EQ(progress.done, 1U);
  EXPECT_EQ(progress.retried, 4U);
  EXPECT_EQ(progress.dead, 1U);
  EXPECT_EQ(progress.running, 0U);
  auto const dead = jobs_.dead_letters();
  ASSERT_THAT(dead, SizeIs(1));
  EXPECT_EQ(dead[0].error, "disk full");
}

TEST_F(WorkerTest, PauseGrowsWithTheDeliveriesOfTheJob) {
  Worker<int> own{jobs_,
                  1,
                  [](Job<int>&) { throw std::runtime_error{"disk full"}; },
                  {.shortest_pause = 1h, .longest_pause = 3h}};
  push(1);
  auto running = run(own);
  auto const taken = [&] {  // the ticket, and when it is given to another
    return redis_.command("ZRANGE", "{jobs}:taken", 0, 0, "WITHSCORES")
        .as<std::vector<std::pair<std::string, double>>>()
        .at(0);
  };
  auto const minutes_left = [&] {
    auto const now = redis_.command("TIME").as<std::vector<double>>();
    return (taken().second / 1e6 - now[0]) / 60;
  };
  ASSERT_TRUE(eventually([&] { return own.progress().retried == 1; }));
  EXPECT_LE(minutes_left(), 61);
  redis_.command("ZADD", "{jobs}:taken", 0, taken().first);  // it is over
  ASSERT_TRUE(eventually([&] { return own.progress().retried == 2; }));
  EXPECT_GE(minutes_left(), 59);  // a random half is left out of two hours
  stop_.request_stop();
  running.get();
}

TEST_F(WorkerTest, WhatTheHandlerSaidOfItsJobStands) {
  auto const own = worker(1, [&](Job<int>& job) {
    if (job.value() == 0) job.reject("no such order");
    if (job.value() == 1 && job.delivery() == 1) {
      job.retry_after(1ms);
      throw std::runtime_error{"too late"};
    }
  });
  push(2);
  auto running = run(*own);
  ASSERT_TRUE(jobs_.drain(20s));
  ASSERT_TRUE(eventually([&] { return own->progress().done == 3; }));
  stop_.request_stop();
  running.get();
  EXPECT_EQ(own->progress().retried, 0U);
  EXPECT_EQ(jobs_.dead_letters().at(0).error, "no such order");
}

TEST_F(WorkerTest, StopLetsTheHandlersFinishAndTakesNoOtherJob) {
  std::promise<void> begun;
  std::promise<void> go_on;
  auto const own = worker(1, [&](Job<int>&) {
    begun.set_value();
    go_on.get_future().wait();
  });
  push(2);
  auto running = run(*own);
  begun.get_future().wait();
  EXPECT_EQ(own->progress().running, 1U);
  stop_.request_stop();
  EXPECT_EQ(running.wait_for(50ms), std::future_status::timeout);
  go_on.set_value();
  running.get();
  EXPECT_EQ(own->progress().done, 1U);
  EXPECT_EQ(jobs_.state().ready, 1U);
  EXPECT_TRUE(eventually([&] { return jobs_.state().waiting == 0; }));
}

TEST_F(WorkerTest, WorkerThatWaitsIsStoppedAtOnce) {
  auto const own = worker(3, [](Job<int>&) {});
  auto running = run(*own);
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 3; }));
  stop_.request_stop();
  running.get();
  EXPECT_TRUE(eventually([&] { return jobs_.state().waiting == 0; }));
}

TEST_F(WorkerTest, WorkerOutlivesItsServersRestart) {
  std::atomic<int> sum = 0;
  auto const own = worker(2, [&](Job<int>& job) { sum += job.value(); });
  auto running = run(*own);
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 2; }));
  server_.kill();
  ASSERT_TRUE(eventually([&] { return !reports_.texts().empty(); }));
  server_.restart();
  jobs_.push(42);
  EXPECT_TRUE(eventually([&] { return sum == 42; }));
  stop_.request_stop();
  running.get();
}

TEST_F(WorkerTest, WhateverIsThrownBeforeTheHandlerIsReportedAndTheThreadGoesOn) {
  Queue<Odd> odd{redis_, "odd"};
  for (auto const* each : {"of the library", "of nobody", "of the user"}) odd.push({each});
  Worker<Odd> own{odd, 1, [](Job<Odd>&) {}};
  auto running = run(own);
  EXPECT_TRUE(eventually([&] { return own.progress().done == 1; }));
  stop_.request_stop();
  running.get();
  EXPECT_THAT(reports_.texts(), ElementsAre(HasSubstr("odd\": odd"), HasSubstr("unknown type")));
}

TEST_F(WorkerTest, JobThatWasAnothersBeforeItWasDoneIsCountedAsLost) {
  Queue<int> brief{redis_, "brief", {.visibility = 1ms}};
  std::atomic<bool> others = false;
  Worker<int> own{brief, 1, [&](Job<int>&) {
                    if (others.exchange(true)) return;
                    EXPECT_TRUE(brief.pop(20s));  // another is given it meanwhile
                  }};
  brief.push(1);
  auto running = run(own);
  EXPECT_TRUE(eventually([&] { return own.progress().lost + own.progress().done >= 2; }));
  stop_.request_stop();
  running.get();
  EXPECT_EQ(own.progress().lost, 1U);
}

TEST_F(WorkerTest, JobThatWasAnothersBeforeItsHandlerThrewIsCountedAsLost) {
  Queue<int> brief{redis_, "brief", {.visibility = 1ms}};
  std::atomic<bool> others = false;
  Worker<int> own{brief, 1, [&](Job<int>&) {
                    if (others.exchange(true)) return;
                    EXPECT_TRUE(brief.pop(20s));  // another is given it meanwhile
                    throw std::runtime_error{"too late"};
                  }};
  brief.push(1);
  auto running = run(own);
  EXPECT_TRUE(eventually([&] { return own.progress().lost == 1; }));
  stop_.request_stop();
  running.get();
  EXPECT_EQ(own.progress().retried, 0U);
}

TEST_F(WorkerTest, WhatIsOutOfRangeIsRefused) {
  auto const refused = [&](std::size_t threads, WorkOptions const& options) {
    return text_of<std::invalid_argument>([&] {
      Worker<int>{jobs_, threads, [](Job<int>&) {}, options};
    });
  };
  EXPECT_THAT(refused(0, {}), HasSubstr("0 threads; accepted are 1 to"));
  EXPECT_THAT(refused(10'001, {}), HasSubstr("10001 threads; accepted are 1 to 10000"));
  EXPECT_THAT(refused(1, {.shortest_pause = 0ms}), HasSubstr("pauses are 0"));
  EXPECT_THAT(refused(1, {.longest_pause = 169h}), HasSubstr("accepted are 1 to 604800000"));
  EXPECT_THAT(refused(1, {.shortest_pause = 2s, .longest_pause = 1s}), HasSubstr("2000 and 1000"));
}

}  // namespace
}  // namespace tandem
