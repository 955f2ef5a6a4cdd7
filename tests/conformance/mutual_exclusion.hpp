#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/client.hpp>

#include "support/forked.hpp"
#include "support/limited_resource.hpp"
#include "support/lock_scene.hpp"
#include "support/shared_memory.hpp"

namespace tandem::conformance {

using namespace std::chrono_literals;

/// What every lock must do, whatever its face. A lock passes by
///
///     INSTANTIATE_TYPED_TEST_SUITE_P(Lock, MutualExclusion, LockSubject);
///
/// with a subject that says how one is made, entered and left:
///
///     struct LockSubject {
///       using Inside = std::optional<Hold>;  // true when inside, until its life ends
///       static std::unique_ptr<Lock> make(Client client, std::string_view name);
///       static Inside try_enter(Lock& lock);
///       static Inside try_enter_for(Lock& lock, std::chrono::milliseconds longest);
///       static Inside enter(Lock& lock);
///       static constexpr bool is_recursive = true;  // only where a thread may enter again
///     };
template <class Subject>
class MutualExclusion : public ::testing::Test {
 protected:
  [[nodiscard]] auto make(std::string_view name = "orders") {
    return Subject::make(scene_.client(), name);
  }

  support::LockScene scene_{};
};

TYPED_TEST_SUITE_P(MutualExclusion);

TYPED_TEST_P(MutualExclusion, SecondIsRefusedWhileTheFirstIsInside) {
  auto const one = this->make();
  auto const other = this->make();
  auto const inside = TypeParam::try_enter(*one);
  EXPECT_TRUE(inside);
  EXPECT_FALSE(TypeParam::try_enter(*other));
  constexpr bool is_recursive = requires { TypeParam::is_recursive; };
  EXPECT_EQ(bool{TypeParam::try_enter(*one)}, is_recursive);
}

TYPED_TEST_P(MutualExclusion, SecondEntersAfterTheFirstLeft) {
  auto const one = this->make();
  auto const other = this->make();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(TypeParam::try_enter(*one));
    EXPECT_TRUE(TypeParam::try_enter(*other));
  }
}

TYPED_TEST_P(MutualExclusion, WaiterEntersWhenTheFirstLeaves) {
  auto const one = this->make();
  auto const other = this->make();
  auto inside = std::make_unique<typename TypeParam::Inside>(TypeParam::enter(*one));
  auto later = std::async(std::launch::async, [&] {
    return bool{TypeParam::try_enter_for(*other, support::long_enough)};
  });
  this->scene_.await_waiters("orders", 1);
  inside.reset();
  EXPECT_TRUE(later.get());
}

TYPED_TEST_P(MutualExclusion, WaiterGivesUpAtItsDeadline) {
  auto const one = this->make();
  auto const other = this->make();
  auto const inside = TypeParam::enter(*one);
  auto const took =
      support::time_of([&] { EXPECT_FALSE(TypeParam::try_enter_for(*other, 100ms)); });
  EXPECT_GE(took, 100ms);
  EXPECT_LE(took, 100ms + support::stall);
}

TYPED_TEST_P(MutualExclusion, ExceptionThatEndsTheScopeLeaves) {
  auto const one = this->make();
  auto const fail_inside = [&] {
    auto const inside = TypeParam::enter(*one);
    throw std::runtime_error{"in the section"};
  };
  EXPECT_THROW(fail_inside(), std::runtime_error);
  EXPECT_TRUE(TypeParam::try_enter(*one));
}

TYPED_TEST_P(MutualExclusion, NamesAreIndependent) {
  auto const one = this->make("orders");
  auto const other = this->make("bills");
  auto const inside = TypeParam::try_enter(*one);
  EXPECT_TRUE(TypeParam::try_enter(*other));
}

TYPED_TEST_P(MutualExclusion, ObjectSharedByThreadsLetsOneInAtATime) {
  constexpr int threads = 4;
  constexpr int times = 25;
  support::LimitedResource resource;
  auto const shared = this->make();
  {
    std::vector<std::jthread> users;
    for (int i = 0; i < threads; ++i) {
      users.emplace_back([&] {
        for (int n = 0; n < times; ++n) {
          auto const inside = TypeParam::enter(*shared);
          resource.use();
        }
      });
    }
  }
  EXPECT_EQ(resource.collisions(), 0);
  EXPECT_EQ(resource.uses(), threads * times);
}

