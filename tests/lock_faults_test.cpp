// A lock whose network or server fails: what the caller learns, and that all is well afterwards.
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/lock.hpp>

#include "support/fake_server.hpp"
#include "support/fault_proxy.hpp"
#include "support/lock_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using support::eventually;
using support::FaultProxy;
using support::LockSceneTest;
using support::long_enough;
using support::stall;
using support::time_of;
using support::Waiting;
using ::testing::HasSubstr;

class LockFaultsTest : public LockSceneTest {
 protected:
  [[nodiscard]] Client client_with(std::chrono::milliseconds command_timeout) {
    auto options = scene_.options();
    options.command_timeout = command_timeout;
    return Client{options};
  }
  [[nodiscard]] Client client_through(FaultProxy const& proxy) {
    auto options = scene_.options();
    options.unix_socket = proxy.url().substr(std::string{"unix://"}.size());
    return Client{options};
  }

  [[nodiscard]] static std::string code_of(std::future<std::optional<Hold>>& later) {
    try {
      return later.get() ? "held" : "empty";
    } catch (ServerError const& error) {
      return error.code();
    }
  }
  template <class Call>
  [[nodiscard]] static std::string error_of(Call&& call) {
    try {
      call();
    } catch (ServerError const& error) {
      return error.what();
    }
    return "none";
  }

  Lock const lock_{scene_.client(), "orders"};
};

INSTANTIATE_TEST_SUITE_P(Protocol, LockFaultsTest, ::testing::Values(3, 2), support::protocol_name);

// ---- Replies that are lost ----

TEST_P(LockFaultsTest, AcquireRecognisesItselfWhenItsReplyWasLost) {
  FaultProxy proxy{scene_.server};
  Lock const lock{client_through(proxy), "orders"};
  for (auto const fault : {FaultProxy::Fault::cut_before_request, FaultProxy::Fault::cut_in_request,
                           FaultProxy::Fault::cut_after_request, FaultProxy::Fault::cut_in_reply}) {
    lock.acquire().release();
    proxy.next("EVALSHA", fault);
    auto hold = lock.try_acquire();
    ASSERT_TRUE(hold);
    EXPECT_EQ(std::to_string(hold->fence() >> 11U),  // below it are the holds of one lease
              scene_.redis("HGET", "{orders}:state", "fence").as<std::string>());
    EXPECT_FALSE(lock_.try_acquire());
    EXPECT_EQ(hold->release(), Release::released);
  }
}

TEST_P(LockFaultsTest, WaiterWhoseReplyWasLostStandsInTheQueueOnce) {
  FaultProxy proxy{scene_.server};
  Lock const lock{client_through(proxy), "orders"};
  lock.acquire().release();
  auto hold = lock_.try_acquire();
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  Waiting later{lock};
  scene_.await_waiters("orders", 1);
  hold.reset();
  auto const mine = later.get();
  ASSERT_TRUE(mine);
  EXPECT_EQ(scene_.waiters("orders"), 0);
}

TEST_P(LockFaultsTest, ReleaseSaysReleasedWhenItsReplyWasLost) {
  FaultProxy proxy{scene_.server};
  Lock const lock{client_through(proxy), "orders"};
  for (auto const fault : {FaultProxy::Fault::cut_before_request, FaultProxy::Fault::cut_in_request,
                           FaultProxy::Fault::cut_after_request, FaultProxy::Fault::cut_in_reply}) {
    auto hold = lock.acquire();
    proxy.next("EVALSHA", fault);
    EXPECT_EQ(hold.release(), Release::released);
    EXPECT_FALSE(scene_.exists("orders"));
  }
}

TEST_P(LockFaultsTest, ReleaseSaysReleasedWhenItsReplyWasLostAndTheNextOneHoldsAlready) {
  FaultProxy proxy{scene_.server};
  Lock const lock{client_through(proxy), "orders"};
  auto hold = lock.acquire();
  Waiting later{lock_};
  scene_.await_waiters("orders", 1);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  EXPECT_EQ(hold.release(), Release::released);
  EXPECT_TRUE(later.get());
}

