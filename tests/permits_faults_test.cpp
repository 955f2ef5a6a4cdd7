// Locks that several hold, whose network or server fails. What all locks have in common is in
// lock_faults_test.cpp.
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/counter.hpp>
#include <tandem/semaphore.hpp>
#include <tandem/shared_lock.hpp>

#include "support/fault_proxy.hpp"
#include "support/lock_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::FaultProxy;
using support::long_enough;
using support::Waiting;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr FaultProxy::Fault all_cuts[] = {
    FaultProxy::Fault::cut_before_request, FaultProxy::Fault::cut_in_request,
    FaultProxy::Fault::cut_after_request, FaultProxy::Fault::cut_in_reply};

class PermitsFaultsTest : public support::LockSceneTest {
 protected:
  [[nodiscard]] Client client_through(FaultProxy const& proxy) {
    auto options = scene_.options();
    options.unix_socket = proxy.url().substr(std::string{"unix://"}.size());
    options.command_timeout = 300ms;
    return Client{options};
  }

  SharedLock const theirs_{scene_.client(), "catalog"};
};

INSTANTIATE_TEST_SUITE_P(Protocol, PermitsFaultsTest, ::testing::Values(3, 2),
                         support::protocol_name);

TEST_P(PermitsFaultsTest, LostRepliesOfAReaderCostNothing) {
  FaultProxy proxy{scene_.server};
  SharedLock const ours{client_through(proxy), "catalog"};
  ours.acquire_shared().release();
  for (auto const fault : all_cuts) {
    proxy.next("EVALSHA", fault);
    auto hold = ours.acquire_shared();
    EXPECT_THAT(theirs_.holders(), SizeIs(1));
    proxy.next("EVALSHA", fault);
    EXPECT_EQ(hold.release(), Release::released);
    EXPECT_THAT(theirs_.holders(), IsEmpty());
  }
}

TEST_P(PermitsFaultsTest, LostReplyToADowngradeIsResolved) {
  FaultProxy proxy{scene_.server};
  SharedLock const ours{client_through(proxy), "catalog"};
  ours.acquire().release();
  for (auto const fault : all_cuts) {
    auto writing = ours.acquire();
    proxy.next("EVALSHA", fault);
    auto reading = ours.downgrade(std::move(writing));
    EXPECT_TRUE(reading.held());
    EXPECT_TRUE(theirs_.try_acquire_shared());
    EXPECT_FALSE(theirs_.try_acquire());
    EXPECT_EQ(reading.release(), Release::released);
  }
}

TEST_P(PermitsFaultsTest, DowngradeThatStaysInDoubtLeavesNothingHeld) {
  FaultProxy proxy{scene_.server};
  SharedLock const ours{client_through(proxy), "catalog"};
  ours.acquire().release();
  for (auto const fault :
       {FaultProxy::Fault::swallow_reply, FaultProxy::Fault::cut_before_request}) {
    auto writing = ours.acquire();
    for (int i = 0; i < 50; ++i) proxy.next("EVALSHA", fault);
    EXPECT_THROW((void)ours.downgrade(std::move(writing)), Error);
    EXPECT_TRUE(theirs_.try_acquire_for(long_enough)) << "given back in the background";
    proxy.forget();
  }
}

TEST_P(PermitsFaultsTest, LostReplyToACommitAppliesItOnce) {
  FaultProxy proxy{scene_.server};
  auto const client = client_through(proxy);
  SharedLock const ours{client, "catalog"};
  Counter counter{client, "n"};
  auto const hold = ours.acquire_shared();
  counter.add(1, hold);
  for (auto const fault : all_cuts) {
    auto const before = counter.value();
    proxy.next("EVALSHA", fault);
    EXPECT_EQ(counter.add(1, hold), before + 1);
  }
}

TEST_P(PermitsFaultsTest, WaitersGoOnWaitingOverARestartThatForgetsThem) {
  auto const writing = theirs_.acquire();
  SharedLock const ours{scene_.client(), "catalog"};
  Waiting reader{[ours](std::stop_token stop) { return ours.acquire_shared(stop); }};
  Waiting writer{[ours](std::stop_token stop) { return ours.acquire(stop); }};
  scene_.await_waiters("catalog", 2);
  scene_.server.kill();
  scene_.server.restart();
  // Whichever is the first; the other one follows it.
  ASSERT_TRUE(eventually([&] { return reader.over() || writer.over(); }));
  if (reader.over()) {
    EXPECT_TRUE(reader.get());
    EXPECT_TRUE(writer.get());
  } else {
    EXPECT_TRUE(writer.get());
    EXPECT_TRUE(reader.get());
  }
}

TEST_P(PermitsFaultsTest, WaitersKeepTheirPlacesWhenTheirConnectionsBreak) {
  auto writing = std::optional{theirs_.acquire()};
  SharedLock const ours{scene_.client(), "catalog"};
  Waiting reader{[ours](std::stop_token stop) { return ours.acquire_shared(stop); }};
  scene_.await_waiters("catalog", 1);
  for (int i = 0; i < 3; ++i) {
    scene_.kill_connections();
    scene_.await_waiters("catalog", 1);
  }
  writing.reset();
  EXPECT_TRUE(reader.get());
}

TEST_P(PermitsFaultsTest, PermitInDoubtComesBack) {
  FaultProxy proxy{scene_.server};
  Semaphore const ours{client_through(proxy), "slots", 1, {.lease = 10min}};
  ours.acquire().release();
  for (int i = 0; i < 50; ++i) proxy.next("EVALSHA", FaultProxy::Fault::swallow_reply);
  EXPECT_THROW((void)ours.acquire(), InDoubt);
  proxy.forget();
  Semaphore const theirs{scene_.client(), "slots", 1};
  EXPECT_TRUE(theirs.try_acquire_for(long_enough));
}

TEST_P(PermitsFaultsTest, HoldsEndInTimeOnASilentServer) {
  SharedLock const brief{scene_.client(), "catalog", {.lease = 300ms}};
  auto const one = brief.acquire_shared();
  auto const other = brief.acquire_shared();
  auto const stop = one.stop_token();
  scene_.server.pause();
  EXPECT_TRUE(eventually([&] { return stop.stop_requested() && !other.held(); }));
  scene_.server.resume();
}

TEST_P(PermitsFaultsTest, ServerThatForgotItsScriptsIsNoFault) {
  auto hold = theirs_.acquire();
  scene_.redis("SCRIPT", "FLUSH");
  auto reading = theirs_.downgrade(std::move(hold));
  scene_.redis("SCRIPT", "FLUSH");
  EXPECT_EQ(reading.release(), Release::released);
}

}  // namespace
}  // namespace tandem
