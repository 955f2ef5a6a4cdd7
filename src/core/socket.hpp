#pragma once

#include <utility>

#include <sys/socket.h>
#include <unistd.h>

#include <tandem/core/options.hpp>

#include "core/fork.hpp"
#include "core/waiting.hpp"

namespace tandem::detail {

/// A connected, non-blocking, close-on-exec socket. In the child of a fork it is closed, from its
/// very beginning on: the connection is the parent's.
///
/// Errors:  the constructor throws Unreachable.
class Socket {
 public:
  Socket(Options const& options, Deadline deadline, Waiting& waiting);
  ~Socket();
  Socket(Socket const&) = delete;
  Socket& operator=(Socket const&) = delete;

  [[nodiscard]] int descriptor() const noexcept { return fd_; }

  /// From now on a read without MSG_DONTWAIT waits, for at most that long. False when it cannot be
  /// had: it goes on not waiting.
  bool let_reads_wait(std::chrono::milliseconds longest) noexcept;

 private:
  void connect_unix(Options const& options, Deadline deadline, Waiting& waiting);
  void connect_tcp(Options const& options, Deadline deadline, Waiting& waiting);
  int attempt(int family, sockaddr const* address, socklen_t length, Deadline deadline,
              Waiting& waiting);
  void open(int family) noexcept;
  void close() noexcept;

  int fd_ = -1;
  ForkHook fork_hook_{this, [](void* socket) noexcept {
                        ::close(std::exchange(static_cast<Socket*>(socket)->fd_, -1));
                      }};
};

}  // namespace tandem::detail
