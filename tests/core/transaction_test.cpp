#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/core/transaction.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fake_server.hpp"
#include "support/fault_proxy.hpp"
#include "support/patience.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::FakeServer;
using support::FaultProxy;
using support::stall;
using support::time_of;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Fault = FaultProxy::Fault;

static_assert(!std::is_copy_constructible_v<Transaction>, "it does not outlive its function");
static_assert(!std::is_move_constructible_v<Transaction>);

class TransactionTest : public ::testing::Test {
 protected:
  /// Adds one to "a" and puts the sum into "b", and counts how often it was begun.
  long long add_one(Conversation& speaker) {
    return speaker.transaction({"a", "b"}, [this](Transaction& tx) {
      ++begun_;
      auto const a = tx.read("GET", "a").as<std::optional<long long>>().value_or(0);
      tx.queue("INCR", "a");
      tx.queue("INCR", "b");
      return a + 1;
    });
  }

  std::optional<long long> value(std::string const& key) {
    return own_.command("GET", key).as<std::optional<long long>>();
  }

  long long calls(std::string const& command) {
    auto const text = own_.command("INFO", "commandstats").as<std::string>();
    auto const at = text.find("cmdstat_" + command + ":calls=");
    return at == std::string::npos ? 0 : std::stoll(text.substr(text.find('=', at) + 1));
  }

  /// Whether another client's change of `key` spoils the next EXEC on that connection.
  bool watches(Connection& wire, std::string const& key) {
    wire.command("MULTI");
    wire.command("PING");
    own_.command("SET", key, "changed");
    return wire.command("EXEC").is_nil();
  }

  testing::RedisServer server_{};
  FaultProxy proxy_{server_};
  Connection own_{server_.url()};
  Client redis_{proxy_.url()};
  int begun_ = 0;
};

// ---- What it does ----

TEST_F(TransactionTest, ReadsDecidesAndWritesAsInTheExample) {
  own_.command("SET", "a", 41);
  long long const total = redis_.transaction({"a", "b"}, [](tandem::Transaction& tx) {
    auto a = tx.read("GET", "a").as<std::optional<long long>>().value_or(0);
    tx.queue("SET", "b", a + 1);
    return a + 1;
  });
  EXPECT_EQ(total, 42);
  EXPECT_EQ(value("b"), 42);
}

TEST_F(TransactionTest, WorksOnAConnectionToo) {
  Connection wire{server_.url()};
  EXPECT_EQ(add_one(wire), 1);
  EXPECT_EQ(add_one(wire), 2);
  EXPECT_EQ(value("b"), 2);
}

TEST_F(TransactionTest, FunctionWithoutAResultGivesTheRepliesOfWhatItQueued) {
  auto const replies = redis_.transaction({"a"}, [](Transaction& tx) {
    tx.queue("SET", "a", 5);
    tx.queue("INCR", "a");
    tx.queue("GET", "absent");
  });
  ASSERT_EQ(replies.size(), 3U);
  EXPECT_EQ(replies[0].as<std::string>(), "OK");
  EXPECT_EQ(replies[1].as<int>(), 6);
  EXPECT_TRUE(replies[2].is_nil());
}

TEST_F(TransactionTest, ResultMayBeMoveOnly) {
  auto const result = redis_.transaction({}, [](Transaction& tx) {
    tx.queue("INCR", "a");
    return std::make_unique<int>(7);
  });
  EXPECT_EQ(*result, 7);
}

TEST_F(TransactionTest, FunctionMayKeepStateOfItsOwn) {
  int runs = 0;
  auto body = [runs = &runs](Transaction& tx) mutable {
    ++*runs;
    tx.queue("INCR", "a");
  };
  redis_.transaction({"a"}, body);
  std::function<void(Transaction&)> const erased = body;
  redis_.transaction({"a"}, erased);
  EXPECT_EQ(runs, 2);
}

