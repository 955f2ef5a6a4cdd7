#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <tandem/cached_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/patience.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;

/// Stops whoever decodes a certain number, until it is opened: so the answer that has brought it is
/// as good as late.
class Gate {
 public:
  explicit Gate(std::int64_t number, bool open = false) : number_{number}, open_{open} {
    std::lock_guard const guard{mutex};
    all[number_] = this;
  }
  Gate(Gate const&) = delete;
  Gate& operator=(Gate const&) = delete;
  /// Whoever passes has passed.
  ~Gate() {
    std::lock_guard const guard{mutex};
    all.erase(number_);
  }

  [[nodiscard]] bool is_reached() const {
    return eventually([this] { return reached_.load(); });
  }
  void open() {
    open_ = true;
    open_.notify_all();
  }

  static void pass(std::int64_t number) {
    Gate* gate = nullptr;
    {
      std::lock_guard const guard{mutex};
      auto const at = all.find(number);
      if (at == all.end()) return;
      gate = at->second;
    }
    gate->reached_ = true;
    gate->open_.wait(false);
  }

 private:
  static inline std::mutex mutex{};
  static inline std::map<std::int64_t, Gate*> all{};

  std::int64_t const number_;
  std::atomic<bool> reached_ = false;
  std::atomic<bool> open_;
};

struct Gated {
  std::int64_t number;
};

}  // namespace

template <>
struct Codec<Gated> {
  static std::string encode(Gated const& value) { return std::to_string(value.number); }
  static Gated decode(std::string_view bytes) {
    auto const number = Codec<std::int64_t>::decode(bytes);
    Gate::pass(number);
    return {number};
  }
};

namespace {

using Near = CachedMap<std::string, Gated>;

/// What is read while the answer to another question is on its way.
class CachedMapMomentsTest : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] Near near() const {
    auto options = Options::from_url(server_.url());
    options.protocol = GetParam();
    options.command_timeout = 20s;
    return Near{Client{options}, "m", {.max_age = 24h}};
  }
  [[nodiscard]] static bool is_told(Near const& map) {
    return map.await_told(std::chrono::steady_clock::now() + 20s);
  }
  [[nodiscard]] static std::int64_t number_of(Near const& map, std::string const& key) {
    return map.get(key).value_or(Gated{0}).number;
  }

  testing::RedisServer server_{};
  Client redis_{server_.url()};
};

TEST_P(CachedMapMomentsTest, WhoBeganToReadAtTheServerReadsNothingNewerThanTheCacheGivesNext) {
  std::vector<std::string> keys;  // so many that "a" is read by a request of its own
  for (int i = 0; i < 1000; ++i) keys.push_back(std::to_string(i));
  keys.emplace_back("a");
  redis_.command("HSET", "m", "0", "10", "a", "1");
  Gate first_request{10};
  Gate answer{1};
  Gate read_at_the_server{2, true};
  auto const map = near();
  std::atomic<pid_t> id = 0;
  std::thread reader{[&] {
    id = ::gettid();
    auto const seen = map.get_many(keys).back().value_or(Gated{0}).number;
    EXPECT_GE(number_of(map, "a"), seen);
  }};
  EXPECT_TRUE(first_request.is_reached());
  EXPECT_TRUE(is_told(map));
  std::thread other{[&] { EXPECT_EQ(number_of(map, "a"), 1); }};
  EXPECT_TRUE(answer.is_reached());
  redis_.command("HSET", "m", "a", "2");
  first_request.open();
  EXPECT_TRUE(read_at_the_server.is_reached());
  EXPECT_TRUE(support::falls_asleep(id)) << "waits for what the cache is told";
  answer.open();
  reader.join();
  other.join();
}

TEST_P(CachedMapMomentsTest, GetFreshIsNotContentWithWhatWasAskedForBefore) {
  redis_.command("HSET", "m", "a", "1");
  Gate answer{1};
  auto const map = near();
  EXPECT_TRUE(is_told(map));
  std::thread other{[&] { EXPECT_EQ(number_of(map, "a"), 1); }};
  EXPECT_TRUE(answer.is_reached());
  redis_.command("HSET", "m", "a", "2");
  std::atomic<pid_t> id = 0;
  std::thread fresh{[&] {
    id = ::gettid();
    EXPECT_EQ(map.get_fresh("a").value_or(Gated{0}).number, 2);
  }};
  EXPECT_TRUE(eventually([&] { return id != 0; }));
  EXPECT_TRUE(support::falls_asleep(id)) << "has asked, and waits";
  answer.open();
  fresh.join();
  other.join();
}

INSTANTIATE_TEST_SUITE_P(Protocol, CachedMapMomentsTest, ::testing::Values(3, 2),
                         [](auto const& each) { return "Resp" + std::to_string(each.param); });

}  // namespace
}  // namespace tandem
