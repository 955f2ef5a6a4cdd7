#pragma once

#include <string_view>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tandem/core/options.hpp>

#include "core/fork.hpp"

namespace tandem::detail {

/// ppoll that survives EINTR; false at the deadline. `fds` may be empty.
bool poll_until(pollfd* fds, nfds_t count, Deadline deadline);

/// How a wire waits for its socket. A caller's thread waits for nothing else (`CallerWaits`); the event thread goes on
/// firing its timers meanwhile.
class Waiting {
 public:
  Waiting() = default;
  Waiting(Waiting const&) = delete;
  Waiting& operator=(Waiting const&) = delete;
  virtual ~Waiting() = default;

  /// Returns when `fd` is ready for `events` (or broken): true; or at the deadline: false.
  virtual bool wait(int fd, short events, Deadline deadline) = 0;
};

class CallerWaits final : public Waiting {
 public:
  bool wait(int fd, short events, Deadline deadline) override;
};

/// A connected, non-blocking, close-on-exec socket. In the child of a fork it is closed, from its very beginning on: the
/// connection is the parent's.
///
/// Errors:  the constructor throws Unreachable.
class Socket {
 public:
  Socket(Options const& options, Deadline deadline, Waiting& waiting);
  ~Socket();
  Socket(Socket const&) = delete;
  Socket& operator=(Socket const&) = delete;

  [[nodiscard]] int descriptor() const noexcept { return fd_; }

 private:
  void connect_unix(Options const& options, Deadline deadline, Waiting& waiting);
  void connect_tcp(Options const& options, Deadline deadline, Waiting& waiting);
  int attempt(int family, sockaddr const* address, socklen_t length, Deadline deadline, Waiting& waiting);
  void open(int family) noexcept;
  void close() noexcept;

  int fd_ = -1;
  ForkHook fork_hook_{this,
                      [](void* socket) noexcept { ::close(std::exchange(static_cast<Socket*>(socket)->fd_, -1)); }};
};

/// strerror, thread-safe.
[[nodiscard]] std::string_view error_text(int error_number) noexcept;

}  // namespace tandem::detail