TEST_F(TransactionTest, KeysMayBeKnownOnlyAtRunTime) {
  std::vector<std::string_view> const keys{"a", "b"};
  redis_.transaction(keys, [](Transaction& tx) { tx.queue("INCR", "a"); });
  EXPECT_EQ(value("a"), 1);
}

TEST_F(TransactionTest, WithoutKeysItIsAtomicButNeverSpoilt) {
  redis_.transaction({}, [this](Transaction& tx) {
    auto const a = tx.read("GET", "a").as<std::optional<int>>();
    own_.command("SET", "a", 10);
    tx.queue("INCR", "a");
    EXPECT_EQ(a, std::nullopt);
  });
  EXPECT_EQ(value("a"), 11);
  EXPECT_EQ(calls("watch"), 0);
}

TEST_F(TransactionTest, TenThousandQueuedCommandsAreOne) {
  Client redis{server_.url() + "?command_timeout=20s"};
  auto const replies = redis.transaction({"n"}, [](Transaction& tx) {
    for (int i = 0; i < 10'000; ++i) tx.queue("INCR", "n");
  });
  EXPECT_EQ(replies.size(), 10'000U);
  EXPECT_EQ(value("n"), 10'000);
}

TEST_F(TransactionTest, TryWithOneReadIsTwoRoundTrips) {
  add_one(redis_);  // a connection's first shows it that the server takes MULTI
  auto const before = proxy_.round_trips();
  add_one(redis_);
  EXPECT_EQ(proxy_.round_trips() - before, 2);
  redis_.transaction({"a"}, [](Transaction& tx) {
    (void)tx.read("GET", "a");
    (void)tx.read("GET", "b");
    tx.queue("INCR", "a");
  });
  EXPECT_EQ(proxy_.round_trips() - before, 2 + 3);
  EXPECT_EQ(calls("watch"), 3);
  EXPECT_EQ(calls("multi"), 3);
  EXPECT_EQ(calls("exec"), 3);
  EXPECT_EQ(calls("unwatch"), 0);
}

// ---- Conflicts ----

TEST_F(TransactionTest, ChangedKeyBeginsItAgain) {
  auto const result = redis_.transaction({"a"}, [this](Transaction& tx) {
    auto const a = tx.read("GET", "a").as<std::optional<long long>>().value_or(0);
    if (++begun_ < 3) own_.command("SET", "a", 10 * begun_);
    tx.queue("SET", "b", a);
    return a;
  });
  EXPECT_EQ(begun_, 3);
  EXPECT_EQ(result, 20);
  EXPECT_EQ(value("b"), 20);
}

TEST_F(TransactionTest, KeyChangedBeforeTheFirstReadIsNoConflict) {
  redis_.transaction({"a"}, [this](Transaction& tx) {
    ++begun_;
    own_.command("INCR", "a");  // WATCH leaves with the first read
    tx.queue("SET", "b", tx.read("GET", "a").as<int>());
  });
  EXPECT_EQ(begun_, 1);
  EXPECT_EQ(value("b"), 1);
}

TEST_F(TransactionTest, KeysThatKeepChangingEndInConflictAtTheDeadline) {
  Client redis{server_.url() + "?command_timeout=300ms"};
  auto const keep_changing = [this](Transaction& tx) {
    ++begun_;
    (void)tx.read("GET", "a");
    own_.command("INCR", "a");
    tx.queue("SET", "b", 1);
  };
  auto const outcome = [&]() -> std::string {
    try {
      redis.transaction({"a", "b"}, keep_changing);
    } catch (Conflict const& conflict) {
      return conflict.what();
    } catch (Error const&) {
      return "stalled";  // the machine stood still while the last try was on its way
    }
    return "succeeded";
  };
  std::string what;
  for (int i = 0; i < 10 && (what.empty() || what == "stalled"); ++i) {
    EXPECT_LT(time_of([&] { what = outcome(); }), 300ms + stall);
  }
  EXPECT_THAT(what, HasSubstr("transaction on a, b: others kept changing the keys"));
  EXPECT_GT(begun_, 1);
  EXPECT_EQ(value("b"), std::nullopt);
}

TEST_F(TransactionTest, ThreadsThatChangeTheSameKeyLoseNothing) {
  Client redis{server_.url() + "?command_timeout=60s"};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([redis]() mutable {
      for (int i = 0; i < 100; ++i) {
        redis.transaction({"a"}, [](Transaction& tx) {
          tx.queue("SET", "a", tx.read("GET", "a").as<std::optional<long long>>().value_or(0) + 1);
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(value("a"), 400);
}

// ---- Nothing is applied ----

TEST_F(TransactionTest, NothingQueuedIsNothingSent) {
  Connection wire{server_.url()};
  auto const read =
      wire.transaction({"a"}, [](Transaction& tx) { return tx.read("GET", "a").is_nil(); });
  EXPECT_TRUE(read);
  EXPECT_TRUE(wire.transaction({"a"}, [](Transaction&) {}).empty());
  EXPECT_EQ(calls("multi") + calls("exec"), 0);
  EXPECT_FALSE(watches(wire, "a"));
}

TEST_F(TransactionTest, ThrowingFunctionAppliesNothingAndPassesItsException) {
  Connection wire{server_.url()};
  auto const body = [](Transaction& tx) {
    (void)tx.read("GET", "a");
    tx.queue("SET", "a", 1);
    throw std::domain_error{"mine"};
  };
  EXPECT_THROW(wire.transaction({"a"}, body), std::domain_error);
  EXPECT_EQ(value("a"), std::nullopt);
  EXPECT_FALSE(watches(wire, "a"));
  EXPECT_THROW(redis_.transaction({"a"}, body), std::domain_error);
  EXPECT_THROW(redis_.transaction({"a"}, [](Transaction&) { throw 7; }), int);
  EXPECT_EQ(value("b"), std::nullopt);
}

TEST_F(TransactionTest, WatchEndsWithTheTransaction) {
  Connection wire{server_.url()};
  add_one(wire);
  EXPECT_FALSE(watches(wire, "a"));
}

TEST_F(TransactionTest, CommandTheServerWillNotQueueAbortsAll) {
  Connection wire{server_.url()};
  EXPECT_THROW(wire.transaction({"a"},
                                [](Transaction& tx) {
                                  tx.queue("SET", "a", 1);
                                  tx.queue("INCR");  // wants a key
                                  tx.queue("SET", "b", 1);
                                }),
               ServerError);
  EXPECT_EQ(value("a"), std::nullopt);
  EXPECT_EQ(value("b"), std::nullopt);
  EXPECT_EQ(add_one(wire), 1);
}

TEST_F(TransactionTest, FullServerSaysOom) {
  own_.command("CONFIG", "SET", "maxmemory", 1);
  try {
    add_one(redis_);
    FAIL() << "it was applied";
  } catch (ServerError const& error) {
    EXPECT_EQ(error.code(), "OOM");
  }
  own_.command("CONFIG", "SET", "maxmemory", 0);
  EXPECT_EQ(add_one(redis_), 1);
}

TEST_F(TransactionTest, ErrorOfAReadIsThrownWhereItIsRead) {
  own_.command("LPUSH", "a", 1);
  Connection wire{server_.url()};
  EXPECT_THROW(add_one(wire), ServerError);
  EXPECT_EQ(begun_, 1);
  EXPECT_EQ(value("b"), std::nullopt);
  EXPECT_FALSE(watches(wire, "a"));
  own_.command("DEL", "a");
  EXPECT_EQ(add_one(wire), 1);
}

TEST_F(TransactionTest, ErrorOfAReadMayBeCaughtAndDecidedOn) {
  own_.command("LPUSH", "a", 1);
  redis_.transaction({"a"}, [](Transaction& tx) {
    try {
      (void)tx.read("GET", "a");
    } catch (ServerError const&) {
      tx.queue("DEL", "a");
    }
  });
  EXPECT_EQ(own_.command("EXISTS", "a").as<int>(), 0);
}

TEST_F(TransactionTest, ForbiddenMultiAppliesNothing) {
  own_.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-multi");
  Connection wire{"unix://app:secret@" + server_.socket_path()};
  for (int i = 0; i < 2; ++i) {
    try {
      add_one(wire);
      FAIL() << "it was applied";
    } catch (ServerError const& error) {
      EXPECT_EQ(error.code(), "NOPERM");
    }
    EXPECT_EQ(value("a"), std::nullopt);
    EXPECT_EQ(value("b"), std::nullopt);
    EXPECT_EQ(wire.command("ECHO", "in step").as<std::string>(), "in step");
  }
}

TEST_F(TransactionTest, MultiThatBecomesForbiddenSaysSoAndLeavesTheConnectionInStep) {
  own_.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all");
  Connection wire{"unix://app:secret@" + server_.socket_path()};
  add_one(wire);
  own_.command("ACL", "SETUSER", "app", "-multi");
  try {
    add_one(wire);
    FAIL() << "it was applied";
  } catch (ServerError const& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("NOPERM"), HasSubstr("it was executed one by one")));
  }
  EXPECT_EQ(wire.command("ECHO", "in step").as<std::string>(), "in step");
}

TEST_F(TransactionTest, ForbiddenWatchAppliesNothing) {
  own_.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-watch");
  Connection wire{"unix://app:secret@" + server_.socket_path()};
  EXPECT_THROW(add_one(wire), ServerError);
  EXPECT_THROW(wire.transaction({"a"}, [](Transaction& tx) { tx.queue("INCR", "a"); }),
               ServerError);
  EXPECT_EQ(value("a"), std::nullopt);
  EXPECT_EQ(wire.command("ECHO", "in step").as<std::string>(), "in step");
}

TEST_F(TransactionTest, FunctionThatOutlastsTheDeadlineAppliesNothing) {
  Connection wire{server_.url() + "?command_timeout=200ms"};
  wire.transaction({}, [](Transaction& tx) { tx.queue("PING"); });
  EXPECT_THROW(wire.transaction({"a"},
                                [](Transaction& tx) {
                                  (void)tx.read("GET", "a");
                                  std::this_thread::sleep_for(250ms);  // the deadline is to pass
                                  tx.queue("INCR", "a");
                                }),
               Unreachable);
  EXPECT_EQ(value("a"), std::nullopt);
}

// ---- Some of it is applied ----

TEST_F(TransactionTest, CommandThatFailsInExecSaysThatTheOthersWereApplied) {
  Connection wire{server_.url()};
  own_.command("SET", "text", "x");
  try {
    wire.transaction({"a"}, [](Transaction& tx) {
      tx.queue("INCR", "a");
      tx.queue("LPUSH", "text", 1);
      tx.queue("INCR", "a");
    });
    FAIL() << "it succeeded";
  } catch (ServerError const& error) {
    EXPECT_EQ(error.code(), "WRONGTYPE");
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("transaction on a"), HasSubstr("its other commands were applied")));
  }
  EXPECT_EQ(value("a"), 2);
  EXPECT_EQ(wire.command("ECHO", "in step").as<std::string>(), "in step");
}

// ---- Faults ----

TEST_F(TransactionTest, LostReplyOfExecIsInDoubtAndAppliedOnce) {
  add_one(redis_);
  for (auto const fault : {Fault::cut_after_request, Fault::cut_in_reply}) {
    begun_ = 0;
    auto const before = *value("b");
    proxy_.next("EXEC", fault);
    EXPECT_THROW(add_one(redis_), InDoubt);
    EXPECT_EQ(begun_, 1);
    EXPECT_EQ(value("b"), before + 1);
  }
}

TEST_F(TransactionTest, SilenceAfterExecIsInDoubtAtTheDeadline) {
  Client redis{proxy_.url() + "?command_timeout=300ms"};
  add_one(redis);
  proxy_.next("EXEC", Fault::swallow_reply);
  auto const took = time_of([&] { EXPECT_THROW(add_one(redis), InDoubt); });
  EXPECT_LT(took, 300ms + stall);
  EXPECT_EQ(value("b"), 2);
}

TEST_F(TransactionTest, CutBeforeExecIsInDoubtOnlyBecauseNobodyCanTell) {
  add_one(redis_);
  proxy_.next("EXEC", Fault::cut_before_request);
  EXPECT_THROW(add_one(redis_), InDoubt);
  EXPECT_EQ(value("b"), 1);
  EXPECT_EQ(add_one(redis_), 2);
}

TEST_F(TransactionTest, CutBeforeTheCommitBeginsItAgainAndAppliesItOnce) {
  for (auto const* command : {"WATCH", "GET"}) {
    for (auto const fault : {Fault::cut_before_request, Fault::cut_in_request,
                             Fault::cut_after_request, Fault::cut_in_reply}) {
      auto const before = value("b").value_or(0);
      proxy_.next(command, fault);
      EXPECT_EQ(add_one(redis_), before + 1) << command;
      EXPECT_EQ(value("b"), before + 1) << command;
    }
  }
  EXPECT_EQ(begun_, 16);
}

TEST_F(TransactionTest, CutWhileAConnectionShowsThatItTakesMultiBeginsItAgain) {
  for (auto const fault : {Fault::cut_before_request, Fault::cut_after_request}) {
    Client fresh{proxy_.url()};
    auto const before = value("b").value_or(0);
    proxy_.next("MULTI", fault);
    EXPECT_EQ(add_one(fresh), before + 1);
    EXPECT_EQ(value("b"), before + 1);
  }
}

TEST_F(TransactionTest, ConnectionCannotBeginAgain) {
  for (auto const* command : {"WATCH", "GET", "MULTI"}) {
    Connection wire{proxy_.url()};
    proxy_.next(command, Fault::cut_after_request);
    EXPECT_THROW(add_one(wire), Unreachable) << command;
    EXPECT_FALSE(wire.usable());
  }
  EXPECT_EQ(value("b"), std::nullopt);
}

TEST_F(TransactionTest, RestartedServerIsFoundAgainInTheMiddle) {
  redis_.transaction({"a"}, [this](Transaction& tx) {
    if (++begun_ == 1) server_.restart();
    tx.queue("SET", "b", tx.read("GET", "a").as<std::optional<int>>().value_or(1));
  });
  EXPECT_EQ(begun_, 2);
  EXPECT_EQ(Connection{server_.url()}.command("GET", "b").as<int>(), 1);
}

TEST(TransactionOnBrokenServerTest, ServerThatHangsUpEachTimeIsAskedEverMoreSeldom) {
  FakeServer const server{"WATCH", "", FakeServer::Then::close};
  Client redis{server.url() + "?command_timeout=500ms"};
  EXPECT_THROW(redis.transaction({"a"}, [](Transaction& tx) { (void)tx.read("GET", "a"); }),
               Unreachable);
  EXPECT_GT(server.connections(), 1);
  EXPECT_LE(server.connections(), 40) << "it waits ever longer between two tries";
}

TEST_F(TransactionTest, DoubtAboutSomethingElseIsNotTakenForItsOwn) {
  Connection other{proxy_.url()};
  proxy_.next("INCRBY", Fault::cut_after_request);
  EXPECT_THROW(redis_.transaction({"a"},
                                  [&](Transaction& tx) {
                                    ++begun_;
                                    (void)tx.read("GET", "a");
                                    tx.queue("INCR", "a");
                                    other.command("INCRBY", "elsewhere", 1);
                                  }),
               InDoubt);
  EXPECT_EQ(begun_, 1);
  EXPECT_EQ(value("elsewhere"), 1);
  EXPECT_EQ(value("a"), std::nullopt);
}

}  // namespace
}  // namespace tandem