TYPED_TEST_P(MutualExclusion, ClientsAreLetInOneAtATime) {
  constexpr int threads = 4;
  constexpr int times = 25;
  support::LimitedResource resource;
  {
    std::vector<std::jthread> users;
    for (int i = 0; i < threads; ++i) {
      users.emplace_back([&, own = std::shared_ptr{this->make()}] {
        for (int n = 0; n < times; ++n) {
          auto const inside = TypeParam::enter(*own);
          resource.use();
        }
      });
    }
  }
  EXPECT_EQ(resource.collisions(), 0);
  EXPECT_EQ(resource.uses(), threads * times);
}

TYPED_TEST_P(MutualExclusion, ProcessesAreLetInOneAtATime) {
  constexpr int processes = 4;
  constexpr int times = 25;
  support::Shared<support::LimitedResource> const resource;
  {
    std::vector<std::unique_ptr<support::Forked>> users;
    for (int i = 0; i < processes; ++i) {
      users.push_back(std::make_unique<support::Forked>([&] {
        auto const own = this->make();
        for (int n = 0; n < times; ++n) {
          auto const inside = TypeParam::enter(*own);
          resource->use();
        }
        return "done";
      }));
    }
    for (auto const& user : users) EXPECT_EQ(user->told(), "done");
  }
  EXPECT_EQ(resource->collisions(), 0);
  EXPECT_EQ(resource->uses(), processes * times);
}

TYPED_TEST_P(MutualExclusion, ForkInsideLeavesTheParentInsideAndTheChildOutside) {
  auto const one = this->make();
  auto inside = std::make_unique<typename TypeParam::Inside>(TypeParam::enter(*one));
  EXPECT_EQ(support::in_child([&] {
              auto const other = this->make();
              std::string const before = TypeParam::try_enter(*other) ? "let in" : "refused";
              inside.reset();  // what it inherited is the parent's: leaving lets nobody in
              return before + (TypeParam::try_enter(*other) ? ", let in" : ", refused");
            }),
            "refused, refused");
  EXPECT_FALSE(TypeParam::try_enter(*this->make()));
  inside.reset();
  EXPECT_TRUE(TypeParam::try_enter(*this->make()));
}

TYPED_TEST_P(MutualExclusion, ObjectMadeBeforeAForkExcludesBetweenParentAndChild) {
  auto const both = this->make();
  { auto const warm = TypeParam::enter(*both); }
  support::Forked child{[&] {
    auto const inside = TypeParam::enter(*both);
    this->scene_.redis("SET", "inside", 1);
    return support::eventually([&] { return this->scene_.exists("leave"); }) ? "left"
                                                                             : "never told";
  }};
  ASSERT_TRUE(support::eventually([&] { return this->scene_.exists("inside"); }));
  EXPECT_FALSE(TypeParam::try_enter(*both));
  this->scene_.redis("SET", "leave", 1);
  EXPECT_TRUE(TypeParam::try_enter_for(*both, support::long_enough));
  EXPECT_EQ(child.told(), "left");
}

TYPED_TEST_P(MutualExclusion, EntersAgainAfterTheServerRestarted) {
  auto const one = this->make();
  { auto const inside = TypeParam::enter(*one); }
  this->scene_.server.restart();
  EXPECT_TRUE(TypeParam::enter(*one));
}

REGISTER_TYPED_TEST_SUITE_P(MutualExclusion, SecondIsRefusedWhileTheFirstIsInside,
                            SecondEntersAfterTheFirstLeft, WaiterEntersWhenTheFirstLeaves,
                            WaiterGivesUpAtItsDeadline, ExceptionThatEndsTheScopeLeaves,
                            NamesAreIndependent, ObjectSharedByThreadsLetsOneInAtATime,
                            ClientsAreLetInOneAtATime, ProcessesAreLetInOneAtATime,
                            ForkInsideLeavesTheParentInsideAndTheChildOutside,
                            ObjectMadeBeforeAForkExcludesBetweenParentAndChild,
                            EntersAgainAfterTheServerRestarted);

}  // namespace tandem::conformance
