// What may be pushed: ids that were there before, and queues that are full.
#include <chrono>
#include <future>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/queue.hpp>

#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/queue_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::Jobs;
using support::text_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class QueueRoomTest : public support::QueueScene {};

INSTANTIATE_TEST_SUITE_P(Protocol, QueueRoomTest, ::testing::Values(3, 2), support::protocol_name);

TEST_P(QueueRoomTest, IdIsQueuedOnceWithinItsWindow) {
  Jobs own{redis_, "jobs", {.id_window = 2s}};
  EXPECT_TRUE(own.push("a", {.id = "order-42"}));
  EXPECT_FALSE(own.push("b", {.id = "order-42"}));
  EXPECT_TRUE(own.push("c", {.id = "order-43"}));
  EXPECT_THAT(drained(own), ElementsAre("a", "c"));
  EXPECT_TRUE(eventually([&] { return own.push("d", {.id = "order-42"}); }));
  EXPECT_THAT(drained(own), ElementsAre("d"));
}

TEST_P(QueueRoomTest, WhoWaitsIsGivenAJobWithAnIdAtOnce) {
  auto popped = std::async(std::launch::async, [&] { return jobs_.pop(before_it_looks_in); });
  ASSERT_TRUE(eventually([&] { return jobs_.state().waiting == 1; }));
  jobs_.push("a", {.id = "1"});
  auto const job = popped.get();
  ASSERT_TRUE(job);
  EXPECT_EQ(job->id(), "1");
}

TEST_P(QueueRoomTest, FullQueueTakesNoMoreThanItMay) {
  Jobs own{redis_, "jobs", {.most = 3, .wait_for_room = 0ms}};
  own.push("a");
  own.push("b", {.delay = 1h});
  EXPECT_THROW(own.push_many(std::vector<std::string>{"c", "d"}), QueueFull);
  own.push("c", {.priority = Priority::low});
  EXPECT_THAT(text_of<QueueFull>([&] { own.push("d", {.id = "d"}); }),
              AllOf(HasSubstr("queue \"jobs\""), HasSubstr("3")));
  own.try_pop()->ack();
  EXPECT_TRUE(own.push("d", {.id = "d"}));  // it was not queued before
  EXPECT_EQ(own.depth(), 3U);
}

