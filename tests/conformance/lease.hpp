#pragma once

#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/client.hpp>
#include <tandem/hold.hpp>

#include "support/forked.hpp"
#include "support/lock_scene.hpp"

namespace tandem::conformance {

using namespace std::chrono_literals;

/// What everything that is held for a time must do. A type passes with a subject that says how it
/// is had:
///
///     struct LockSubject {
///       // Waits. A Hold, or what has its held, stop_token, fence and release.
///       static Hold acquire(Client client, std::string_view name, LockOptions options);
///       // As the server sees it.
///       static bool taken(support::LockScene& scene, std::string_view name);
///     };
template <class Subject>
class Leased : public ::testing::Test {
 protected:
  [[nodiscard]] auto acquire(LockOptions const& options) {
    return Subject::acquire(scene_.client(), "orders", options);
  }
  [[nodiscard]] bool taken() { return Subject::taken(scene_, "orders"); }

  support::LockScene scene_{};
};

TYPED_TEST_SUITE_P(Leased);

TYPED_TEST_P(Leased, EndsByItselfWhenItIsNotRenewedAndNeverBeforeItsOwnerKnows) {
  auto const hold = this->acquire({.lease = 100ms, .renew = false});
  ASSERT_TRUE(support::eventually([&] { return !this->taken(); }));
  EXPECT_FALSE(hold.held());
}

TYPED_TEST_P(Leased, LastsWhileItIsRenewed) {
  auto const hold = this->acquire({.lease = 300ms});
  auto const begin = std::chrono::steady_clock::now();
  // Three leases. Where this machine stalls for the whole of one, the hold must say so itself.
  while (std::chrono::steady_clock::now() < begin + 900ms && hold.held()) {
    bool const taken = this->taken();
    EXPECT_TRUE(taken || !hold.held());
  }
}

TYPED_TEST_P(Leased, DeathOfItsOwnerEndsItWithTheLease) {
  support::Forked owner{[&] {
    auto const hold = this->acquire({.lease = 300ms});
    ::kill(::getpid(), SIGKILL);
    return "survived";
  }};
  EXPECT_EQ(owner.told(), "signal 9");
  auto const next = this->acquire({});
  EXPECT_TRUE(next.held());
}

TYPED_TEST_P(Leased, LossIsSeenByItsOwner) {
  auto hold = this->acquire({.lease = 300ms});
  auto const stop = hold.stop_token();
  this->scene_.redis("FLUSHALL");
  EXPECT_TRUE(support::eventually([&] { return stop.stop_requested(); }));
  EXPECT_FALSE(hold.held());
  EXPECT_EQ(hold.release(), Release::expired);
}

TYPED_TEST_P(Leased, LateReleaseDoesNotFreeTheSuccessors) {
  auto late = this->acquire({.lease = 50ms, .renew = false});
  ASSERT_TRUE(support::eventually([&] { return !this->taken(); }));
  auto const next = this->acquire({});
  EXPECT_EQ(late.release(), Release::taken_over);
  EXPECT_TRUE(this->taken());
  EXPECT_GT(next.fence(), late.fence());
}

TYPED_TEST_P(Leased, LateRenewalDoesNotLengthenTheSuccessors) {
  auto const late = this->acquire({.lease = 300ms});
  this->scene_.redis("FLUSHALL");
  auto const next = this->acquire({.lease = 60s, .renew = false});
  EXPECT_TRUE(support::eventually([&] { return !late.held(); }));
  EXPECT_TRUE(next.held() && this->taken());
}

REGISTER_TYPED_TEST_SUITE_P(Leased, EndsByItselfWhenItIsNotRenewedAndNeverBeforeItsOwnerKnows,
                            LastsWhileItIsRenewed, DeathOfItsOwnerEndsItWithTheLease,
                            LossIsSeenByItsOwner, LateReleaseDoesNotFreeTheSuccessors,
                            LateRenewalDoesNotLengthenTheSuccessors);

}  // namespace tandem::conformance
