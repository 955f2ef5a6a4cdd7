// What becomes of adds when the server refuses them, the network loses them, or either is away.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/buffered_counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/reports.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::eventually;
using support::FaultProxy;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Fault = FaultProxy::Fault;

constexpr BufferedCounterOptions by_hand{.flush_interval = 12h, .resend_for = 24h};
constexpr BufferedCounterOptions often{.flush_interval = 5ms};

class BufferedCounterFaultsTest : public ::testing::Test {
 protected:
  [[nodiscard]] Client client(std::string const& url, std::string const& parameters = "") {
    auto options = Options::from_url(url + parameters);
    options.on_error = reports_.hook();
    return Client{options};
  }
  [[nodiscard]] Client client() { return client(server_.url(), "?command_timeout=20s"); }

  std::string get(std::string const& key = "hits") {
    return redis_.command("GET", key).as<std::optional<std::string>>().value_or("(nil)");
  }
  bool becomes(std::string const& number) {
    return eventually([&] { return code_of([&] { get(); }) == "none" && get() == number; });
  }
  static bool is_delivered(BufferedCounter const& counter) {
    return eventually([&] { return counter.pending() == 0; });
  }

  support::Reports reports_{};
  testing::RedisServer server_{{.persistent = true}};
  Client redis_{server_.url() + "?command_timeout=20s"};
};

// ---- The network ----

