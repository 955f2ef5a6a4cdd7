#pragma once

#include <atomic>
#include <memory>
#include <tuple>
#include <utility>

#include "core/fork.hpp"

namespace tandem::detail {

/// What an object keeps for one process only: a State, made of what it was given. The child of a
/// fork begins with a fresh one; what it inherited is abandoned as it is, never destroyed, because
/// the parent's other threads may have been in the middle of changing it.
///
/// Errors:  those of State's constructor, also from the first get() in a child.
/// Threads: safe from several, but for the end.
template <class State, class... From>
class PerProcess {
 public:
  explicit PerProcess(From... from) : from_{std::forward<From>(from)...}, current_{fresh()} {}
  PerProcess(PerProcess const&) = delete;
  PerProcess& operator=(PerProcess const&) = delete;
  ~PerProcess() {
    auto* const mine = current_.load();
    if (mine->generation == fork_generation()) delete mine;
  }

  [[nodiscard]] State& get() {
    auto* mine = current_.load(std::memory_order_acquire);
    if (mine->generation == fork_generation()) return mine->state;
    auto made = std::unique_ptr<Current>{fresh()};
    if (current_.compare_exchange_strong(mine, made.get())) mine = made.release();
    return mine->state;  // where another thread was first, its
  }

 private:
  struct Current {
    unsigned generation;
    State state;
  };
  [[nodiscard]] Current* fresh() {
    return std::apply(
        [](auto&... from) {
          return new Current{fork_generation(), State(from...)};
        },
        from_);
  }

  std::tuple<From...> from_;
  std::atomic<Current*> current_;
};

}  // namespace tandem::detail
