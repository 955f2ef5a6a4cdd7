#pragma once

#include <string_view>

#include <poll.h>

#include <tandem/core/options.hpp>

namespace tandem::detail {

/// ppoll that survives EINTR; false at the deadline. `fds` may be empty.
bool poll_until(pollfd* fds, nfds_t count, Deadline deadline);

/// How a wire waits for its socket. A caller's thread waits for nothing else (`CallerWaits`); the
/// event thread goes on firing its timers meanwhile.
class Waiting {
 public:
  Waiting() = default;
  Waiting(Waiting const&) = delete;
  Waiting& operator=(Waiting const&) = delete;
  virtual ~Waiting() = default;

  /// Returns when `fd` is ready for `events` (or broken): true; or at the deadline: false.
  virtual bool wait(int fd, short events, Deadline deadline) = 0;
  /// Whether the thread has nothing else to do meanwhile, so that a system call of its own may wait
  /// as well.
  [[nodiscard]] virtual bool for_nothing_else() const noexcept { return false; }
};

class CallerWaits final : public Waiting {
 public:
  bool wait(int fd, short events, Deadline deadline) override;
  [[nodiscard]] bool for_nothing_else() const noexcept override { return true; }
};

/// strerror, thread-safe.
[[nodiscard]] std::string_view error_text(int error_number) noexcept;

}  // namespace tandem::detail