TEST_F(BufferedCounterFaultsTest, FlushCountsOnceWhateverTheNetworkDoes) {
  FaultProxy proxy{server_};
  BufferedCounter hits{client(proxy.url(), "?command_timeout=20s&connect_timeout=20s"), "hits",
                       by_hand};
  std::int64_t sum = 0;
  for (auto const fault : {Fault::cut_before_request, Fault::cut_in_request,
                           Fault::cut_after_request, Fault::cut_in_reply, Fault::cut_and_delay}) {
    for (int i = 0; i < 3; ++i) {
      sum += 7;
      hits.add(7);
      proxy.next("EVALSHA", fault);
      hits.flush();
      ASSERT_EQ(get(), std::to_string(sum)) << static_cast<int>(fault);
    }
  }
  proxy.deliver_delayed();
  hits.add();
  hits.flush();
  EXPECT_EQ(get(), std::to_string(sum + 1));
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(BufferedCounterFaultsTest, BackgroundCountsOnceWhateverTheNetworkDoes) {
  FaultProxy proxy{server_};
  BufferedCounter hits{client(proxy.url(), "?command_timeout=300ms"), "hits", often};
  std::int64_t sum = 0;
  for (auto const fault :
       {Fault::cut_before_request, Fault::cut_in_request, Fault::cut_after_request,
        Fault::cut_in_reply, Fault::cut_and_delay, Fault::swallow_reply}) {
    for (int i = 0; i < 3; ++i) {
      proxy.next(sum == 0 || i == 2 ? "EVAL" : "EVALSHA", fault);
      sum += 7;
      hits.add(7);
      ASSERT_TRUE(is_delivered(hits)) << static_cast<int>(fault);
      ASSERT_EQ(get(), std::to_string(sum)) << static_cast<int>(fault);
      proxy.forget();
    }
  }
  proxy.deliver_delayed();
  hits.add();
  ASSERT_TRUE(is_delivered(hits));
  EXPECT_EQ(get(), std::to_string(sum + 1));
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(BufferedCounterFaultsTest, FlushWithoutAnAnswerIsInDoubtAndWhatItSentIsCountedOnce) {
  FaultProxy proxy{server_};
  BufferedCounter hits{client(proxy.url(), "?command_timeout=300ms"), "hits", by_hand};
  hits.add();
  ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
  proxy.next("EVALSHA", Fault::swallow_reply);
  hits.add(10);
  try {
    hits.flush();
    ADD_FAILURE() << "no answer, and no fault";
  } catch (InDoubt const&) {
    EXPECT_EQ(hits.pending(), 10);
    EXPECT_EQ(hits.value(), 11);  // it is known to be there, by the record
  }
  hits.add(100);
  ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
  EXPECT_EQ(get(), "111");
}

TEST_F(BufferedCounterFaultsTest, FlushThatWasNeverSentLeavesNoGapForValueToPuzzleOver) {
  FaultProxy proxy{server_};
  proxy.refuse(true);
  BufferedCounter hits{client(proxy.url(), "?command_timeout=20s&connect_timeout=50ms"), "hits",
                       by_hand};
  for (int i = 0; i < 3; ++i) {
    hits.add();
    EXPECT_THROW(hits.flush(), Unreachable);
  }
  proxy.refuse(false);
  ASSERT_TRUE(eventually([&] { return code_of([&] { (void)hits.value(); }) == "none"; }));
  EXPECT_EQ(support::commands_of(redis_, [&] { EXPECT_EQ(hits.value(), 3); }), "evalsha 1, get 2");
}

TEST_F(BufferedCounterFaultsTest, LateCopiesDoNothing) {
  FaultProxy proxy{server_};
  BufferedCounter hits{client(proxy.url(), "?command_timeout=20s"), "hits", by_hand};
  hits.add();
  hits.flush();
  // Of one that was counted ...
  proxy.next("EVALSHA", Fault::cut_and_delay);
  hits.add(10);
  hits.flush();
  proxy.deliver_delayed();
  EXPECT_EQ(get(), "11");
  // ... of one before the last ...
  proxy.next("EVALSHA", Fault::cut_and_delay);
  hits.add(10);
  hits.flush();
  hits.add(10);
  hits.flush();
  proxy.deliver_delayed();
  EXPECT_EQ(get(), "31");
  // ... and of one that was refused, when the reason is gone.
  redis_.command("DEL", "hits");
  redis_.command("RPUSH", "hits", "a");
  proxy.next("EVALSHA", Fault::cut_and_delay);
  hits.add(10);
  EXPECT_EQ(code_of([&] { hits.flush(); }), "WRONGTYPE");
  redis_.command("DEL", "hits");
  proxy.deliver_delayed();
  hits.add(5);
  hits.flush();
  EXPECT_EQ(get(), "15");
}

TEST_F(BufferedCounterFaultsTest, ConnectionsThatAreKilledLoseAndRepeatNothing) {
  BufferedCounter hits{client(server_.url(), "?command_timeout=20s&connect_timeout=20s"),
                       "hits",
                       {.flush_interval = 1ms}};
  std::atomic<bool> done = false;
  std::atomic<int> flushes = 0;
  std::int64_t added = 0;
  std::thread adding{[&] {
    while (!done) {
      for (int i = 0; i < 100; ++i) hits.add();
      added += 100;
      if (code_of([&] { hits.flush(); }) == "none") ++flushes;
    }
  }};
  Client killer{server_.url()};
  for (int i = 0; i < 100; ++i) {
    killer.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    auto const before = flushes.load();
    (void)eventually([&] { return flushes > before; }, 1s);  // so that some get through
  }
  done = true;
  adding.join();
  hits.flush();
  EXPECT_EQ(get(), std::to_string(added));
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(BufferedCounterFaultsTest, ForgottenScriptsAreNoFault) {
  BufferedCounter hits{client(), "hits", by_hand};
  BufferedCounter soon{client(), "soon", often};
  for (int i = 1; i <= 3; ++i) {
    redis_.command("SCRIPT", "FLUSH");
    hits.add();
    soon.add();
    hits.flush();
    EXPECT_EQ(get(), std::to_string(i));
    EXPECT_TRUE(is_delivered(soon));
    EXPECT_EQ(get("soon"), std::to_string(i));
  }
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

// ---- The server is away ----

TEST_F(BufferedCounterFaultsTest, AddsAreKeptWhileTheServerIsAwayAndDeliveredLater) {
  BufferedCounter hits{client(server_.url(), "?connect_timeout=50ms"), "hits", often};
  hits.add(1);
  ASSERT_TRUE(is_delivered(hits));
  server_.kill();
  for (int i = 0; i < 1000; ++i) hits.add();
  EXPECT_THROW(hits.flush(), Unreachable);
  EXPECT_EQ(hits.pending(), 1000);
  EXPECT_THROW((void)hits.value(), Unreachable);
  server_.restart();
  EXPECT_TRUE(is_delivered(hits));
  EXPECT_EQ(get(), "1001");
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(BufferedCounterFaultsTest, ServerThatFallsInMidFlushCountsItOnceWhenItIsBack) {
  for (bool const executed : {false, true}) {
    redis_.command("FLUSHALL");
    FaultProxy proxy{server_};
    BufferedCounter hits{client(proxy.url(), "?command_timeout=300ms&connect_timeout=100ms"),
                         "hits", by_hand};
    hits.add();
    ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
    proxy.next("EVALSHA", executed ? Fault::swallow_reply : Fault::cut_and_delay);
    hits.add(10);
    proxy.refuse(true);
    EXPECT_THROW(hits.flush(), InDoubt);
    EXPECT_EQ(get(), executed ? "11" : "1");
    server_.kill();
    server_.restart();  // with all that it has acknowledged
    proxy.refuse(false);
    hits.add(100);
    ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
    EXPECT_EQ(get(), "111");
  }
}

TEST_F(BufferedCounterFaultsTest, ServerThatLostItsDataLosesWhatItHadAndNoMore) {
  testing::RedisServer forgetful;
  Client look{forgetful.url() + "?connect_timeout=20s"};
  FaultProxy proxy{forgetful};
  BufferedCounter hits{client(proxy.url(), "?command_timeout=300ms&connect_timeout=100ms"), "hits",
                       by_hand};
  hits.add();
  ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
  proxy.next("EVALSHA", Fault::swallow_reply);
  hits.add(10);
  EXPECT_THROW(hits.flush(), InDoubt);
  forgetful.kill();
  forgetful.restart();
  ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
  // The ten that were not acknowledged are in the new number; the acknowledged one is lost with the
  // old.
  EXPECT_EQ(look.command("GET", "hits").as<int>(), 10);
}

TEST_F(BufferedCounterFaultsTest, WhatOutlivesItsObjectIsDeliveredWhileTheClientLives) {
  auto own = client(server_.url(), "?connect_timeout=50ms");
  server_.kill();
  {
    BufferedCounter hits{own, "hits", by_hand};
    hits.add(5);
  }
  server_.restart();
  EXPECT_TRUE(becomes("5"));
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

TEST_F(BufferedCounterFaultsTest, WhatOutlivesTheClientIsTold) {
  {
    auto own = client(server_.url(), "?connect_timeout=50ms");
    BufferedCounter hits{own, "hits", by_hand};
    BufferedCounter more{own, "more", by_hand};
    server_.kill();
    hits.add(5);
    more.add(-6);
  }
  EXPECT_THAT(reports_.texts(), SizeIs(2));
  EXPECT_TRUE(reports_.have("hits: 5 was never added: tandem: cannot connect"));
  EXPECT_TRUE(reports_.have("more: -6 was never added: "));
}

TEST_F(BufferedCounterFaultsTest, DoubtThatOutlivesTheClientIsToldAsDoubt) {
  FaultProxy proxy{server_};
  {
    BufferedCounter hits{client(proxy.url(), "?command_timeout=300ms&connect_timeout=50ms"), "hits",
                         by_hand};
    hits.add();
    ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
    proxy.next("EVALSHA", Fault::swallow_reply);
    hits.add(5);
    EXPECT_THROW(hits.flush(), InDoubt);
    hits.add(6);
    proxy.refuse(true);
    server_.kill();
  }
  EXPECT_THAT(reports_.texts(), SizeIs(1));
  EXPECT_TRUE(reports_.have("hits: whether 5 was added is not known, and 6 more was not: "));
}

TEST_F(BufferedCounterFaultsTest, WhatCannotBeConfirmedInTimeIsToldAndNotSentAgain) {
  BufferedCounter hits{client(server_.url(), "?command_timeout=100ms&connect_timeout=100ms"),
                       "hits",
                       {.flush_interval = 5ms, .resend_for = 200ms}};
  hits.add();
  ASSERT_TRUE(is_delivered(hits));
  auto const before = reports_.texts().size();  // the machine may have stalled
  auto const counted = std::stoll(get());
  server_.pause();
  hits.add(10);
  EXPECT_TRUE(eventually([&] { return hits.unconfirmed() >= 10; }));
  EXPECT_EQ(hits.pending(), 0);
  EXPECT_TRUE(eventually([&] { return reports_.texts().size() == before + 1; }));
  EXPECT_TRUE(
      reports_.have("hits: whether 10 was added is not known: it was sent, and not answered "
                    "within 200 ms"));
  server_.resume();  // which reads all the copies that were sent in time, and counts one
  EXPECT_TRUE(becomes(std::to_string(counted + 10)));
}

// ---- The server refuses ----

TEST_F(BufferedCounterFaultsTest, WhatFlushIsRefusedIsKeptUntilTheReasonIsGone) {
  redis_.command("RPUSH", "hits", "a");
  BufferedCounter hits{client(), "hits", by_hand};
  for (int i = 0; i < 3; ++i) {
    hits.add(2);
    EXPECT_EQ(code_of([&] { hits.flush(); }), "WRONGTYPE");
  }
  EXPECT_EQ(hits.pending(), 6);
  EXPECT_EQ(redis_.command("LLEN", "hits").as<int>(), 1);
  redis_.command("DEL", "hits");
  hits.flush();
  EXPECT_EQ(get(), "6");
  EXPECT_EQ(hits.pending(), 0);
}

TEST_F(BufferedCounterFaultsTest, WhatTheBackgroundIsRefusedIsToldOnceAndKept) {
  redis_.command("SET", "hits", "seven");
  BufferedCounter hits{client(), "hits", often};
  hits.add(2);
  EXPECT_TRUE(
      eventually([&] { return reports_.have("flushing hits: ERR value is not an integer"); }));
  // It is asked again, and again, and refused for the same reason.
  auto const record = [&] {
    for (auto const& key : redis_.command("KEYS", "{hits}:*").as<std::vector<std::string>>())
      return get(key);
    return std::string{};
  };
  EXPECT_TRUE(eventually([&] { return record().starts_with("3 "); }));
  EXPECT_THAT(reports_.texts(), SizeIs(1));
  EXPECT_EQ(hits.pending(), 2);
  hits.add(3);
  redis_.command("SET", "hits", "7");
  EXPECT_TRUE(becomes("12"));
  // After a success the same reason is news again.
  redis_.command("SET", "hits", "seven");
  hits.add(1);
  EXPECT_TRUE(eventually([&] { return reports_.texts().size() == 2; }));
}

TEST_F(BufferedCounterFaultsTest, RefusalWhoseReplyIsLostIsARefusal) {
  FaultProxy proxy{server_};
  BufferedCounter hits{client(proxy.url(), "?command_timeout=20s"), "hits", by_hand};
  hits.add();
  hits.flush();
  redis_.command("SET", "hits", "seven");
  proxy.next("EVALSHA", Fault::cut_after_request);
  hits.add(10);
  EXPECT_EQ(code_of([&] { hits.flush(); }), "ERR");
  EXPECT_EQ(hits.pending(), 10);
  redis_.command("SET", "hits", "7");
  EXPECT_EQ(hits.value(), 17);
  hits.flush();
  EXPECT_EQ(get(), "17");
}

TEST_F(BufferedCounterFaultsTest, NumberThatWouldOverflowStaysAndSoDoesWhatWasToBeAdded) {
  redis_.command("SET", "hits", "9223372036854775806");
  BufferedCounter hits{client(), "hits", by_hand};
  hits.add(4);
  EXPECT_EQ(code_of([&] { hits.flush(); }), "ERR");
  EXPECT_EQ(get(), "9223372036854775806");
  hits.add(-3);
  hits.flush();
  EXPECT_EQ(get(), "9223372036854775807");
}

TEST_F(BufferedCounterFaultsTest, ServerThatIsFullOrFollowsAnotherGetsItLater) {
  BufferedCounter hits{client(), "hits", by_hand};
  hits.add(1);
  hits.flush();
  redis_.command("CONFIG", "SET", "maxmemory", 1);
  hits.add(2);
  EXPECT_EQ(code_of([&] { hits.flush(); }), "OOM");
  EXPECT_EQ(hits.value(), 3);
  redis_.command("CONFIG", "SET", "maxmemory", 0);
  redis_.command("REPLICAOF", "127.0.0.1", 1);
  EXPECT_EQ(code_of([&] { hits.flush(); }), "READONLY");
  redis_.command("REPLICAOF", "NO", "ONE");
  hits.flush();
  EXPECT_EQ(get(), "3");
}

TEST_F(BufferedCounterFaultsTest, RefusalAfterDoubtLeavesItInDoubtUntilItIsAnswered) {
  FaultProxy proxy{server_};
  BufferedCounter hits{client(proxy.url(), "?command_timeout=300ms"), "hits", by_hand};
  hits.add();
  ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
  proxy.next("EVALSHA", Fault::swallow_reply);
  hits.add(10);
  EXPECT_THROW(hits.flush(), InDoubt);
  redis_.command("CONFIG", "SET", "maxmemory", 1);
  // A copy of what is there is answered as such, also by a server that is full.
  hits.add(100);
  EXPECT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "OOM"; }));
  EXPECT_EQ(hits.pending(), 100);
  redis_.command("CONFIG", "SET", "maxmemory", 0);
  ASSERT_TRUE(eventually([&] { return code_of([&] { hits.flush(); }) == "none"; }));
  EXPECT_EQ(get(), "111");
}

TEST_F(BufferedCounterFaultsTest, UserWhoMayNotIsToldSoAndNothingIsHalfDone) {
  redis_.command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-incrby");
  auto options = Options::from_url(server_.url() + "?command_timeout=20s");
  options.user = "app";
  options.password = "pw";
  options.on_error = reports_.hook();
  BufferedCounter hits{Client{options}, "hits", by_hand};
  hits.add(2);
  EXPECT_NE(code_of([&] { hits.flush(); }), "none");
  EXPECT_EQ(hits.pending(), 2);
  EXPECT_EQ(get(), "(nil)");
  redis_.command("ACL", "SETUSER", "app", "+incrby");
  hits.flush();
  EXPECT_EQ(get(), "2");
}

TEST_F(BufferedCounterFaultsTest, RecordThatSomebodyElseKeepsATextInIsRefused) {
  BufferedCounter hits{client(), "hits", by_hand};
  hits.add();
  hits.flush();
  auto const record = redis_.command("KEYS", "{hits}:*").as<std::vector<std::string>>().at(0);
  redis_.command("SET", record, "mine");
  hits.add(2);
  EXPECT_EQ(code_of([&] { hits.flush(); }), "ERR");
  redis_.command("DEL", record);
  redis_.command("RPUSH", record, "mine");
  EXPECT_EQ(code_of([&] { hits.flush(); }), "WRONGTYPE");
  EXPECT_EQ(get(), "1");
  redis_.command("DEL", record);
  hits.flush();
  EXPECT_EQ(get(), "3");
}

}  // namespace
}  // namespace tandem