TEST_P(LockFaultsTest, ReplyThatComesAfterTheLeaseIsNoHold) {
  FaultProxy proxy{scene_.server};
  Lock const lock{client_through(proxy), "orders", {.lease = 100ms, .renew = false}};
  lock.acquire().release();
  proxy.delay(200ms);
  EXPECT_FALSE(lock.try_acquire()) << "validity is counted from before the request";
  proxy.delay(0ms);
  // What comes late delays, on the same connection, what comes after it.
  EXPECT_TRUE(eventually([&] { return lock.try_acquire().has_value(); }));
}

TEST_P(LockFaultsTest, RenewalThatIsAnsweredAfterTheLeaseDoesNotProlongAHoldThatWasLost) {
  FaultProxy proxy{scene_.server};
  auto hold = Lock{client_through(proxy), "orders", {.lease = 300ms}}.acquire();
  auto const stop = hold.stop_token();
  proxy.delay(400ms);
  EXPECT_TRUE(eventually([&] { return stop.stop_requested(); }));
  EXPECT_FALSE(hold.held());
}

TEST_P(LockFaultsTest, WaiterThatLeavesWhileItIsGrantedHandsTheLockOn) {
  FaultProxy proxy{scene_.server};
  Lock const slow{client_through(proxy), "orders"};
  slow.acquire().release();
  auto hold = std::make_optional(lock_.acquire());
  Waiting leaving{slow};
  scene_.await_waiters("orders", 1);
  Lock const third{scene_.client(), "orders"};
  Waiting later{third};
  scene_.await_waiters("orders", 2);

  proxy.delay(300ms);  // it is granted the lock and does not hear of it yet
  hold->release();
  auto const granted = scene_.value("orders");
  leaving.stop();
  EXPECT_FALSE(leaving.get());
  auto const mine = later.get();
  ASSERT_TRUE(mine);
  // Handed on, not taken after the grant had lapsed: each of the two grants took one fence, and no
  // hold was lost.
  EXPECT_FALSE(scene_.redis("HEXISTS", "{orders}:state", "lost").as<bool>()) << granted;
  EXPECT_EQ(scene_.waiters("orders"), 0);
}

TEST_P(LockFaultsTest, AcquireThatWasSentBeforeTheNetworkWentIsInDoubtAndGivenBackWhenItIsBack) {
  FaultProxy proxy{scene_.server};
  auto client = client_through(proxy);
  Lock const lock{client, "orders", {.lease = 60s}};
  lock.acquire().release();
  auto const fence = [&] {
    return scene_.redis("HGET", "{orders}:state", "fence").as<std::string>();
  };
  auto const before = fence();
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);
  proxy.refuse(true);
  EXPECT_THROW((void)lock.try_acquire(), InDoubt);
  EXPECT_NE(fence(), before) << "it was executed";
  proxy.refuse(false);
  scene_.kill_connections();
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders"); })) << "long before its lease ends";
}

TEST_P(LockFaultsTest, AcquireThatReachesTheServerAfterItsGivingBackIsGivenBackToo) {
  FaultProxy proxy{scene_.server};
  auto client = client_through(proxy);
  Lock const lock{client, "orders", {.lease = 60s}};
  lock.acquire().release();
  auto const asked = [&] { return scene_.count().scripts; };
  // Told once that nothing is held, the client does not believe it: the request is still on its
  // way.
  proxy.next("EVALSHA", FaultProxy::Fault::cut_and_delay);
  proxy.refuse(true);
  auto const before = asked();
  EXPECT_THROW((void)lock.try_acquire(), InDoubt);
  proxy.refuse(false);
  ASSERT_TRUE(eventually([&] { return asked() > before; })) << "it has asked for the giving back";
  auto const fence = scene_.redis("HGET", "{orders}:state", "fence").as<std::string>();
  proxy.deliver_delayed();
  ASSERT_TRUE(eventually(
      [&] { return scene_.redis("HGET", "{orders}:state", "fence").as<std::string>() != fence; }));
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders"); })) << "long before its lease ends";
}

// ---- A server that is silent, gone, or new ----

