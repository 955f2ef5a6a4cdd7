#include "core/socket.hpp"

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/lookup.hpp"

namespace tandem::detail {
namespace {

using std::chrono::steady_clock;

void tune_tcp(int fd, Options const& options) {
  // Failure of any of these costs speed or notice of a dead peer, never a wrong answer: deadlines
  // hold regardless.
  int const on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  int const idle_seconds = 15;
  int const interval_seconds = 5;
  int const probes = 3;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  auto const unacknowledged = static_cast<unsigned>(options.command_timeout.count());
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged);
}

[[noreturn]] void unreachable(Options const& options, std::string_view why) {
  throw Unreachable{fmt::format("tandem: cannot connect to {}: {}", options.endpoint(), why)};
}

}  // namespace

Socket::Socket(Options const& options, Deadline deadline, Waiting& waiting) {
  try {
    options.unix_socket.empty() ? connect_tcp(options, deadline, waiting)
                                : connect_unix(options, deadline, waiting);
  } catch (...) {
    close();
    throw;
  }
}

Socket::~Socket() { close(); }

void Socket::open(int family) noexcept {
  NoFork const until_it_is_noted;
  fd_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

void Socket::close() noexcept {
  NoFork const until_it_is_forgotten;
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool Socket::let_reads_wait(std::chrono::milliseconds longest) noexcept {
  timeval limit{};
  limit.tv_usec = static_cast<suseconds_t>(std::chrono::microseconds{longest}.count());
  return ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
         ::fcntl(fd_, F_SETFL, O_RDWR) == 0;
}

/// Whether the socket met itself: a port that nobody listens on, and that the system gave to it as
/// its own.
bool is_connected_to_itself(int fd) noexcept {
  sockaddr_storage own{};
  sockaddr_storage other{};
  socklen_t own_size = sizeof own;
  socklen_t other_size = sizeof other;
  return ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
         ::getpeername(fd, reinterpret_cast<sockaddr*>(&other), &other_size) == 0 &&
         own_size == other_size && std::memcmp(&own, &other, own_size) == 0;
}

/// Tries one address; 0 when connected, else what was wrong with it.
int Socket::attempt(int family, sockaddr const* address, socklen_t length, Deadline deadline,
                    Waiting& waiting) {
  close();
  open(family);
  if (fd_ < 0) return errno;
  int error = 0;
  // A signal does not undo a connect: it goes on in the background, as with EINPROGRESS.
  if (::connect(fd_, address, length) != 0) error = errno;
  if (error == EINPROGRESS || error == EINTR) {
    socklen_t size = sizeof error;
    if (!waiting.wait(fd_, POLLOUT, deadline)) return ETIMEDOUT;
    if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  }
  return error;
}

void Socket::connect_unix(Options const& options, Deadline deadline, Waiting& waiting) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  options.unix_socket.copy(address.sun_path, sizeof address.sun_path - 1);
  auto const* const name = reinterpret_cast<sockaddr const*>(&address);
  int const error = attempt(AF_UNIX, name, sizeof address, deadline, waiting);
  if (error != 0) unreachable(options, error_text(error));
}

void Socket::connect_tcp(Options const& options, Deadline deadline, Waiting& waiting) {
  auto const found = look_up(options, deadline, waiting);
  int left = 0;
  for (auto const* each = found.get(); each != nullptr; each = each->ai_next) ++left;
  std::string reasons;
  for (auto const* each = found.get(); each != nullptr; each = each->ai_next, --left) {
    // A silent address may not use up the time of those behind it.
    auto const now = steady_clock::now();
    auto const share = now + (deadline - now) / left;
    int error = attempt(each->ai_family, each->ai_addr, each->ai_addrlen, share, waiting);
    if (error == 0 && is_connected_to_itself(fd_)) error = ECONNREFUSED;
    if (error == 0) return tune_tcp(fd_, options);
    if (!reasons.empty()) reasons += "; ";
    reasons += error_text(error);
  }
  unreachable(options, reasons);
}

}  // namespace tandem::detail
