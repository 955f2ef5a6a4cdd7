// BufferedCounterOptions::survive_crash: processes are killed with a flush on its way, and others
// send it again.
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/buffered_counter.hpp>

#include "support/crash_scene.hpp"
#include "support/fault_proxy.hpp"
#include "support/forked.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/shared_memory.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::eventually;
using support::FaultProxy;
using support::Forked;
using support::Shared;
using ::testing::IsEmpty;
using Fault = FaultProxy::Fault;

class BufferedCounterOnItsWayTest : public support::CrashScene {
 protected:
  /// Killed with 10 on their way, which met `fault`, and 100 more added.
  void kill_with_a_flush_under_way(Fault fault, bool executed) {
    Shared<std::atomic<int>> const steps;
    auto const worker = std::make_unique<Forked>([&]() -> std::string {
      BufferedCounter hits{Client{proxy_.url() + "?command_timeout=20s&connect_timeout=20s"},
                           "hits", by_hand};
      hits.add();
      hits.flush();
      *steps = 1;
      if (!eventually([&] { return *steps == 2; })) return "was not told";
      std::thread adding{[&] {
        (void)eventually([&] { return hits.pending() == 10; });
        hits.add(100);
        *steps = 3;
      }};
      hits.add(10);
      code_of([&] { hits.flush(); });
      for (;;) ::pause();
    });
    ASSERT_TRUE(eventually([&] { return *steps == 1; }));
    proxy_.next("EVALSHA", fault);
    proxy_.refuse(true);  // it does not get through by another connection
    *steps = 2;
    ASSERT_TRUE(eventually([&] { return *steps == 3; }));
    ASSERT_TRUE(eventually([&] { return proxy_.met() == 1; }));
    if (executed) {
      ASSERT_TRUE(becomes(11));
    }
    kill(*worker);
    proxy_.refuse(false);
    EXPECT_EQ(number(), executed ? 11 : 1);
  }

  FaultProxy proxy_{server_};
};

TEST_F(BufferedCounterOnItsWayTest, FlushWhoseReplyNobodyHeardIsCountedOnce) {
  kill_with_a_flush_under_way(Fault::swallow_reply, true);
  BufferedCounter const hits{client(proxy_.url()), "hits", by_hand};
  EXPECT_TRUE(becomes(111));
  EXPECT_EQ(redis_.command("KEYS", "{hits}:flushed:*").size(), 1U);  // in the name of the killed
}

TEST_F(BufferedCounterOnItsWayTest, FlushThatNeverArrivedIsCountedOnce) {
  kill_with_a_flush_under_way(Fault::cut_before_request, false);
  BufferedCounter const hits{client(proxy_.url()), "hits", by_hand};
  EXPECT_TRUE(becomes(111));
}

TEST_F(BufferedCounterOnItsWayTest, FlushThatArrivesAfterItWasSentAgainIsCountedOnce) {
  kill_with_a_flush_under_way(Fault::cut_and_delay, false);
  {
    BufferedCounter const hits{client(proxy_.url()), "hits", by_hand};
    EXPECT_TRUE(becomes(111));
  }
  proxy_.deliver_delayed();
  await_look();
  EXPECT_EQ(number(), 1'000'111);
}

TEST_F(BufferedCounterOnItsWayTest, FlushThatArrivesBeforeItIsSentAgainIsCountedOnce) {
  kill_with_a_flush_under_way(Fault::cut_and_delay, false);
  proxy_.deliver_delayed();
  ASSERT_TRUE(becomes(11));
  BufferedCounter const hits{client(proxy_.url()), "hits", by_hand};
  EXPECT_TRUE(becomes(111));
}

TEST_F(BufferedCounterOnItsWayTest, WhoIsKilledAfterSendingItAgainIsFollowedByTheNext) {
  kill_with_a_flush_under_way(Fault::cut_before_request, false);
  proxy_.next("EVAL", Fault::swallow_reply);  // the first of the one who goes on with it
  auto const next = worker(proxy_.url(), [](BufferedCounter&) {});
  ASSERT_TRUE(becomes(11));
  kill(*next);
  BufferedCounter const last{client(proxy_.url()), "hits", by_hand};
  EXPECT_TRUE(becomes(111));
  EXPECT_EQ(redis_.command("KEYS", "{hits}:flushed:*").size(), 1U);
}

TEST_F(BufferedCounterOnItsWayTest, WhatWasOnItsWayForTooLongIsToldAndNotSentAgain) {
  Shared<std::atomic<bool>> const sent;
  auto const options =
      BufferedCounterOptions{.flush_interval = 1ms, .resend_for = 1s, .survive_crash = true};
  auto const worker = std::make_unique<Forked>([&]() -> std::string {
    auto quiet = Options::from_url(proxy_.url() + "?command_timeout=20s");
    BufferedCounter hits{Client{quiet}, "hits", options};
    hits.add(10);
    *sent = true;
    for (;;) ::pause();
  });
  proxy_.next("EVAL", Fault::swallow_reply);
  ASSERT_TRUE(becomes(10));
  kill(*worker);
  auto const late = std::chrono::steady_clock::now() + 1s;
  ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > late; }));
  redis_.command("FLUSHALL");  // the record has expired
  BufferedCounter const hits{client(proxy_.url()), "hits", options};
  EXPECT_TRUE(eventually([&] { return reports_.have("hits: whether 10 was added is not known"); }));
  await_look();
  EXPECT_EQ(number(), 1'000'000);
}

TEST_F(BufferedCounterOnItsWayTest, WhatHadArrivedIsInNobodysDoubt) {
  auto const options =
      BufferedCounterOptions{.flush_interval = 500ms, .resend_for = 1s, .survive_crash = true};
  auto const worker = this->worker(
      server_.url(),
      [](BufferedCounter& hits) {
        hits.add(10);
        hits.flush();
      },
      options);
  auto const late = std::chrono::steady_clock::now() + 1s;
  kill(*worker);
  ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > late; }));
  await_look();
  EXPECT_EQ(number(), 1'000'010);
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

}  // namespace
}  // namespace tandem
