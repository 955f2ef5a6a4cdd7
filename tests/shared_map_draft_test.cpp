// Several entries of a map that are read and changed in one step.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/shared_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/observed.hpp"
#include "support/patience.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::code_of;
using support::commands_of;
using support::FaultProxy;
using support::text_of;

using Stock = SharedMap<std::string, std::int64_t>;
using Answers = std::vector<std::optional<std::int64_t>>;

Options with_timeout(std::string const& url, std::chrono::milliseconds timeout) {
  auto options = Options::from_url(url);
  options.command_timeout = timeout;
  return options;
}

class SharedMapDraftTest : public ::testing::Test {
 protected:
  testing::RedisServer server_{};
  Client redis_{with_timeout(server_.url(), 30s)};
  Stock stock_{redis_, "stock"};
  Client other_{with_timeout(server_.url(), 30s)};
  Stock theirs_{other_, "stock"};
};

TEST_F(SharedMapDraftTest, AllThatIsDraftedIsApplied) {
  stock_.set_many({{"apple", 3}, {"pear", 1}});
  auto const sold = stock_.atomically([](auto& entries) {
    entries.set("apple", *entries.get("apple") - 1);
    entries.erase("pear");
    entries.set("sold", entries.get("sold").value_or(0) + 1);
    return entries.contains("apple") ? "an apple" : "nothing";
  });
  EXPECT_STREQ(sold, "an apple");
  EXPECT_EQ(stock_.get_many({"apple", "pear", "sold"}), (Answers{2, std::nullopt, 1}));
}

TEST_F(SharedMapDraftTest, ReadsSeeWhatWasDrafted) {
  stock_.set("apple", 3);
  stock_.atomically([](auto& entries) {
    entries.set("apple", 5);
    EXPECT_EQ(entries.get("apple"), 5);
    entries.erase("apple");
    EXPECT_FALSE(entries.contains("apple"));
    entries.set("pear", 1);
    EXPECT_EQ(entries.get_many({"apple", "pear", "none"}),
              (Answers{std::nullopt, 1, std::nullopt}));
  });
  EXPECT_FALSE(stock_.contains("apple"));
}

TEST_F(SharedMapDraftTest, NothingIsAppliedWhenTheFunctionThrows) {
  stock_.set("apple", 3);
  EXPECT_THROW(stock_.atomically([](auto& entries) {
    entries.set("apple", 5);
    throw std::domain_error{"no"};
  }),
               std::domain_error);
  EXPECT_EQ(stock_.get("apple"), 3);
}

TEST_F(SharedMapDraftTest, ChangeOfWhatWasReadBeginsAgainAndOfTheRestDoesNot) {
  stock_.set_many({{"apple", 1}, {"pear", 1}});
  int tries = 0;
  stock_.atomically([&](auto& entries) {
    auto const apples = *entries.get("apple");
    theirs_.set("unread", tries);
    if (++tries <= 2) theirs_.add("apple", 10);
    entries.set("pear", apples);
  });
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(stock_.get("pear"), 21);
}

TEST_F(SharedMapDraftTest, EntryThatCameOrWentMeanwhileBeginsAgain) {
  int tries = 0;
  stock_.atomically([&](auto& entries) {
    bool const there = entries.contains("apple");
    if (++tries == 1) theirs_.set("apple", 1);
    if (tries == 2) theirs_.erase("apple");
    entries.set("seen", there ? 1 : 0);
  });
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(stock_.get("seen"), 0);
}

TEST_F(SharedMapDraftTest, AllReadsOfATryAreOfOneMoment) {
  stock_.set_many({{"a", 0}, {"b", 0}});
  std::vector<std::pair<std::int64_t, std::int64_t>> seen;
  int tries = 0;
  stock_.atomically([&](auto& entries) {
    auto const a = *entries.get("a");
    if (++tries == 1) theirs_.set_many({{"a", 1}, {"b", 1}});
    auto const b = *entries.get("b");  // ends the first try
    seen.emplace_back(a, b);
  });
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(seen, (std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}}));
}

TEST_F(SharedMapDraftTest, TryWhoseFunctionCatchesItsEndIsNotApplied) {
  stock_.set_many({{"a", 0}, {"b", 0}});
  int tries = 0;
  stock_.atomically([&](auto& entries) {
    try {
      (void)entries.get("a");
      if (++tries == 1) theirs_.add("a", 1);
      (void)entries.get("b");
    } catch (...) {
    }
    entries.set("tries", tries);
  });
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(stock_.get("tries"), 2);
}