TEST_P(LockFaultsTest, AcquireThatStaysInDoubtIsGivenBackInTheBackground) {
  Lock const impatient{client_with(200ms), "orders", {.lease = 60s}};
  impatient.acquire().release();
  scene_.server.pause();
  auto const took = time_of([&] { EXPECT_THROW((void)impatient.try_acquire(), InDoubt); });
  EXPECT_LE(took, 200ms + stall);
  scene_.server.resume();
  // The server has read the request and runs it now.
  EXPECT_TRUE(
      eventually([&] { return scene_.exists("{orders}:state") && !scene_.exists("orders"); }));
  EXPECT_TRUE(lock_.try_acquire_for(5s)) << "long before the lease of a minute";
}

TEST_P(LockFaultsTest, AcquireThatStaysInDoubtForLongerThanItsLeaseIsGivenBackToo) {
  Lock const impatient{client_with(100ms), "orders", {.lease = 1000ms}};
  impatient.acquire().release();
  auto const before = scene_.redis("HGET", "{orders}:state", "fence").as<std::uint64_t>();
  scene_.server.pause();
  EXPECT_THROW((void)impatient.try_acquire(), InDoubt);
  std::this_thread::sleep_for(1500ms);  // longer than the lease and than a grant
  scene_.server.resume();
  ASSERT_TRUE(eventually([&] {
    return scene_.redis("HGET", "{orders}:state", "fence").as<std::uint64_t>() > before;
  }));
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders"); }));
  EXPECT_EQ(scene_.redis("HGET", "{orders}:state", "released").as<std::string>(),
            scene_.redis("HGET", "{orders}:state", "fence").as<std::string>())
      << "given back, not expired";
}

TEST_P(LockFaultsTest, WaiterThatStaysInDoubtLeavesTheQueueInTheBackground) {
  auto hold = lock_.try_acquire();
  Lock const impatient{client_with(2s), "orders"};
  EXPECT_FALSE(impatient.try_acquire());
  Waiting later{impatient};
  scene_.await_waiters("orders", 1);
  // It has been answered, and sleeps: it looks after the holder.
  ASSERT_TRUE(eventually([&] { return scene_.count().tracked > 0; }));
  scene_.server.pause();
  later.stop();
  auto const took = time_of([&] { EXPECT_FALSE(later.get()); });
  EXPECT_LE(took, stall);
  scene_.server.resume();
  scene_.await_waiters("orders", 0);
}

TEST_P(LockFaultsTest, DeadlineHoldsOnAServerThatIsSilent) {
  Lock const patient{client_with(20s), "orders"};
  (void)patient.owner();
  scene_.server.pause();
  auto const took = time_of([&] { EXPECT_THROW((void)patient.try_acquire_for(200ms), InDoubt); });
  EXPECT_LE(took, 200ms + stall) << "of the twenty seconds that a command may take";
  scene_.server.resume();
}

TEST_P(LockFaultsTest, DeadlineHoldsOnAServerThatFallsSilentDuringTheWait) {
  auto const hold = lock_.try_acquire();
  Lock const other{scene_.client(), "orders"};
  auto later = std::async(std::launch::async, [&] {
    return time_of([&] { EXPECT_FALSE(other.try_acquire_for(3s)); });
  });
  scene_.await_waiters("orders", 1);
  // It has been answered, and sleeps: it looks after the holder.
  ASSERT_TRUE(eventually([&] { return scene_.count().tracked > 0; }));
  scene_.server.pause();
  EXPECT_LE(later.get(), 3s + stall);
  scene_.server.resume();
}

TEST_P(LockFaultsTest, AbsentServerIsUnreachableWithinTheDeadlineAndTheLockWorksWhenItIsBack) {
  lock_.acquire().release();
  scene_.server.kill();
  EXPECT_LE(time_of([&] { EXPECT_THROW((void)lock_.try_acquire(), Unreachable); }), 1s + stall);
  EXPECT_LE(time_of([&] { EXPECT_THROW((void)lock_.try_acquire_for(100ms), Unreachable); }),
            100ms + stall);
  EXPECT_THROW((void)lock_.acquire(), Unreachable);
  EXPECT_THROW((void)lock_.owner(), Unreachable);
  scene_.server.restart();
  EXPECT_TRUE(lock_.try_acquire());
}

