#pragma once

#include "core/fork.hpp"

namespace tandem::detail {

/// Wakes a thread that polls its descriptor. In the child of a fork it is closed, from its very
/// beginning on: who polls it is the parent's.
///
/// Threads: ring from any; construct it as a ForkHook.
/// Source:  eventfd(2).
class Bell {
 public:
  Bell() noexcept;
  ~Bell();
  Bell(Bell const&) = delete;
  Bell& operator=(Bell const&) = delete;

  /// Why there is none: an error number, for want of descriptors; 0 when there is one.
  [[nodiscard]] int error() const noexcept { return error_; }

  void ring() const noexcept;
  void silence() const noexcept;
  [[nodiscard]] int descriptor() const noexcept { return fd_; }

 private:
  static void close_in_child(void* bell) noexcept;

  int fd_ = -1;
  int error_ = 0;
  ForkHook fork_hook_{this, &close_in_child};
};

}  // namespace tandem::detail
