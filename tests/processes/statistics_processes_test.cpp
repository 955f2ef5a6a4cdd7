#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/statistics.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/forked.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/shared_memory.hpp"
#include "support/true_statistics.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::FaultProxy;
using support::Forked;
using support::TrueStatistics;
using Fault = FaultProxy::Fault;

// A period that no test sees the end of.
constexpr StatisticsOptions often{.period = 24h * 366, .flush_interval = 2ms};

TEST(StatisticsProcessesTest, SixteenProcessesOverABadNetworkAreAsTrueAsAllTheirValuesSorted) {
  constexpr int processes = 16;
  constexpr int values = 3000;
  testing::RedisServer const server;
  Client redis{server.url() + "?command_timeout=20s"};
  FaultProxy proxy{server};
  support::Shared<std::atomic<int>> const done;
  std::vector<std::unique_ptr<Forked>> children;
  std::vector<double> all;
  for (unsigned me = 0; me < processes; ++me) {
    children.push_back(std::make_unique<Forked>([&, me] {
      {
        Statistics own{Client{proxy.url() + "?command_timeout=20s&connect_timeout=20s"}, "web",
                       "latency", often};
        int added = 0;
        for (auto const value : support::odd_values(me, values)) {
          own.add(value);
          if (++added % 100 != 0) continue;
          while (code_of([&] { own.flush(); }) != "none") {
          }
        }
      }
      ++*done;
      return std::string{"done"};
    }));
    for (auto const value : support::odd_values(me, values)) all.push_back(value);
  }
  std::minstd_rand random{99};
  std::array const faults{Fault::cut_before_request, Fault::cut_in_request,
                          Fault::cut_after_request, Fault::cut_in_reply, Fault::cut_and_delay};
  ASSERT_TRUE(support::eventually(
      [&] {
        proxy.forget();  // one at a time: each flush gets through in the end
        proxy.next(random() % 4 == 0 ? "EVAL" : "EVALSHA", faults[random() % faults.size()]);
        if (random() % 16 == 0) proxy.deliver_delayed();
        return *done == processes;
      },
      100s));
  for (auto const& child : children) EXPECT_EQ(child->told(), "done");
  proxy.deliver_delayed();

  TrueStatistics const truth{all};
  auto const now = Statistics{redis, "web", "latency", often}.current();
  EXPECT_EQ(now.count(), truth.count());
  EXPECT_EQ(now.min(), truth.min());
  EXPECT_EQ(now.max(), truth.max());
  auto const near = [](double is, long double should, double part) {
    EXPECT_LE(std::abs(is - should), std::abs(should) * part) << is << " for " << should;
  };
  near(now.sum(), truth.sum(), 1e-12);
  near(now.mean(), truth.mean(), 1e-12);
  near(now.stddev(), truth.stddev(), 1e-9);
  for (int i = 0; i <= 200; ++i) near(now.quantile(i / 200.0), truth.quantile(i / 200.0), 0.01);
}

TEST(StatisticsProcessesTest, ChildBeginsWithNothingPendingAndTheParentsValuesAreMergedOnce) {
  testing::RedisServer const server;
  Client redis{server.url() + "?command_timeout=20s"};
  std::optional<Statistics> own{Statistics{
      redis, "web", "latency", {.period = 24h * 366, .flush_interval = 12h, .resend_for = 24h}}};
  own->add(1);
  EXPECT_EQ(support::in_child([&] {
              auto out = std::to_string(own->pending());
              own->add(10);
              own->flush();
              own->add(100);
              own.reset();
              return out;
            }),
            "0");
  auto const now = own->current();
  EXPECT_EQ(now.count(), 3);
  EXPECT_EQ(now.sum(), 111);
}

}  // namespace
}  // namespace tandem
