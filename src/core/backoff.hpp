#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace tandem::detail {

/// Random numbers to spread things in time: seeded once a thread, without a system call and without
/// a fault.
inline std::minstd_rand& jitter() {
  static char const anchor = 0;
  thread_local std::minstd_rand random{[] {
    auto const now = std::chrono::steady_clock::now().time_since_epoch().count();
    auto const where =
        reinterpret_cast<std::uintptr_t>(&now) ^ reinterpret_cast<std::uintptr_t>(&anchor);
    return static_cast<std::minstd_rand::result_type>(
        static_cast<std::uint64_t>(now) * 2654435761U ^ (where >> 4));
  }()};
  return random;
}

/// How long to wait before trying again: doubling from `first` up to `most`, each time a random
/// part of it from half to whole, so that the processes that lost one server together do not come
/// back together.
///
/// Source:  "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("equal jitter").
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds most)
      : next_{first}, most_{most} {}

  [[nodiscard]] std::chrono::microseconds pause() {
    auto const whole = std::chrono::microseconds{next_}.count();
    next_ = std::min(next_ * 2, most_);
    return std::chrono::microseconds{
        std::uniform_int_distribution<long long>{whole / 2, whole}(jitter())};
  }

 private:
  std::chrono::milliseconds next_;
  std::chrono::milliseconds most_;
};

}  // namespace tandem::detail
