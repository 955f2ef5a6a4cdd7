#include "core/socket.hpp"

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include <fmt/core.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace tandem::detail {
namespace {

using std::chrono::steady_clock;

/// Begins or finishes one attempt; returns the descriptor, or -1 with errno set.
int attempt(int family, sockaddr const* address, socklen_t length, Deadline deadline, Waiting& waiting) {
  int const fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  int error = 0;
  // A signal does not undo a connect: it goes on in the background, as with EINPROGRESS.
  if (::connect(fd, address, length) != 0) error = errno;
  if (error == EINPROGRESS || error == EINTR) {
    socklen_t size = sizeof error;
    if (!waiting.wait(fd, POLLOUT, deadline)) {
      error = ETIMEDOUT;
    } else if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
      error = errno;
    }
  }
  if (error == 0) return fd;
  ::close(fd);
  errno = error;
  return -1;
}

void tune_tcp(int fd, Options const& options) {
  // Failure of any of these costs speed or notice of a dead peer, never a wrong answer: deadlines hold regardless.
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

int connect_unix(Options const& options, Deadline deadline, Waiting& waiting) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  options.unix_socket.copy(address.sun_path, sizeof address.sun_path - 1);
  int const fd = attempt(AF_UNIX, reinterpret_cast<sockaddr const*>(&address), sizeof address, deadline, waiting);
  if (fd < 0) unreachable(options, error_text(errno));
  return fd;
}

int connect_tcp(Options const& options, Deadline deadline, Waiting& waiting) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int const lookup = ::getaddrinfo(options.host.c_str(), std::to_string(options.port).c_str(), &hints, &found);
  if (lookup != 0) unreachable(options, ::gai_strerror(lookup));
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> const owner{found, &::freeaddrinfo};

  int left = 0;
  for (auto const* each = found; each != nullptr; each = each->ai_next) ++left;
  std::string reasons;
  for (auto const* each = found; each != nullptr; each = each->ai_next, --left) {
    // A silent address may not use up the time of those behind it.
    auto const now = steady_clock::now();
    auto const share = now + (deadline - now) / left;
    int const fd = attempt(each->ai_family, each->ai_addr, each->ai_addrlen, share, waiting);
    if (fd >= 0) {
      tune_tcp(fd, options);
      return fd;
    }
    if (!reasons.empty()) reasons += "; ";
    reasons += error_text(errno);
  }
  unreachable(options, reasons);
}

}  // namespace

bool poll_until(pollfd* fds, nfds_t count, Deadline deadline) {
  using namespace std::chrono;
  for (;;) {
    auto const left = duration_cast<nanoseconds>(deadline - steady_clock::now());
    timespec timeout{};
    if (left.count() > 0) {
      timeout.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000);
      timeout.tv_nsec = static_cast<long>(left.count() % 1'000'000'000);
    }
    int const ready = ::ppoll(fds, count, &timeout, nullptr);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return true;  // let the read or write that follows say what is wrong
  }
}

bool CallerWaits::wait(int fd, short events, Deadline deadline) {
  pollfd one{fd, events, 0};
  return poll_until(&one, 1, deadline);
}

int connect_socket(Options const& options, Deadline deadline, Waiting& waiting) {
  return options.unix_socket.empty() ? connect_tcp(options, deadline, waiting)
                                     : connect_unix(options, deadline, waiting);
}

std::string_view error_text(int error_number) noexcept {
  auto const* const text = ::strerrordesc_np(error_number);
  return text != nullptr ? text : "unknown error";
}

}  // namespace tandem::detail
