#pragma once

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>

#include "core/line.hpp"

namespace tandem::detail {

/// The line that all threads of a client talk over: made when it is needed, made anew when it is
/// no longer good. One thread connects; the others wait for what comes of it.
///
/// Threads: safe from several.
class SharedLine {
 public:
  explicit SharedLine(Options const& options) : options_{options} {}

  /// Errors:  Unreachable; the ServerError that refuses the handshake.
  [[nodiscard]] std::shared_ptr<Line> get(Deadline deadline);

 private:
  [[nodiscard]] std::shared_ptr<Line> connect(Deadline deadline);

  Options const& options_;
  CallerWaits waiting_{};
  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::shared_ptr<Line> line_{};
  bool connecting_ = false;
  std::exception_ptr refusal_{};  // of the attempt that ended last
};

}  // namespace tandem::detail
