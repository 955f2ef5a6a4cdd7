#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace tandem::support {

/// Something that bears one user at a time, and notices when there are two. May lie in memory that
/// processes share.
class LimitedResource {
 public:
  void use(std::chrono::microseconds time = std::chrono::microseconds{200}) {
    if (inside_.fetch_add(1) != 0) ++collisions_;
    // Read, long pause, write: a second user's count gets lost in between.
    auto const before = uses_.load();
    std::this_thread::sleep_for(time);
    uses_.store(before + 1);
    inside_.fetch_sub(1);
  }

  [[nodiscard]] int uses() const { return uses_; }
  [[nodiscard]] int collisions() const { return collisions_; }

 private:
  std::atomic<int> inside_ = 0;
  std::atomic<int> uses_ = 0;
  std::atomic<int> collisions_ = 0;
};

}  // namespace tandem::support
