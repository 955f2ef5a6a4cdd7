#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include <tandem/core/error.hpp>

#include "core/events.hpp"
#include "core/shared_line.hpp"

namespace tandem::detail {

/// Sees to a client's line when no caller does: reads the replies that nobody waits for, tells
/// Options::on_error what became of the commands that were posted, and finds out whether a line
/// that nobody has used for a while is still good.
///
/// Cost:    a PING for each 5 s in which the line was not used.
/// Threads: `post` and `report` from any; the rest on the event thread.
class Attendant final : public EventListener {
 public:
  Attendant(Options const& options, SharedLine& line, Events& events) noexcept
      : options_{options}, line_{line}, events_{events} {}
  ~Attendant() override;

  /// As Line::post; when it fails that is reported.
  [[nodiscard]] bool post(Line& line, CommandBuffer const& command);

  /// Hands `error` to Options::on_error, soon and on the event thread: who notices it may be in the
  /// middle of reading for others.
  void report(std::unique_ptr<Error> error) noexcept;

  pollfd watch() override;
  void on_ready() override;
  Deadline on_time(Deadline now) override;

 private:
  void report_what_failed() noexcept;

  Options const& options_;
  SharedLine& line_;
  Events& events_;
  std::weak_ptr<Line> watched_{};

  std::mutex mutex_{};  // guards:
  std::vector<std::unique_ptr<Error>> failed_{};
  std::size_t failed_besides_ = 0;  // for want of room
};

}  // namespace tandem::detail
