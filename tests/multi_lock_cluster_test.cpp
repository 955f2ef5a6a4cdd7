// Several locks on a server that is a cluster of its own: it refuses scripts whose keys are in
// several slots.
#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/lock.hpp>
#include <tandem/multi_lock.hpp>

#include "locking/slot.hpp"
#include "support/lock_scene.hpp"
#include "support/sockets.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::long_enough;
using ::testing::HasSubstr;
using ::testing::Not;

using Names = std::vector<std::string>;
using MultiWaiting = support::WaitingFor<MultiHold>;

class MultiLockClusterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    scene_.redis("CLUSTER", "ADDSLOTSRANGE", 0, 16'383);
    ASSERT_TRUE(eventually([&] {
      return scene_.redis("CLUSTER", "INFO").as<std::string>().find("cluster_state:ok") !=
             std::string::npos;
    }));
  }
  [[nodiscard]] MultiLock make(Names names, MultiLockOptions const& options = {}) {
    return MultiLock{scene_.client(), std::move(names), options};
  }
  [[nodiscard]] Lock one(std::string const& name) { return Lock{scene_.client(), name}; }

  /// Else that of all such servers is the same.
  static std::string port_of_its_own() { return std::to_string(support::listen_on_tcp().second); }

  support::LockScene scene_{
      3, {.arguments = {"--cluster-enabled", "yes", "--cluster-port", port_of_its_own()}}};
  // In slots 7,365, 15,495 and 3,300.
  Names const apart_{"c", "a", "b"};
};

TEST_F(MultiLockClusterTest, SlotIsTheServers) {
  for (std::string_view const name : {"a", "orders:42", "{42}:orders", "or{42}ders", "{}x", "x{",
                                      "a}b{c}", "{{x}}", "123456789", "\xFF\x80 z"}) {
    EXPECT_EQ(detail::slot_of(name), scene_.redis("CLUSTER", "KEYSLOT", name).as<unsigned>())
        << name;
  }
}

TEST_F(MultiLockClusterTest, NamesOfOneSlotAreTakenByOneCommandAndGuardACommit) {
  auto const lock = make({"{42}:orders", "{42}:stock"});
  lock.acquire().release();
  scene_.reset_count();
  auto const hold = lock.try_acquire();
  ASSERT_TRUE(hold);
  EXPECT_EQ(scene_.count().scripts, 1);
  hold->commit([](Transaction& tx) { tx.queue("SET", "{42}:done", 1); });
  EXPECT_EQ(scene_.value("{42}:done"), "1");
}

TEST_F(MultiLockClusterTest, NamesOfSeveralSlotsAreAllHeldOrNone) {
  auto const lock = make(apart_);
  {
    auto const hold = lock.acquire();
    EXPECT_TRUE(hold.held());
    EXPECT_GT(hold.valid_until(), std::chrono::steady_clock::now());
    for (auto const& each : apart_) {
      EXPECT_FALSE(one(each).try_acquire()) << each;
      EXPECT_GT(hold.fence(each), 0U);
    }
  }
  auto const taken = one("c").acquire();
  EXPECT_FALSE(lock.try_acquire());
  EXPECT_FALSE(lock.try_acquire_for(500ms));
  for (auto const& each : {"a", "b"}) EXPECT_TRUE(one(each).try_acquire_for(long_enough)) << each;
}

TEST_F(MultiLockClusterTest, SlotsAreFoundOutOnceAndThenTakenInTheirOrderByACommandEach) {
  auto const lock = make(apart_);
  lock.acquire().release();
  scene_.reset_count();
  lock.acquire().release();
  EXPECT_EQ(scene_.count().scripts, 3 + 3);
  // What is refused is not counted among the commands.
  EXPECT_THAT(scene_.redis("INFO", "errorstats").as<std::string>(), Not(HasSubstr("CROSSSLOT")));
  auto taken = std::optional{one("c").acquire()};
  MultiWaiting later{lock};
  scene_.await_waiters("c", 1);
  EXPECT_TRUE(scene_.exists("b"));
  EXPECT_FALSE(scene_.exists("a"));
  taken.reset();
  EXPECT_TRUE(later.get());
}

TEST_F(MultiLockClusterTest, CommitUnderNamesOfSeveralSlotsIsRefusedSayingWhy) {
  auto const hold = make(apart_).acquire();
  try {
    hold.commit([](Transaction& tx) { tx.queue("SET", "a:done", 1); });
    ADD_FAILURE() << "applied";
  } catch (std::logic_error const& error) {
    EXPECT_THAT(error.what(), HasSubstr("in 3 slots of the cluster"));
    EXPECT_THAT(error.what(), HasSubstr("accepted are names with one hash tag"));
  }
  EXPECT_THROW((void)hold.hold(), std::logic_error);
}

TEST_F(MultiLockClusterTest, LossInOneSlotIsLossOfAllAndTheWorstIsTold) {
  auto hold = make(apart_, {.lease = 300ms}).acquire();
  auto const stop = hold.stop_token();
  EXPECT_FALSE(stop.stop_requested());
  scene_.redis("DEL", "a");  // of the last slot
  EXPECT_TRUE(eventually([&] { return stop.stop_requested(); }));
  EXPECT_FALSE(hold.held());
  scene_.redis("SET", "c", "stranger");
  EXPECT_EQ(hold.release(), Release::taken_over);
  EXPECT_FALSE(scene_.exists("b"));
}

TEST_F(MultiLockClusterTest, HoldMayEndByACallbackOfItsOwnStopToken) {
  auto hold = std::optional{make(apart_, {.lease = 300ms}).acquire()};
  std::atomic<bool> ended = false;
  std::stop_callback const last{hold->stop_token(), [&] {
                                  hold.reset();
                                  ended = true;
                                }};
  scene_.redis("DEL", "b");
  EXPECT_TRUE(eventually([&] { return ended.load(); }));
}

TEST_F(MultiLockClusterTest, WhoWantTheSameNamesInAnyOrderAllGetTheirTurn) {
  support::on_threads(4, [&](int i) {
    auto const lock = make(i % 2 == 0 ? Names{"a", "b", "c", "{a}x"} : Names{"c", "b", "{a}x"});
    for (int n = 0; n < 15; ++n) {
      auto const hold = lock.try_acquire_for(long_enough);
      EXPECT_TRUE(hold);
    }
  });
}

TEST_F(MultiLockClusterTest, NameThatNoHashTagFitsIsRefusedByTheServer) {
  EXPECT_THROW((void)make({"a}b"}).try_acquire(), ServerError);
}

}  // namespace
}  // namespace tandem
