// Where the threads of one process meet, without a server.
#include "locking/site.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tandem::detail {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using As = Site::Entry::As;
using Parting = Site::Parting;

class SiteTest : public ::testing::Test {
 protected:
  ~SiteTest() override {
    for (auto const& each : leases_)
      each->site.reset();  // which has the lease, too, until it is left
  }

  static Deadline now() { return steady_clock::now(); }

  /// What this thread got at the server.
  std::shared_ptr<Lease> occupy() {
    EXPECT_EQ(site_->enter(now(), nullptr).as, As::first);
    auto lease = std::make_shared<Lease>(keys_, "token", 1, 1h, true);
    lease->extend_from(now());
    site_->occupy(lease, now(), false);
    leases_.push_back(lease);
    return lease;
  }

  /// Another thread that stands in the line, and has not looked yet what came of it.
  struct Other {
    std::unique_ptr<Waiter> waiter;
    std::uint64_t thread = 0;
  };
  Other stand_in_line() {
    Other other;
    std::thread{[&] {
      other.thread = this_thread_number();
      other.waiter = std::make_unique<Waiter>(keys_);
      EXPECT_EQ(site_->enter(now(), other.waiter.get()).as, As::occupied);
    }}.join();
    return other;
  }

  std::shared_ptr<LockKeys const> const keys_ = std::make_shared<LockKeys>("orders", lock_kind);
  std::shared_ptr<Site> const site_ =
      std::make_shared<Site>("orders", Site::Bounds{.passes = 100, .time = 1h, .linger = 1h});
  std::vector<std::shared_ptr<Lease>> leases_{};
  std::uint64_t const me_ = this_thread_number();
};

TEST_F(SiteTest, LeaseThatIsPassedOnIsTheNextThreadsBeforeThatOneWakes) {
  auto const lease = occupy();
  EXPECT_EQ(site_->held_by(me_), lease);
  auto const next = stand_in_line();
  ASSERT_EQ(site_->leave(*lease, now()), Parting::passed_on);
  EXPECT_EQ(site_->held_by(next.thread), lease);
  EXPECT_FALSE(site_->held_by(me_));
  EXPECT_FALSE(site_->enter_again(now())) << "it is another's";
}

TEST_F(SiteTest, IdleLeaseIsNobodysUntilSomebodyTakesIt) {
  auto const lease = occupy();
  ASSERT_EQ(site_->leave(*lease, now()), Parting::kept);
  EXPECT_FALSE(site_->held_by(me_));
  EXPECT_FALSE(site_->enter_again(now()));
  std::uint64_t taker = 0;
  std::thread{[&] {
    taker = this_thread_number();
    EXPECT_TRUE(site_->take_idle(now()));
  }}.join();
  EXPECT_EQ(site_->held_by(taker), lease);
  EXPECT_FALSE(site_->enter_again(now()));
}

TEST_F(SiteTest, ItsThreadEntersAgainAndLeavesAsOften) {
  auto const lease = occupy();
  auto const fence = lease->fence_of_hold();
  EXPECT_EQ(site_->enter_again(now()), lease);
  EXPECT_EQ(site_->enter_again(now()), lease);
  EXPECT_EQ(lease->fence_of_hold(), fence);
  auto const next = stand_in_line();
  EXPECT_EQ(site_->leave(*lease, now()), Parting::still_inside);
  EXPECT_EQ(site_->leave(*lease, now()), Parting::still_inside);
  EXPECT_EQ(site_->leave(*lease, now()), Parting::passed_on);
}

TEST_F(SiteTest, LeaseThatIsLostIsNotEnteredAgainAndLeavesTheNextOneAlone) {
  auto const lost = occupy();
  EXPECT_TRUE(site_->enter_again(now()));
  lost->lose(now());
  EXPECT_FALSE(site_->enter_again(now()));
  auto const lease = occupy();
  EXPECT_EQ(site_->enter_again(now()), lease);
  EXPECT_EQ(site_->leave(*lost, now()), Parting::lost);
  EXPECT_EQ(site_->leave(*lost, now()), Parting::not_here);
  EXPECT_EQ(site_->leave(*lease, now()), Parting::still_inside);
}

TEST_F(SiteTest, NobodyEntersOneThatIsClosed) {
  EXPECT_TRUE(site_->close_if_unused());
  EXPECT_EQ(site_->enter(now(), nullptr).as, As::gone);
  EXPECT_TRUE(site_->close_if_unused()) << "as often as one likes";
}

TEST_F(SiteTest, OneWhereSomebodyIsIsNotClosed) {
  ASSERT_EQ(site_->enter(now(), nullptr).as, As::first);
  EXPECT_FALSE(site_->close_if_unused()) << "on the way to the server";
  (void)site_->go_on({});
  auto const lease = occupy();
  EXPECT_FALSE(site_->close_if_unused()) << "inside";
  ASSERT_EQ(site_->leave(*lease, now()), Parting::kept);
  EXPECT_FALSE(site_->close_if_unused()) << "idle";
}

}  // namespace
}  // namespace tandem::detail
