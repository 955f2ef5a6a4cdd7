#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "core/line.hpp"

namespace tandem::detail {

/// The line that all threads of a client talk over: made when it is needed, made anew when it is
/// no longer good. One thread connects; the others wait for what comes of it. Where Options asks for
/// it, the server is looked at before it is used.
///
/// Threads: safe from several.
class SharedLine {
 public:
  /// `call_attendant` as in Line.
  SharedLine(Options const& options, std::function<void()> call_attendant)
      : options_{options}, call_attendant_{std::move(call_attendant)} {}

  /// Errors:  Unreachable; the ServerError that refuses the handshake; UnsafeServer.
  [[nodiscard]] std::shared_ptr<Line> get(Deadline deadline);
  /// The one there is, good or not; none when nobody has spoken yet.
  [[nodiscard]] std::shared_ptr<Line> current();
  /// Lets go of it.
  void drop();

 private:
  [[nodiscard]] std::shared_ptr<Line> connect(Deadline deadline);
  [[nodiscard]] std::string look_at_server(Wire& wire, Deadline deadline) const;

  Options const& options_;
  std::function<void()> call_attendant_;
  CallerWaits waiting_{};
  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::shared_ptr<Line> line_{};
  bool connecting_ = false;
  std::exception_ptr refusal_{};  // of the attempt that ended last
  std::string warned_{};          // of the server that was connected to last
};

}  // namespace tandem::detail