TEST_P(LockFaultsTest, WaiterGoesOnWaitingOverARestartOfTheServer) {
  auto const hold = lock_.try_acquire();
  Lock const other{scene_.client(), "orders"};
  Waiting later{other};
  scene_.await_waiters("orders", 1);
  scene_.server.restart();
  EXPECT_TRUE(later.get()) << "the new server knows of no hold";
}

TEST(LockOnPersistentServerTest, WaiterGoesOnWaitingOverARestartOfTheServerThatKeptItsData) {
  support::LockScene scene{3, {.persistent = true}};
  Lock const lock{scene.client(), "orders"};
  Lock const other{scene.client(), "orders"};
  auto hold = lock.try_acquire();
  Waiting later{other};
  scene.await_waiters("orders", 1);
  scene.server.restart();
  EXPECT_FALSE(later.over(100ms));
  EXPECT_EQ(hold->release(), Release::released);
  auto const next = later.get();
  ASSERT_TRUE(next);
  EXPECT_GT(next->fence(), hold->fence());
}

TEST_P(LockFaultsTest, WaiterIsServedAfterItsConnectionsBroke) {
  auto hold = lock_.try_acquire();
  Lock const other{scene_.client(), "orders"};
  Waiting later{other};
  for (int i = 0; i < 5; ++i) {
    scene_.await_waiters("orders", 1);
    scene_.kill_connections();
  }
  hold->release();
  EXPECT_TRUE(later.get());
}

TEST_P(LockFaultsTest, GrantThatWasMissedByABrokenConnectionIsTakenUpAfterReconnecting) {
  FaultProxy proxy{scene_.server};
  Lock const deaf{client_through(proxy), "orders"};
  deaf.acquire().release();
  auto hold = lock_.try_acquire();
  Waiting later{deaf};
  scene_.await_waiters("orders", 1);
  proxy.delay(10s);  // the grant is on its way for ever
  hold->release();
  proxy.delay(0s);  // what is said from now on
  scene_.kill_connections();
  EXPECT_TRUE(later.get());
}

