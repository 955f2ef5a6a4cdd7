#include "tandem/shared_mutex.hpp"

#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "conformance/mutual_exclusion.hpp"
#include "support/forked.hpp"
#include "support/lock_scene.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::long_enough;

static_assert(!std::is_copy_constructible_v<SharedMutex>);

struct SharedMutexSubject {
  using Inside = std::unique_lock<SharedMutex>;
  static std::unique_ptr<SharedMutex> make(Client const& client, std::string_view name) {
    return std::make_unique<SharedMutex>(client, name);
  }
  static Inside try_enter(SharedMutex& mutex) { return Inside{mutex, std::try_to_lock}; }
  static Inside try_enter_for(SharedMutex& mutex, std::chrono::milliseconds longest) {
    return Inside{mutex, longest};
  }
  static Inside enter(SharedMutex& mutex) { return Inside{mutex}; }
};

}  // namespace

namespace conformance {
INSTANTIATE_TYPED_TEST_SUITE_P(SharedMutex, MutualExclusion, SharedMutexSubject);
}

namespace {

class SharedMutexTest : public ::testing::Test {
 protected:
  support::LockScene scene_{};
  SharedMutex ours_{scene_.client(), "catalog"};
  SharedMutex theirs_{scene_.client(), "catalog"};
};

TEST_F(SharedMutexTest, SharedLocksOfTheStandardLibraryHoldTogetherAndExcludeAWriter) {
  std::shared_lock const one{ours_};
  std::shared_lock const other{theirs_, std::try_to_lock};
  EXPECT_TRUE(other.owns_lock());
  std::unique_lock const writer{theirs_, std::defer_lock};
  auto later = std::async(std::launch::async, [&] { return theirs_.try_lock(); });
  EXPECT_FALSE(later.get());
}

TEST_F(SharedMutexTest, WriterExcludesReadersUntilItUnlocks) {
  {
    std::scoped_lock const writer{ours_};
    EXPECT_FALSE((std::shared_lock{theirs_, std::try_to_lock}));
    EXPECT_FALSE((std::shared_lock{theirs_, 20ms}));
    EXPECT_FALSE((std::shared_lock{theirs_, std::chrono::system_clock::now() + 20ms}));
  }
  EXPECT_TRUE((std::shared_lock{theirs_, long_enough}));
  EXPECT_TRUE((std::unique_lock{theirs_, std::chrono::system_clock::now() + 1h}));
}

TEST_F(SharedMutexTest, ThreadsThatShareTheObjectHoldEachForItself) {
  std::shared_lock mine{ours_};
  std::async(std::launch::async, [&] { std::shared_lock const theirs{ours_}; }).get();
  EXPECT_FALSE(std::async(std::launch::async, [&] { return theirs_.try_lock(); }).get());
  mine.unlock();
  EXPECT_TRUE(theirs_.try_lock());
  theirs_.unlock();
}

TEST_F(SharedMutexTest, LostHoldIsReportedAtTheUnlock) {
  ours_.lock_shared();
  scene_.redis("DEL", "catalog");
  ours_.unlock_shared();
  EXPECT_TRUE(scene_.reports.have("was lost before its release"));
}

TEST_F(SharedMutexTest, ChildOfAForkFindsItAsIfFreshlyMade) {
  std::unique_lock mine{ours_};
  support::Forked child{[&] {
    bool const entered = ours_.try_lock_shared();
    return std::string{entered ? "entered" : "refused"};
  }};
  EXPECT_EQ(child.told(), "refused") << "its parent is inside";
  EXPECT_FALSE(theirs_.try_lock()) << "and still was after it";
  mine.unlock();
  EXPECT_TRUE(theirs_.try_lock());
  theirs_.unlock();
}

}  // namespace
}  // namespace tandem
