#pragma once

#include <tandem/core/command.hpp>

namespace tandem::detail {

/// An empty CommandBuffer for one call, that keeps its memory for the next one of the same thread:
/// a command costs no allocation. One within another's lifetime allocates its own.
///
/// Threads: one.
class ScratchCommand {
 public:
  ScratchCommand();
  ~ScratchCommand();
  ScratchCommand(ScratchCommand const&) = delete;
  ScratchCommand& operator=(ScratchCommand const&) = delete;

  [[nodiscard]] CommandBuffer& operator*() const noexcept { return *buffer_; }
  [[nodiscard]] CommandBuffer* operator->() const noexcept { return buffer_; }

 private:
  CommandBuffer* buffer_;
};

}  // namespace tandem::detail
