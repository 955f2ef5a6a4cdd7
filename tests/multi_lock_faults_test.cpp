// Several locks whose network or server fails. What all locks have in common is in
// lock_faults_test.cpp.
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/counter.hpp>
#include <tandem/lock.hpp>
#include <tandem/multi_lock.hpp>

#include "support/fault_proxy.hpp"
#include "support/lock_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::FaultProxy;
using support::long_enough;

using MultiWaiting = support::WaitingFor<MultiHold>;

constexpr FaultProxy::Fault all_cuts[] = {
    FaultProxy::Fault::cut_before_request, FaultProxy::Fault::cut_in_request,
    FaultProxy::Fault::cut_after_request, FaultProxy::Fault::cut_in_reply};

class MultiLockFaultsTest : public support::LockSceneTest {
 protected:
  [[nodiscard]] Client client_through(FaultProxy const& proxy) {
    auto options = scene_.options();
    options.unix_socket = proxy.url().substr(std::string{"unix://"}.size());
    options.command_timeout = 300ms;
    return Client{options};
  }
  [[nodiscard]] Lock one(std::string const& name) { return Lock{scene_.client(), name}; }

  std::vector<std::string> const both_{"orders", "stock"};
};

INSTANTIATE_TEST_SUITE_P(Protocol, MultiLockFaultsTest, ::testing::Values(3, 2),
                         support::protocol_name);

TEST_P(MultiLockFaultsTest, LostRepliesCostNothing) {
  FaultProxy proxy{scene_.server};
  auto const client = client_through(proxy);
  MultiLock const ours{client, both_};
  Counter counter{client, "n"};
  counter.add(1, ours.acquire().hold());
  for (auto const fault : all_cuts) {
    proxy.next("EVALSHA", fault);
    auto hold = ours.acquire();
    EXPECT_FALSE(one("stock").try_acquire());
    auto const before = counter.value();
    proxy.next("EVALSHA", fault);
    EXPECT_EQ(counter.add(1, hold.hold()), before + 1) << "once";
    proxy.next("EVALSHA", fault);
    EXPECT_EQ(hold.release(), Release::released);
    EXPECT_TRUE(one("orders").try_acquire() && one("stock").try_acquire());
  }
}

TEST_P(MultiLockFaultsTest, LostReplyToATryThatFailedLeavesNothing) {
  FaultProxy proxy{scene_.server};
  MultiLock const ours{client_through(proxy), both_};
  ours.acquire().release();
  auto const taken = one("stock").acquire();
  for (auto const fault : all_cuts) {
    proxy.next("EVALSHA", fault);
    EXPECT_FALSE(ours.try_acquire());
    EXPECT_FALSE(scene_.exists("orders"));
  }
}

TEST_P(MultiLockFaultsTest, WhatIsInDoubtComesBack) {
  FaultProxy proxy{scene_.server};
  MultiLock const ours{client_through(proxy), both_, {.lease = 10min}};
  ours.acquire().release();
  for (int i = 0; i < 50; ++i) proxy.next("EVALSHA", FaultProxy::Fault::swallow_reply);
  EXPECT_THROW((void)ours.acquire(), InDoubt);
  proxy.forget();
  auto const hold = MultiLock{scene_.client(), both_}.try_acquire_for(long_enough);
  EXPECT_TRUE(hold);
}

TEST_P(MultiLockFaultsTest, WaiterThatHoldsSomeGoesOnWhenItsConnectionsBreak) {
  auto taken = std::optional{one("stock").acquire()};
  MultiWaiting later{MultiLock{scene_.client(), both_}};
  scene_.await_waiters("stock", 1);
  for (int i = 0; i < 3; ++i) {
    scene_.kill_connections();
    scene_.await_waiters("stock", 1);
  }
  taken.reset();
  auto const hold = later.get();
  EXPECT_TRUE(hold && hold->held());
}

TEST_P(MultiLockFaultsTest, WaiterThatHoldsSomeGoesOnOverARestartThatForgetsAll) {
  auto const taken = one("stock").acquire();
  MultiWaiting later{MultiLock{scene_.client(), both_}};
  scene_.await_waiters("stock", 1);
  scene_.server.kill();
  scene_.server.restart();
  auto const hold = later.get();
  EXPECT_TRUE(hold && hold->held());
}

TEST_P(MultiLockFaultsTest,
       WaiterThatIsStoppedOnASilentServerGivesBackWhatItHeldWhenItSpeaksAgain) {
  auto const taken = one("stock").acquire();
  auto options = scene_.options();
  options.command_timeout = 300ms;
  MultiWaiting later{MultiLock{Client{options}, both_, {.lease = 10min}}};
  scene_.await_waiters("stock", 1);
  // It has been answered, and sleeps: it looks after the holder.
  ASSERT_TRUE(eventually([&] { return scene_.count().tracked > 0; }));
  scene_.server.pause();
  later.stop();
  EXPECT_FALSE(later.get());
  scene_.server.resume();
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders") && scene_.waiters("stock") == 0; }));
}

TEST_P(MultiLockFaultsTest, HoldEndsInTimeOnASilentServer) {
  auto const hold = MultiLock{scene_.client(), both_, {.lease = 300ms}}.acquire();
  auto const stop = hold.stop_token();
  scene_.server.pause();
  EXPECT_TRUE(eventually([&] { return stop.stop_requested(); }));
  EXPECT_FALSE(hold.held());
  scene_.server.resume();
}

TEST_P(MultiLockFaultsTest, KeyThatBecomesOneOfAnotherTypeIsAnErrorAndWhatWasHeldIsGivenBack) {
  auto const taken = one("stock").acquire();
  MultiWaiting later{MultiLock{scene_.client(), both_, {.lease = 300ms}}};
  scene_.await_waiters("stock", 1);
  scene_.redis("LPUSH", "list", 1);
  scene_.redis("RENAME", "list", "stock");
  EXPECT_THROW((void)later.get(), ServerError);
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders"); }));
}

}  // namespace
}  // namespace tandem
