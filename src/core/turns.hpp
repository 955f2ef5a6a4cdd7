#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include <tandem/core/options.hpp>

namespace tandem::detail {

/// One thread at a time fetches what all need; the others wait for it, each until its deadline.
///
/// It is std::timed_mutex, which the thread sanitizer of g++ 12 does not know.
class Turns {
 public:
  /// A thread's turn, which ends with it.
  class Turn {
   public:
    explicit Turn(Turns& turns) noexcept : turns_{&turns} {}
    Turn(Turn&& other) noexcept : turns_{other.turns_} { other.turns_ = nullptr; }
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ != nullptr) turns_->end();
    }

   private:
    Turns* turns_;
  };

  /// Empty when it is another thread's until then.
  [[nodiscard]] std::optional<Turn> take(Deadline deadline) {
    std::unique_lock guard{mutex_};
    if (!ended_.wait_until(guard, deadline, [&] { return !taken_; })) return std::nullopt;
    taken_ = true;
    return std::optional<Turn>{std::in_place, *this};
  }

 private:
  void end() noexcept {
    {
      std::lock_guard const guard{mutex_};
      taken_ = false;
    }
    ended_.notify_one();
  }

  std::mutex mutex_{};
  std::condition_variable ended_{};
  bool taken_ = false;
};

}  // namespace tandem::detail
