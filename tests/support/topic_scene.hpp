#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/testing/redis_server.hpp>
#include <tandem/topic.hpp>

#include "support/observed.hpp"
#include "support/patience.hpp"
#include "support/reports.hpp"

namespace tandem::support {

inline std::string to_string(TopicGap const& gap) {
  using Why = TopicGap::Why;
  auto const* const why = gap.why == Why::disconnected      ? "disconnected"
                          : gap.why == Why::buffer_full     ? "buffer full"
                          : gap.why == Why::history_trimmed ? "trimmed"
                                                            : "lost";
  return std::string{"("} + why + (gap.lost ? " " + std::to_string(*gap.lost) : "") + ")";
}

/// What a subscription was told, gaps and all, in order.
class Told {
 public:
  using Lines = std::vector<std::string>;

  [[nodiscard]] std::function<void(std::string const&)> handler() {
    return [this](std::string const& message) { write(message); };
  }
  [[nodiscard]] std::function<void(std::string const&, std::string const&)> pattern_handler() {
    return [this](std::string const& topic, std::string const& message) {
      write(topic + ": " + message);
    };
  }
  [[nodiscard]] SubscriptionOptions options(SubscriptionOptions out = {}) {
    out.on_gap = [this](TopicGap const& gap) { write(to_string(gap)); };
    return out;
  }

  void write(std::string line) {
    std::lock_guard const guard{mutex_};
    lines_.push_back(std::move(line));
  }
  [[nodiscard]] Lines lines() const {
    std::lock_guard const guard{mutex_};
    return lines_;
  }
  [[nodiscard]] std::size_t count() const { return lines().size(); }
  [[nodiscard]] bool has(std::string const& line) const {
    auto const all = lines();
    return std::find(all.begin(), all.end(), line) != all.end();
  }
  /// Whether it comes to be exactly these; what there is, where it does not.
  [[nodiscard]] ::testing::AssertionResult become(Lines const& expected) const {
    if (eventually([&] { return lines() == expected; })) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << ::testing::PrintToString(lines());
  }

 private:
  mutable std::mutex mutex_{};
  Lines lines_{};
};

/// Holds up whoever passes, until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock{mutex_};
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  /// Somebody has come to it.
  [[nodiscard]] bool is_reached() {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, std::chrono::seconds{20}, [this] { return waiting_ > 0; });
  }
  void open() {
    {
      std::lock_guard const guard{mutex_};
      open_ = true;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_{};
  std::condition_variable changed_{};
  int waiting_ = 0;
  bool open_ = false;
};

/// Topics of a private server, by both protocols.
class TopicScene : public ::testing::TestWithParam<int> {
 protected:
  explicit TopicScene(testing::RedisServerOptions const& options = {}) : server_{options} {}

  [[nodiscard]] Options options(std::string const& url, std::string const& parameters = "") {
    auto out = Options::from_url(url + parameters);
    out.protocol = GetParam();
    out.on_error = reports_.hook();
    return out;
  }
  [[nodiscard]] Client client(std::string const& url, std::string const& parameters = "") {
    return Client{options(url, parameters)};
  }
  [[nodiscard]] Client client() { return client(server_.url()); }
  /// Of a client of its own.
  [[nodiscard]] Topic<std::string> topic(TopicOptions options = {}) {
    return {client(), "news", options};
  }

  /// How many connections have subscribed that channel.
  [[nodiscard]] long long listeners(std::string const& channel) {
    return redis_.command("PUBSUB", "NUMSUB", channel)[1].as<long long>();
  }
  void kill_listening() { redis_.command("CLIENT", "KILL", "TYPE", "pubsub"); }
  /// Kills what listens at that channel, and returns when it listens again by another connection.
  [[nodiscard]] bool cut(std::string const& channel) {
    auto const before = listening();
    kill_listening();
    return eventually([&] {
      auto const now = listening();
      return listeners(channel) > 0 && !now.empty() && now.find(before) == std::string::npos;
    });
  }
  [[nodiscard]] std::string listening() {
    auto const list = redis_.command("CLIENT", "LIST", "TYPE", "pubsub").as<std::string>();
    return list.substr(0, list.find(' '));
  }

  Reports reports_{};
  testing::RedisServer server_;
  Client redis_{server_.url()};
};

}  // namespace tandem::support
