#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace tandem::detail {

/// How long to wait before trying again: doubling from `first` up to `most`, each time a random part of it from half
/// to whole, so that the processes that lost one server together do not come back together.
///
/// Source:  "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("equal jitter").
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds most) : next_{first}, most_{most} {}

  [[nodiscard]] std::chrono::microseconds pause() {
    auto const whole = std::chrono::microseconds{next_}.count();
    next_ = std::min(next_ * 2, most_);
    return std::chrono::microseconds{std::uniform_int_distribution<long long>{whole / 2, whole}(random_)};
  }

 private:
  std::chrono::milliseconds next_;
  std::chrono::milliseconds most_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace tandem::detail