TEST_P(QueueRoomTest, PushIntoAFullQueueWaitsForRoom) {
  Jobs own{redis_, "jobs", {.most = 2, .wait_for_room = long_enough}};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  own.push_many(std::vector<std::string>{"a", "b"});
  auto pushed = std::async(std::launch::async, [&] { return own.push("c"); });
  ASSERT_TRUE(eventually([&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>() == 1; }));
  own.try_pop()->ack();
  ASSERT_EQ(pushed.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(pushed.get());
  auto again = std::async(std::launch::async, [&] {
    own.push_many(std::vector<std::string>{"d", "e"});
  });
  ASSERT_TRUE(eventually([&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>() == 1; }));
  own.try_pop()->reject("dead letters take no room");
  own.try_pop()->ack();
  ASSERT_EQ(again.wait_for(before_it_looks_in), std::future_status::ready);
  again.get();
  EXPECT_THAT(drained(own), ElementsAre("d", "e"));
  EXPECT_EQ(redis_.command("ZCARD", "{jobs}:blocked").as<int>(), 0);
}

TEST_P(QueueRoomTest, RoomThatIsNotTakenByWhoIsToldOfItIsTheNextOnes) {
  Jobs own{redis_, "jobs", {.most = 2, .wait_for_room = long_enough}};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  own.push_many(std::vector<std::string>{"a", "b"});
  auto const blocked = [&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>(); };
  auto first = std::async(std::launch::async, [&] { return own.push("c", {.id = "c"}); });
  ASSERT_TRUE(eventually([&] { return blocked() == 1; }));
  auto next = std::async(std::launch::async, [&] { return own.push("d"); });
  ASSERT_TRUE(eventually([&] { return blocked() == 2; }));
  jobs_.push("c", {.id = "c"});  // so that the first does not need it
  for (int i = 0; i < 2; ++i) own.try_pop()->ack();
  EXPECT_FALSE(first.get());
  ASSERT_EQ(next.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(next.get());
}

TEST_P(QueueRoomTest, AsManyAreToldOfRoomAsThereIsRoomFor) {
  QueueOptions const four{.most = 4, .wait_for_room = long_enough};
  Jobs own{redis_, "jobs", four};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  Far far{*this, 6s, four};
  own.push_many(std::vector<std::string>{"a", "b", "c", "d"});
  auto const blocked = [&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>(); };
  redis_.command("ZADD", "{jobs}:blocked", 0, "dead/1/3/0/-");  // is not counted
  std::vector<std::future<bool>> pushes;
  for (auto* const each : {&*far.jobs, &own, &own}) {
    auto const before = blocked();
    pushes.push_back(std::async(std::launch::async, [each] { return each->push("e"); }));
    ASSERT_TRUE(eventually([&] { return blocked() == before + 1; }));
  }
  auto jobs = own.pop_many(2, 0s);
  EXPECT_EQ(own.ack(jobs), 2U);
  ASSERT_EQ(pushes[1].wait_for(before_it_looks_in), std::future_status::ready);
  own.try_pop()->ack();  // of which who is told late is not told once more
  ASSERT_EQ(pushes[2].wait_for(before_it_looks_in), std::future_status::ready);
  own.try_pop()->ack();
  for (auto& each : pushes) EXPECT_TRUE(each.get());
}

TEST_P(QueueRoomTest, WhoWaitsForMoreRoomDoesNotKeepOthersFromLess) {
  Jobs own{redis_, "jobs", {.most = 2, .wait_for_room = long_enough}};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  own.push_many(std::vector<std::string>{"a", "b"});
  auto const blocked = [&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>(); };
  auto two = std::async(std::launch::async, [&] {
    own.push_many(std::vector<std::string>{"c", "d"});
  });
  ASSERT_TRUE(eventually([&] { return blocked() == 1; }));
  auto one = std::async(std::launch::async, [&] { return own.push("e"); });
  ASSERT_TRUE(eventually([&] { return blocked() == 2; }));
  own.try_pop()->ack();
  ASSERT_EQ(one.wait_for(before_it_looks_in), std::future_status::ready);
  EXPECT_TRUE(one.get());
  for (int i = 0; i < 2; ++i) own.try_pop()->ack();
  two.get();
}

TEST_P(QueueRoomTest, WhoWaitsForRoomIsLeftToOthersByWhoMayNotPublish) {
  redis_.command("ACL", "SETUSER", "mute", "on", "nopass", "~*", "+@all", "resetchannels");
  auto muted = options();
  muted.user = "mute";
  muted.password = "x";
  Jobs there{Client{muted}, "jobs"};
  Jobs own{redis_, "jobs", {.most = 1}};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  own.push("a");
  auto pushed = std::async(std::launch::async, [&] { return own.push("b"); });
  auto const blocked = [&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>(); };
  ASSERT_TRUE(eventually([&] { return blocked() == 1; }));
  auto job = there.try_pop();
  EXPECT_TRUE(job->ack());
  EXPECT_EQ(blocked(), 1);
  EXPECT_TRUE(pushed.get());  // when it looks in
}

TEST_P(QueueRoomTest, JobThatIsGivenUpMakesRoomToo) {
  Jobs own{redis_,
           "jobs",
           {.visibility = 1ms, .max_deliveries = 1, .most = 1, .wait_for_room = long_enough}};
  EXPECT_TRUE(own.drain(0s));  // it listens in a moment
  own.push("a");
  (void)own.try_pop();
  auto pushed = std::async(std::launch::async, [&] { return own.push("b", {.id = "b"}); });
  ASSERT_TRUE(eventually([&] { return redis_.command("ZCARD", "{jobs}:blocked").as<int>() == 1; }));
  auto const job = own.pop(before_it_looks_in);  // and "a" becomes a dead letter
  ASSERT_TRUE(job);
  EXPECT_EQ(job->value(), "b");
  EXPECT_TRUE(pushed.get());
}

}  // namespace
}  // namespace tandem
