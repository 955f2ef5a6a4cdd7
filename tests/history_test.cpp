// The checker of histories notices what it is there for, and nothing else.
#include "support/history.hpp"

#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using support::HoldOrder;
using support::PastHold;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

PastHold hold(std::uint64_t fence, std::int64_t entered, std::int64_t ended, int lock = 0) {
  return {.lock = lock, .fence = fence, .entered = entered, .ended = ended, .how = "left"};
}

TEST(HoldOrderTest, HoldsThatFollowOneAnotherAreInOrderHoweverTheyAreWrittenDown) {
  HoldOrder order;
  order.add(hold(3, 30, 40));
  order.add(hold(1, 10, 20));
  order.add(hold(2, 20, 30));
  EXPECT_THAT(order.look(), IsEmpty());
  EXPECT_EQ(order.looked_at(), 3U);
}

TEST(HoldOrderTest, HoldThatBeginsBeforeAnotherHasEndedIsAnOverlap) {
  HoldOrder order;
  order.add(hold(1, 10, 21));
  order.add(hold(2, 20, 30));
  EXPECT_THAT(order.look(), HasSubstr("overlap: [lock 0 pid 0 fence 1 from 10 to 21"));
}

TEST(HoldOrderTest, LongHoldOverlapsAlsoWithTheNextButOneAndInALaterLook) {
  HoldOrder order;
  order.add(hold(1, 10, 100));
  order.add(hold(2, 20, 30));
  EXPECT_THAT(order.look(), HasSubstr("fence 1 from 10 to 100 (left)] and [lock 0 pid 0 fence 2"));
  order.add(hold(3, 40, 50));
  EXPECT_THAT(order.look(), HasSubstr("fence 1 from 10 to 100 (left)] and [lock 0 pid 0 fence 3"));
}

TEST(HoldOrderTest, FenceThatIsNoHigherThanAnyBeforeIsAFault) {
  HoldOrder order;
  order.add(hold(5, 10, 20));
  order.add(hold(5, 20, 30));
  order.add(hold(4, 30, 40));
  auto const faults = order.look();
  EXPECT_THAT(faults, HasSubstr("fence does not rise: [lock 0 pid 0 fence 5 from 10"));
  EXPECT_THAT(faults, HasSubstr("then [lock 0 pid 0 fence 4"));
}

PastHold shared(std::uint64_t fence, std::int64_t entered, std::int64_t ended) {
  auto out = hold(fence, entered, ended);
  out.shared = true;
  return out;
}

TEST(HoldOrderTest, SharedHoldsMayOverlapInAnyOrderOfTheirFences) {
  HoldOrder order;
  order.add(hold(1, 10, 20));
  order.add(shared(4, 20, 50));
  order.add(shared(3, 30, 40));
  order.add(hold(5, 50, 60));
  order.add(shared(6, 60, 70));
  EXPECT_THAT(order.look(), IsEmpty());
  EXPECT_EQ(order.looked_at(), 5U);
}

TEST(HoldOrderTest, SharedHoldAndOneThatIsNotMayNotOverlap) {
  HoldOrder order;
  order.add(shared(1, 10, 100));
  order.add(shared(2, 20, 30));
  order.add(hold(3, 40, 50));
  EXPECT_THAT(order.look(), HasSubstr("overlap: [lock 0 shared pid 0 fence 1 from 10 to 100"));
  order.add(shared(4, 45, 60));
  EXPECT_THAT(order.look(), HasSubstr("fence 3 from 40 to 50 (left)] and [lock 0 shared"));
}

TEST(HoldOrderTest, FenceOfOneThatIsNotSharedIsAboveAllBeforeAndBelowAllAfterIt) {
  HoldOrder order;
  order.add(shared(5, 10, 20));
  order.add(hold(4, 20, 30));
  EXPECT_THAT(order.look(), HasSubstr("fence does not rise: [lock 0 shared pid 0 fence 5"));
  order.add(hold(7, 30, 40));
  order.add(shared(6, 40, 50));
  EXPECT_THAT(order.look(), HasSubstr("then [lock 0 shared pid 0 fence 6"));
}

TEST(HoldOrderTest, HoldWithoutAFenceMayNotOverlapEitherAndSaysNothingOfFences) {
  HoldOrder order;
  order.add(hold(5, 10, 20));
  order.add(hold(0, 20, 30));
  EXPECT_THAT(order.look(), IsEmpty());
  order.add(hold(0, 29, 40));
  order.add(hold(5, 40, 50));
  auto const faults = order.look();
  EXPECT_THAT(faults, HasSubstr("overlap: [lock 0 pid 0 fence 0 from 20 to 30"));
  EXPECT_THAT(faults, HasSubstr("fence does not rise: [lock 0 pid 0 fence 5 from 10"));
}

TEST(HoldOrderTest, LocksHaveNothingToDoWithOneAnother) {
  HoldOrder order;
  order.add(hold(5, 10, 20, 0));
  order.add(hold(1, 15, 25, 1));
  EXPECT_THAT(order.look(), IsEmpty());
}

TEST(HoldOrderTest, WhatBeganAfterTheHorizonIsLookedAtLater) {
  HoldOrder order;
  order.add(hold(2, 20, 30));
  EXPECT_THAT(order.look(20), IsEmpty());
  order.add(hold(1, 10, 25));
  EXPECT_THAT(order.look(31), HasSubstr("overlap"));
}

TEST(HoldOrderTest, HoldsOfAServerThatLostItsDataEndWithIt) {
  HoldOrder order;
  order.data_lost(15, 1000);
  order.add(hold(900, 10, 50));   // went on to believe in itself
  order.add(hold(901, 16, 50));   // was granted before, and began after
  order.add(hold(1001, 20, 30));  // the new server knows of neither
  EXPECT_THAT(order.look(), IsEmpty());
  order.add(hold(1002, 25, 40));
  EXPECT_THAT(order.look(), HasSubstr("overlap")) << "that was no old one";
}

}  // namespace
}  // namespace tandem