TEST_F(SharedMapDraftTest, ForestalledUntilTheDeadlineItThrowsConflictAndAppliesNothing) {
  Stock ours{Client{with_timeout(server_.url(), 1s)}, "stock"};
  int tries = 0;
  auto const forestalled = [&](auto& entries) {
    (void)entries.get("apple");
    theirs_.add("apple", 1);
    entries.set("apple", -1);
    if (++tries == 3) std::this_thread::sleep_for(1s);  // to the deadline
  };
  EXPECT_THROW(ours.atomically(forestalled), Conflict);
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(stock_.get("apple"), 3);
  auto const slow = [&](auto& entries) {
    entries.set("pear", 1);
    std::this_thread::sleep_for(1s);  // as long as the deadline
  };
  EXPECT_THROW(ours.atomically(slow), Conflict);
  EXPECT_FALSE(stock_.contains("pear"));
}

TEST_F(SharedMapDraftTest, EachReadIsARoundTripAndTheChangeOneMore) {
  stock_.set_many({{"a", 1}, {"b", 2}, {"c", 3}});
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  auto const run = [&] {
    ours.atomically([](auto& entries) {
      auto const known = entries.get_many({"a", "b", "c"});
      (void)entries.get("a");
      (void)entries.get("d");
      for (std::string const key : {"a", "b", "c", "d"}) entries.set(key, *known[0] + 1);
    });
  };
  run();
  auto const before = proxy.round_trips();
  run();
  EXPECT_EQ(proxy.round_trips() - before, 3);
  EXPECT_EQ(stock_.get("d"), 3);
}

TEST_F(SharedMapDraftTest, NothingReadAndNothingDraftedIsNoCommand) {
  EXPECT_EQ(commands_of(other_, [&] { stock_.atomically([](auto&) {}); }), "");
}

TEST_F(SharedMapDraftTest, DraftOfTooManyEntriesIsRefusedAndAppliesNothing) {
  auto const draft = [&](int count) {
    stock_.atomically([&](auto& entries) {
      for (int i = 0; i < count; ++i) entries.set(std::to_string(i), i);
    });
  };
  draft(1000);
  EXPECT_EQ(stock_.size(), 1000U);
  stock_.clear();
  EXPECT_EQ(text_of<std::invalid_argument>([&] { draft(1001); }),
            "tandem: 1001 entries were to be read or changed in one step; up to 1000 are accepted");
  EXPECT_EQ(stock_.size(), 0U);
}

TEST_F(SharedMapDraftTest, UndecodableEntryThrowsCodecErrorNamingItAndAppliesNothing) {
  redis_.command("HSET", "stock", "apple", "secret");
  EXPECT_TRUE(text_of<CodecError>([&] {
                stock_.atomically([](auto& entries) {
                  entries.set("pear", 1);
                  (void)entries.get("apple");
                });
              }).starts_with("tandem: map \"stock\", field \"apple\": an integer"));
  EXPECT_FALSE(stock_.contains("pear"));
}

TEST_F(SharedMapDraftTest, DeniedInPartIsDeniedAsAWhole) {
  stock_.set("apple", 1);
  auto const swap = [](Stock& stock) {
    stock.atomically([](auto& entries) {
      entries.set("a", 1);
      entries.erase("apple");
    });
  };
  redis_.command("ACL", "SETUSER", "half", "on", ">pw", "~*", "+@all", "-hdel");
  Stock theirs{Client{"unix://half:pw@" + server_.socket_path()}, "stock"};
  EXPECT_EQ(code_of([&] { swap(theirs); }), "NOPERM");
  EXPECT_EQ(stock_.get_many({"a", "apple"}), (Answers{std::nullopt, 1}));
  redis_.command("SET", "other", "mine");
  Stock other{redis_, "other"};
  EXPECT_EQ(code_of([&] { swap(other); }), "WRONGTYPE");
}

TEST_F(SharedMapDraftTest, LostAnswerIsInDoubtAndAppliedOnceAndLostReadsAreAskedAgain) {
  FaultProxy proxy{server_};
  Stock ours{Client{proxy.url()}, "stock"};
  int calls = 0;
  auto const both = [&](auto& entries) {
    ++calls;
    auto const n = entries.get("a").value_or(0) + 1;
    entries.set("a", n);
    entries.set("b", n);
  };
  ours.atomically(both);
  proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);  // of the read
  proxy.next("EVALSHA", FaultProxy::Fault::cut_before_request);
  ours.atomically(both);
  EXPECT_EQ(calls, 2);

  auto const doubtful = [&](auto& entries) {
    both(entries);
    proxy.next("EVALSHA", FaultProxy::Fault::cut_after_request);  // of the change
  };
  EXPECT_THROW(ours.atomically(doubtful), InDoubt);
  EXPECT_EQ(stock_.get_many({"a", "b"}), (Answers{3, 3}));
}

TEST_F(SharedMapDraftTest, WorksAgainWhenTheServerDoes) {
  Stock stock{Client{with_timeout(server_.url(), 5s)}, "stock"};
  auto const one = [](auto& entries) { entries.set("a", entries.get("a").value_or(0) + 1); };
  stock.atomically(one);
  server_.restart();
  stock.atomically(one);
  EXPECT_EQ(stock.get("a"), 1);
}

}  // namespace
}  // namespace tandem
