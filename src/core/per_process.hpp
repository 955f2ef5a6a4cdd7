#pragma once

#include <atomic>
#include <memory>

#include "core/fork.hpp"

namespace tandem::detail {

/// What an object keeps for one process only. The child of a fork begins with a fresh one; what it
/// inherited is abandoned as it is, never destroyed, because the parent's other threads may have
/// been in the middle of changing it.
///
/// Threads: safe from several.
template <class State>
class PerProcess {
 public:
  PerProcess() = default;
  PerProcess(PerProcess const&) = delete;
  PerProcess& operator=(PerProcess const&) = delete;
  ~PerProcess() {
    auto* const mine = current_.load();
    if (mine->generation == fork_generation()) delete mine;
  }

  [[nodiscard]] State& get() {
    auto* mine = current_.load(std::memory_order_acquire);
    if (mine->generation == fork_generation()) return mine->state;
    auto fresh = std::make_unique<Current>();
    if (current_.compare_exchange_strong(mine, fresh.get())) mine = fresh.release();
    return mine->state;  // where another thread was first, its
  }

 private:
  struct Current {
    unsigned generation = fork_generation();
    State state{};
  };

  std::atomic<Current*> current_{new Current};
};

}  // namespace tandem::detail