TEST_P(LockFaultsTest, WaiterThatHasGoneDeafLeavesTheQueueAtItsDeadline) {
  FaultProxy proxy{scene_.server};
  Lock const deaf{client_through(proxy), "orders"};
  auto const listeners = [&] {
    return scene_.redis("PUBSUB", "CHANNELS", "tandem:*").as<std::vector<std::string>>().size();
  };
  // It will ask again when this is over; by then it hears nothing, and the lock is held still.
  scene_.redis("SET", "orders", "stranger", "PX", 2'000);
  auto later = std::async(std::launch::async, [&] { return deaf.try_acquire_for(4s); });
  scene_.await_waiters("orders", 1);
  scene_.redis("SET", "orders", "stranger", "PX", 60'000);
  proxy.refuse(true);
  scene_.redis("CLIENT", "KILL", "TYPE", "pubsub");
  ASSERT_TRUE(eventually([&] { return listeners() == 0; }));
  auto const before = scene_.count().scripts;
  EXPECT_TRUE(eventually([&] { return scene_.count().scripts > before; })) << "it asked once more";
  EXPECT_EQ(scene_.waiters("orders"), 1);
  EXPECT_FALSE(later.get());
  EXPECT_EQ(listeners(), 0U);
  proxy.refuse(false);  // should it have been too late to say so at once
  scene_.await_waiters("orders", 0);
}

// ---- A server that refuses ----

TEST_P(LockFaultsTest, RefusalsAreServerErrorsAndTheLockWorksAfterwards) {
  struct Case {
    std::string code;
    std::vector<std::string> on;
    std::vector<std::string> off;
  };
  std::vector<Case> const cases{
      {"WRONGTYPE", {"LPUSH", "orders", "1"}, {"DEL", "orders"}},
      {"OOM", {"CONFIG", "SET", "maxmemory", "1"}, {"CONFIG", "SET", "maxmemory", "0"}},
      {"READONLY", {"REPLICAOF", "127.0.0.1", "1"}, {"REPLICAOF", "NO", "ONE"}},
      {"NOPERM",
       {"ACL", "SETUSER", "default", "-evalsha", "-eval"},
       {"ACL", "SETUSER", "default", "+@all"}},
  };
  auto const say = [&](std::vector<std::string> const& words) {
    std::vector<Argument> const arguments{words.begin(), words.end()};
    scene_.client().execute(arguments);
  };
  lock_.acquire().release();
  for (auto const& each : cases) {
    SCOPED_TRACE(each.code);
    say(each.on);
    for (auto const wait : {0ms, 100ms}) {
      try {
        (void)lock_.try_acquire_for(wait);
        ADD_FAILURE() << "no error";
      } catch (ServerError const& error) {
        EXPECT_EQ(error.code(), each.code) << error.what();
        EXPECT_THAT(error.what(), HasSubstr("orders"));
      }
    }
    EXPECT_THROW((void)lock_.acquire(), ServerError);
    say(each.off);
    EXPECT_TRUE(lock_.try_acquire());
  }
}

TEST_P(LockFaultsTest, HoldSurvivesWhatRefusesItsRenewalForLessThanItsLease) {
  auto hold = Lock{scene_.client(), "orders", {.lease = 3s}}.acquire();
  scene_.redis("REPLICAOF", "127.0.0.1", 1);
  std::this_thread::sleep_for(1200ms);  // a renewal is due after a second
  scene_.redis("REPLICAOF", "NO", "ONE");
  EXPECT_TRUE(eventually([&, now = hold.valid_until()] { return hold.valid_until() > now; }));
  EXPECT_TRUE(hold.held());
}

TEST_P(LockFaultsTest, ReleaseOnAServerOutOfMemoryReleases) {
  auto hold = lock_.acquire();
  scene_.redis("CONFIG", "SET", "maxmemory", 1);
  EXPECT_EQ(hold.release(), Release::released);
  EXPECT_FALSE(scene_.exists("orders"));
}

TEST_P(LockFaultsTest, ReleaseThatWasRefusedIsTriedAgainInTheBackground) {
  auto hold = Lock{scene_.client(), "orders", {.lease = 60s}}.acquire();
  scene_.redis("REPLICAOF", "127.0.0.1", 1);
  EXPECT_EQ(hold.release(), Release::unknown);
  std::this_thread::sleep_for(100ms);  // for the first of these tries to be refused as well
  scene_.redis("REPLICAOF", "NO", "ONE");
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders"); })) << "long before its lease ends";
}

TEST_P(LockFaultsTest, ReleaseThatIsRefusedForLongIsAskedForSeldomAndDoneInTheEnd) {
  auto hold = Lock{scene_.client(), "orders", {.lease = 60s}}.acquire();
  scene_.redis("REPLICAOF", "127.0.0.1", 1);
  scene_.reset_count();
  EXPECT_EQ(hold.release(), Release::unknown);
  std::this_thread::sleep_for(3s);  // in which it would be asked for sixty times at an even pace
  EXPECT_LE(scene_.count().scripts, 8);
  EXPECT_TRUE(scene_.exists("orders"));
  scene_.redis("REPLICAOF", "NO", "ONE");
  EXPECT_TRUE(eventually([&] { return !scene_.exists("orders"); })) << "long before its lease ends";
}

TEST_P(LockFaultsTest, WaiterThatMayNotSubscribeIsToldSoAndIsNotInTheQueue) {
  scene_.redis("ACL", "SETUSER", "default", "-subscribe");
  auto hold = lock_.try_acquire();
  Lock const other{scene_.client(), "orders"};
  std::string text;
  auto const took =
      time_of([&] { text = error_of([&] { (void)other.try_acquire_for(long_enough); }); });
  EXPECT_THAT(text, HasSubstr("NOPERM"));
  EXPECT_LE(took, 2s + stall);
  EXPECT_EQ(scene_.waiters("orders"), 0);
  EXPECT_FALSE(other.try_acquire()) << "what needs no subscription still works";
  hold->release();
  EXPECT_TRUE(other.try_acquire());
}

TEST_P(LockFaultsTest, WhatCouldNotBeGivenBackIsGivenBackWhenTheClientEnds) {
  auto const hold = lock_.acquire();
  FaultProxy way{scene_.server};
  {
    auto const client = client_through(way);
    Waiting later{Lock{client, "orders"}};
    scene_.await_waiters("orders", 1);
    ASSERT_TRUE(eventually([&] { return scene_.count().tracked > 0; }));
    way.refuse(true);
    scene_.kill_connections();
    later.stop();
    EXPECT_FALSE(later.get());
    EXPECT_EQ(scene_.waiters("orders"), 1U);
    way.refuse(false);
  }
  EXPECT_EQ(scene_.waiters("orders"), 0U);
}

TEST_P(LockFaultsTest, WaiterThatMaySubscribeAgainWaits) {
  scene_.redis("ACL", "SETUSER", "default", "-subscribe");
  auto hold = lock_.try_acquire();
  Lock const other{scene_.client(), "orders"};
  EXPECT_THROW((void)other.try_acquire_for(5s), ServerError);
  scene_.redis("ACL", "SETUSER", "default", "+subscribe");
  EXPECT_TRUE(eventually([&] {
    try {
      return !other.try_acquire_for(50ms);
    } catch (Error const&) {  // refused; or the machine stalled for longer than that
      return false;
    }
  }));
  Waiting later{other};
  scene_.await_waiters("orders", 1);
  hold->release();
  EXPECT_TRUE(later.get());
}

TEST_P(LockFaultsTest, HolderThatMayNotPublishIsToldAtTheReleaseAndTheLockGoesOn) {
  auto hold = std::make_optional(lock_.acquire());
  Lock const other{scene_.client(), "orders"};
  Waiting later{other};
  scene_.await_waiters("orders", 1);
  scene_.redis("ACL", "SETUSER", "default", "-publish");
  EXPECT_EQ(hold->release(), Release::unknown);
  EXPECT_THAT(scene_.reports.texts(), ::testing::ElementsAre(HasSubstr("script on orders")));
  scene_.redis("ACL", "SETUSER", "default", "+publish");
  EXPECT_TRUE(later.get());
}

TEST_P(LockFaultsTest, WrongPasswordIsAServerError) {
  scene_.redis("CONFIG", "SET", "requirepass", "right");
  auto options = scene_.options();
  options.password = "wrong";
  Lock const locked_out{Client{options}, "orders"};
  EXPECT_THAT(error_of([&] { (void)locked_out.try_acquire(); }), HasSubstr("WRONGPASS"));
  EXPECT_THAT(error_of([&] { (void)locked_out.acquire(); }), HasSubstr("WRONGPASS"));
  options.password = "right";
  EXPECT_TRUE((Lock{Client{options}, "orders"}.try_acquire()));
}

TEST(LockOnLoadingServerTest, IsToldThatItLoadsAndWorksWhenItHasLoaded) {
  // Loading takes as long as we say, so much for each key; and it looks at its sockets meanwhile.
  support::LockScene scene{
      3,
      {.arguments = {"--key-load-delay", "400", "--loading-process-events-interval-bytes", "1024"},
       .persistent = true}};
  auto preload = scene.client();
  for (int i = 0; i < 5'000; i += 500) {
    auto many = preload.pipeline();
    for (int n = i; n < i + 500; ++n) many.command("SET", "key " + std::to_string(n), n);
    (void)many.execute();
  }
  Lock const lock{scene.client(), "orders"};
  lock.acquire().release();
  scene.server.kill();  // now, while nothing is on its way
  auto restarted = std::async(std::launch::async, [&] { scene.server.restart(); });
  bool told = false;
  EXPECT_TRUE(eventually([&] {
    try {
      return lock.try_acquire() && told;
    } catch (ServerError const& error) {
      told = told || error.code() == "LOADING";
      return false;
    } catch (Error const&) {
      return false;  // not there yet, or busy loading between two looks at its sockets
    }
  }));
  restarted.get();
}

TEST(LockOnStrangeServerTest, AnswerThatIsNoneOfOursIsAShapeErrorAndNoHold) {
  for (std::string const answer :
       {":1\r\n", "$2\r\nno\r\n", "*0\r\n", "*2\r\n:1\r\n$3\r\nabc\r\n", "*1\r\n:0\r\n"}) {
    support::FakeServer const server{"EVALSHA", answer};
    Lock const lock{Client{server.url()}, "orders"};
    EXPECT_THROW((void)lock.try_acquire(), ShapeError) << answer;
  }
}

}  // namespace
}  // namespace tandem
