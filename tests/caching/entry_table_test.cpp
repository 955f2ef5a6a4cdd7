#include "caching/entry_table.hpp"

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "caching/reading.hpp"
#include "support/forked.hpp"

namespace tandem::detail {
namespace {

/// A value that knows how many there are.
class Counted final : public CachedValue {
 public:
  explicit Counted(int number) : number_{number} { ++alive; }
  ~Counted() override {
    number_ = -1;
    --alive;
  }
  [[nodiscard]] int number() const noexcept { return number_; }

  static inline std::atomic<int> alive = 0;

 private:
  int number_;
};

CacheEntry entry(std::string field, int number,
                 std::int64_t good_until = std::numeric_limits<std::int64_t>::max()) {
  return {std::move(field), std::make_shared<Counted const>(number), 0, good_until};
}

/// As a reader sees it.
std::optional<int> seen(EntryTable const& table, std::string_view field) {
  Reading const now;
  auto const* const found = table.find(field);
  if (found == nullptr) return std::nullopt;
  return static_cast<Counted const&>(*found->value).number();
}

TEST(EntryTableTest, WhatWasPutIsFoundUntilItIsErased) {
  EntryTable table{4};
  EXPECT_EQ(seen(table, "a"), std::nullopt);
  table.put(entry("a", 1));
  table.put(entry("b", 2));
  EXPECT_EQ(seen(table, "a"), 1);
  EXPECT_EQ(seen(table, "b"), 2);
  table.erase("a");
  table.erase("none");
  EXPECT_EQ(seen(table, "a"), std::nullopt);
  EXPECT_EQ(seen(table, "b"), 2);
  EXPECT_EQ(table.size(), 1U);
}

TEST(EntryTableTest, WhatIsPutAgainTakesThePlaceOfWhatWasThere) {
  EntryTable table{4};
  table.put(entry("a", 1));
  table.put(entry("a", 2));
  EXPECT_EQ(seen(table, "a"), 2);
  EXPECT_EQ(table.size(), 1U);
}

TEST(EntryTableTest, NothingIsFoundInOneThatWasCleared) {
  EntryTable table{4};
  for (auto const* field : {"a", "b", "c"}) table.put(entry(field, 1));
  table.clear();
  for (auto const* field : {"a", "b", "c"}) EXPECT_EQ(seen(table, field), std::nullopt);
  EXPECT_EQ(table.size(), 0U);
  table.put(entry("b", 2));
  EXPECT_EQ(seen(table, "b"), 2);
}

TEST(EntryTableTest, WhatIsGoodNoLongerIsNotFound) {
  EntryTable table{4};
  table.put(entry("over", 1, coarse_clock()));
  table.put(entry("good", 2, coarse_clock() + 3'600'000'000'000));
  EXPECT_EQ(seen(table, "over"), std::nullopt);
  EXPECT_EQ(seen(table, "good"), 2);
}

TEST(EntryTableTest, IsNeverLargerThanItMayBe) {
  for (std::size_t const most : {1U, 2U, 3U, 7U, 100U}) {
    EntryTable table{most};
    for (int i = 0; i < 1000; ++i) {
      table.put(entry(std::to_string(i), i));
      EXPECT_LE(table.size(), most);
      EXPECT_EQ(seen(table, std::to_string(i)), i) << "what is new is there";
    }
  }
}

TEST(EntryTableTest, WhatWasFoundIsSparedOnceAndWhatWasNotGoes) {
  EntryTable table{3};
  for (auto const* field : {"a", "b", "c"}) table.put(entry(field, 1));
  EXPECT_EQ(seen(table, "a"), 1);
  table.put(entry("d", 1));  // the hand spares a and takes b
  EXPECT_EQ(seen(table, "b"), std::nullopt);
  table.put(entry("e", 1));  // goes on behind b, and takes c
  EXPECT_EQ(seen(table, "c"), std::nullopt);
  EXPECT_EQ(seen(table, "a"), 1);
  table.put(entry("f", 1));
  EXPECT_EQ(seen(table, "d"), std::nullopt) << "never found, unlike a";
  EXPECT_EQ(seen(table, "a"), 1);
}

TEST(EntryTableTest, EntriesThatAreReadOftenSurviveAScanOverManyOthers) {
  EntryTable table{100};
  for (int i = 0; i < 50; ++i) table.put(entry("hot" + std::to_string(i), i));
  for (int i = 0; i < 10'000; ++i) {
    (void)seen(table, "hot" + std::to_string(i % 50));
    table.put(entry("cold" + std::to_string(i), i));
  }
  for (int i = 0; i < 50; ++i) EXPECT_EQ(seen(table, "hot" + std::to_string(i)), i);
}

TEST(EntryTableTest, WhatIsTakenAwayLivesAsLongAsSomebodyReadsWhoMayHaveSeenIt) {
  auto const before = Counted::alive.load();
  EntryTable table{4};
  table.put(entry("a", 7));
  {
    Reading const now;
    auto const* const found = table.find("a");
    ASSERT_NE(found, nullptr);
    for (int i = 0; i < 1000; ++i) table.put(entry("a", 8));
    EXPECT_EQ(static_cast<Counted const&>(*found->value).number(), 7);
    EXPECT_GT(Counted::alive.load() - before, 1000) << "others are kept, too: they came later";
  }
  for (int i = 0; i < 1000; ++i) table.put(entry("a", 9));
  EXPECT_LT(Counted::alive.load() - before, 200) << "and goes when nobody does any more";
}

TEST(EntryTableTest, NothingIsLeftWhenItEnds) {
  auto const before = Counted::alive.load();
  {
    EntryTable table{10};
    for (int i = 0; i < 100; ++i) table.put(entry(std::to_string(i), i));
    table.erase("99");
  }
  EXPECT_EQ(Counted::alive.load(), before);
}

TEST(EntryTableTest, ReadersSeeNothingButWhatWasPutWhileOthersPutEraseAndClear) {
  EntryTable table{64};
  std::atomic<bool> over = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&] {
      for (int i = 0; !over; ++i) {
        auto const number = i % 100;
        auto const value = seen(table, std::to_string(number));
        if (value && *value % 100 != number) ++wrong;
      }
    });
  }
  for (int i = 0; i < 200'000; ++i) {
    table.put(entry(std::to_string(i % 100), i));
    if (i % 7 == 0) table.erase(std::to_string(i * 31 % 100));
    if (i % 1000 == 0) table.clear();
  }
  over = true;
  for (auto& each : readers) each.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ReadingTest, OneWithinAnotherIsPartOfIt) {
  auto const before = removal_stamp();
  Reading const outer;
  auto const stamp = removal_stamp();
  { Reading const inner; }
  EXPECT_LE(oldest_reading(), stamp) << "the outer one goes on";
  EXPECT_GT(oldest_reading(), before);
}

TEST(ReadingTest, ThreadThatEndsLeavesItsPlaceToTheNext) {
  for (int i = 0; i < 100; ++i) std::thread{[] { Reading const now; }}.join();
  EXPECT_EQ(oldest_reading(), std::numeric_limits<std::uint64_t>::max());
}

TEST(ReadingTest, ChildDoesNotWaitForThoseWhoReadInItsParent) {
  std::atomic<bool> reads = false;
  std::atomic<bool> over = false;
  std::thread reader{[&] {
    Reading const now;
    reads = true;
    while (!over) std::this_thread::yield();
  }};
  while (!reads) std::this_thread::yield();
  EXPECT_NE(oldest_reading(), std::numeric_limits<std::uint64_t>::max());
  auto const told = support::in_child([] {
    return oldest_reading() == std::numeric_limits<std::uint64_t>::max() ? "nobody" : "somebody";
  });
  over = true;
  reader.join();
  EXPECT_EQ(told, "nobody");
}

}  // namespace
}  // namespace tandem::detail
