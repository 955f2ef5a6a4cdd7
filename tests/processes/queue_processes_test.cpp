#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/queue.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/forked.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/shared_memory.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::Forked;

constexpr auto long_enough = 30s;

class QueueProcessesTest : public ::testing::Test {
 protected:
  /// Without any connection, so that children may be forked.
  [[nodiscard]] Queue<std::string> queue(QueueOptions const& options = {}) {
    return {Client{server_.url() + "?command_timeout=20s"}, "jobs", options};
  }

  testing::RedisServer server_{};
};

TEST_F(QueueProcessesTest, JobsOfEachProducerComeInItsOrderToOneWorker) {
  constexpr int producers = 8;
  constexpr int jobs = 200;
  std::vector<std::unique_ptr<Forked>> children;
  for (int me = 0; me < producers; ++me) {
    children.push_back(std::make_unique<Forked>([&, me] {
      auto own = queue({.most = 50, .wait_for_room = 60s});
      for (int i = 0; i < jobs; ++i) own.push(std::to_string(me) + " " + std::to_string(i));
      return std::string{"done"};
    }));
  }
  auto own = queue();
  std::array<int, producers> next{};
  for (int i = 0; i < producers * jobs; ++i) {
    auto job = own.pop(long_enough);
    ASSERT_TRUE(job) << i;
    auto const gap = job->value().find(' ');
    auto& expected = next[static_cast<std::size_t>(std::stoi(job->value()))];
    EXPECT_EQ(std::stoi(job->value().substr(gap)), expected++);
    job->ack();
  }
  for (auto const& child : children) EXPECT_EQ(child->told(), "done");
  EXPECT_EQ(own.depth(), 0U);
}

TEST_F(QueueProcessesTest, EachJobIsDoneOnceByEightWorkers) {
  constexpr int workers = 8;
  constexpr int jobs = 2000;
  std::vector<std::unique_ptr<Forked>> children;
  for (int me = 0; me < workers; ++me) {
    children.push_back(std::make_unique<Forked>([&] {
      auto own = queue();
      std::string out;
      for (;;) {
        auto job = own.pop(long_enough);
        if (!job) return std::string{"nothing came"};
        job->ack();
        if (job->value() == "end") return out;
        out += job->value() + "\n";
      }
    }));
  }
  auto own = queue();
  std::vector<std::string> batch;
  for (int i = 0; i < jobs; ++i) {
    batch.push_back(std::to_string(i));
    if (batch.size() == 100) {
      own.push_many(batch);
      batch.clear();
    }
  }
  own.push_many(std::vector<std::string>(workers, "end"), {.priority = Priority::low});
  std::vector<int> seen(jobs);
  for (auto const& child : children) {
    auto const told = child->told();
    for (std::size_t at = 0; at < told.size(); at = told.find('\n', at) + 1)
      ++seen[static_cast<std::size_t>(std::stoi(told.substr(at)))];
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), jobs);
}

TEST_F(QueueProcessesTest, JobOfAWorkerThatIsKilledIsGivenToAnother) {
  support::Shared<std::atomic<int>> const taken;
  Forked child{[&] {
    auto own = queue({.visibility = 300ms, .auto_extend = true});
    auto const job = own.pop(long_enough);
    ++*taken;
    return std::to_string(::pause());
  }};
  auto own = queue({.visibility = 300ms});
  own.push("a");
  ASSERT_TRUE(eventually([&] { return *taken == 1; }));
  Client redis{server_.url()};
  auto const end = [&redis] {
    return redis.command("ZRANGE", "{jobs}:taken", 0, 0, "WITHSCORES")
        .as<std::vector<std::pair<std::string, double>>>()
        .at(0)
        .second;
  };
  auto const first_end = end();
  auto popped = std::async(std::launch::async, [&] { return own.pop(long_enough); });
  ASSERT_TRUE(eventually([&] { return end() > first_end + 900'000; }));
  EXPECT_EQ(popped.wait_for(0s), std::future_status::timeout) << "it was extended by who has it";
  ::kill(child.pid(), SIGKILL);
  auto const job = popped.get();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->delivery(), 2U);
}

TEST_F(QueueProcessesTest, WorkerThatWasStoppedPastItsVisibilityLearnsThatItsJobIsAnothers) {
  support::Shared<std::atomic<int>> const step;
  Forked child{[&] {
    auto own = queue({.visibility = 200ms});
    auto job = own.pop(long_enough);
    *step = 1;
    if (!eventually([&] { return *step == 2; })) return std::string{"nobody went on"};
    return std::string{job->ack() ? "done" : "another's"};
  }};
  auto own = queue({.visibility = 200ms});
  own.push("a");
  ASSERT_TRUE(eventually([&] { return *step == 1; }));
  ::kill(child.pid(), SIGSTOP);
  Queue<std::string> longer{Client{server_.url()}, "jobs", {.visibility = 60s}};
  auto job = longer.pop(long_enough);
  ASSERT_TRUE(job);
  *step = 2;
  ::kill(child.pid(), SIGCONT);
  EXPECT_EQ(child.told(), "another's");
  EXPECT_TRUE(job->ack());
}

TEST_F(QueueProcessesTest, JobsOutliveTheServerThatKeepsItsData) {
  testing::RedisServer server{{.persistent = true}};
  Queue<std::string> own{Client{server.url() + "?connect_timeout=20s&command_timeout=20s"}, "jobs"};
  for (auto const* each : {"a", "b", "c"}) own.push(each);
  own.push("d", {.delay = 1ms});
  auto taken = own.try_pop();
  own.try_pop()->ack();
  server.kill();
  server.restart();
  EXPECT_EQ(own.pop(long_enough)->value(), "c");
  EXPECT_EQ(own.pop(long_enough)->value(), "d");
  EXPECT_EQ(own.depth(), 3U);
  EXPECT_TRUE(taken->ack());
}

TEST_F(QueueProcessesTest, ChildOfAForkHasAQueueOfItsOwn) {
  auto own = queue();
  EXPECT_TRUE(own.drain(0s));  // its event thread runs
  own.push("a");
  own.push("b");
  auto held = own.try_pop();
  EXPECT_EQ(support::in_child([&] {
              auto job = own.pop(long_enough);
              return job && job->ack() ? job->value() : "nothing";
            }),
            "b");
  EXPECT_TRUE(held->ack());
  EXPECT_EQ(own.depth(), 0U);
}

}  // namespace
}  // namespace tandem
