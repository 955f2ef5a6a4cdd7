#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/cached_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/forked.hpp"
#include "support/patience.hpp"
#include "support/shared_memory.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::Forked;
using support::Shared;

using Near = CachedMap<std::string, std::int64_t>;

// What no message tells ends after that only: what a test waits for must be told.
constexpr CacheOptions told_only{.max_entries = 16, .max_age = 24h};
constexpr int keys = 24;  // more than a cache may have
constexpr int writers = 8;
constexpr int readers = 8;
constexpr int changes = 500;  // by each writer

/// Eight processes change the entries, each of which only ever grows, eight others read them.
class CachedMapProcessesTest : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] Client client() const {
    auto options = Options::from_url(server_.url());
    options.protocol = GetParam();
    options.on_error = [](Error const&) {};  // of connections that are killed
    return Client{options};
  }
  static std::string name_of(int key) { return "key" + std::to_string(key); }

  /// Adds to entries, as often as it is told to succeed; what is in doubt may have been added, too.
  [[nodiscard]] std::string write(int number, bool foreign) const {
    auto redis = client();
    Near map{redis, "m", told_only};
    std::minstd_rand random{static_cast<unsigned>(number + 1)};
    while (!*begun_) std::this_thread::yield();
    for (int i = 0; i < changes; ++i) {
      auto const key = name_of(static_cast<int>(random() % keys));
      try {
        if (foreign) {
          redis.command("HINCRBY", "m", key, "1");
        } else {
          auto const mine = map.update(key, [](auto n) { return n.value_or(0) + 1; });
          if (auto const seen = map.get(key); !seen || *seen < mine)
            return key + " was " + std::to_string(seen.value_or(-1)) + " after " +
                   std::to_string(mine) + " was written";
        }
      } catch (InDoubt const&) {
      }
    }
    ++*written_;
    return "";
  }

  /// What is wrong with what it reads: an older value after a newer one, or not the last one at the
  /// end.
  [[nodiscard]] std::string read(int number) const {
    Near const map{client(), "m", told_only};
    std::minstd_rand random{static_cast<unsigned>(number + 100)};
    std::array<std::int64_t, keys> last{};
    auto const look = [&](int key) -> std::string {
      auto const seen = map.get(name_of(key)).value_or(0);
      auto& before = last[static_cast<std::size_t>(key)];
      if (seen < before) {
        return name_of(key) + " was " + std::to_string(seen) + " after " + std::to_string(before);
      }
      before = seen;
      return "";
    };
    while (!*begun_) std::this_thread::yield();
    std::int64_t reads = 0;
    for (; *written_ < writers; ++reads) {
      if (auto wrong = look(static_cast<int>(random() % keys)); !wrong.empty()) return wrong;
      if (reads % 64 == 0) std::this_thread::yield();
    }
    auto redis = client();
    for (int key = 0; key < keys; ++key) {
      auto const truth =
          redis.command("HGET", "m", name_of(key)).as<std::optional<std::int64_t>>().value_or(0);
      std::string wrong;
      bool const ends_right = eventually([&] {
        wrong = look(key);
        return !wrong.empty() || last[static_cast<std::size_t>(key)] == truth;
      });
      if (!wrong.empty()) return wrong;
      if (!ends_right)
        return name_of(key) + " stays " + std::to_string(last[static_cast<std::size_t>(key)]) +
               ", and is " + std::to_string(truth);
    }
    return "";
  }

  void run(int foreign_writers, bool kill_connections) {
    std::vector<std::unique_ptr<Forked>> all;
    for (int i = 0; i < readers; ++i) {
      all.push_back(std::make_unique<Forked>([this, i] { return read(i); }));
    }
    for (int i = 0; i < writers; ++i) {
      all.push_back(std::make_unique<Forked>([=, this] { return write(i, i < foreign_writers); }));
    }
    *begun_ = true;
    Client redis{server_.url()};
    std::minstd_rand random{7};
    while (kill_connections && *written_ < writers) {
      for (auto const* const type : {"pubsub", "normal"}) {
        auto const list = redis.command("CLIENT", "LIST", "TYPE", type).as<std::string>();
        for (auto at = list.find("id="); at != std::string::npos; at = list.find("\nid=", at)) {
          at = list.find("id=", at) + 3;
          auto const id = list.substr(at, list.find(' ', at) - at);
          bool const is_own = list.substr(at, list.find('\n', at) - at).find("cmd=client|list") !=
                              std::string::npos;
          if (!is_own && random() % 8 == 0) redis.command("CLIENT", "KILL", "ID", id);
        }
      }
      std::this_thread::sleep_for(20ms);
    }
    for (auto const& each : all) EXPECT_EQ(each->told(100s), "");
  }

  testing::RedisServer server_{};
  Shared<std::atomic<bool>> begun_{};
  Shared<std::atomic<int>> written_{};
};

TEST_P(CachedMapProcessesTest, NobodySeesAnOlderValueAfterANewerOne) { run(0, false); }

TEST_P(CachedMapProcessesTest, NorWhereOthersChangeTheHashByCommandsOfTheirOwn) { run(3, false); }

TEST_P(CachedMapProcessesTest, NorWhereConnectionsAreKilledAtRandom) { run(3, true); }

INSTANTIATE_TEST_SUITE_P(Protocol, CachedMapProcessesTest, ::testing::Values(3, 2),
                         [](auto const& each) { return "Resp" + std::to_string(each.param); });

}  // namespace
}  // namespace tandem
