#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stop_token>
#include <thread>
#include <utility>

#include <tandem/client.hpp>

namespace tandem::support {

/// Measures how long this process and a server stood still, for tests whose subject cannot bear
/// that either: a lease of 300 ms is rightly lost when the machine stalls for so long.
class StallWatch {
 public:
  explicit StallWatch(Client redis)
      : thread_{[this, redis = std::move(redis)](std::stop_token const& stop) mutable {
          watch(redis, stop);
        }} {}

  /// The longest that two round trips lay apart, so far.
  [[nodiscard]] std::chrono::milliseconds longest() const { return longest_; }

 private:
  void watch(Client& redis, std::stop_token const& stop) {
    auto last = std::chrono::steady_clock::now();
    while (!stop.stop_requested()) {
      redis.command("PING");
      auto const now = std::chrono::steady_clock::now();
      longest_ = std::max(longest_.load(),
                          std::chrono::duration_cast<std::chrono::milliseconds>(now - last));
      last = now;
      std::this_thread::sleep_for(std::chrono::milliseconds{5});  // the grain of the measurement
    }
  }

  std::atomic<std::chrono::milliseconds> longest_{};
  std::jthread thread_;
};

}  // namespace tandem::support
