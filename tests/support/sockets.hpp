#pragma once

#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace tandem::support {

/// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) noexcept : number_{number} {}
  Descriptor(Descriptor&& other) noexcept : number_{std::exchange(other.number_, -1)} {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }

  void close() noexcept {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }
  [[nodiscard]] int get() const noexcept { return number_; }

 private:
  int number_;
};

inline int required(int result, char const* what) {
  if (result < 0) throw std::system_error{errno, std::generic_category(), what};
  return result;
}

inline sockaddr_un unix_address(std::string const& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::length_error{path};
  path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
  return address;
}

inline Descriptor listen_on_unix(std::string const& path) {
  Descriptor out{
      required(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket")};
  auto const address = unix_address(path);
  required(::bind(out.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address), "bind");
  required(::listen(out.get(), SOMAXCONN), "listen");
  return out;
}

/// A free port of 127.0.0.1: the listening socket and its number. `backlog` 0 lets exactly one
/// connection wait.
inline std::pair<Descriptor, std::uint16_t> listen_on_tcp(int backlog = SOMAXCONN) {
  Descriptor out{
      required(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket")};
  sockaddr_in address{};
  socklen_t size = sizeof address;
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  required(::bind(out.get(), name, size), "bind");
  required(::listen(out.get(), backlog), "listen");
  required(::getsockname(out.get(), name, &size), "getsockname");
  return {std::move(out), ntohs(address.sin_port)};
}

inline Descriptor connect_to_unix(std::string const& path) {
  Descriptor out{required(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")};
  auto const address = unix_address(path);
  if (::connect(out.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0)
    return Descriptor{};
  return out;
}

/// Wakes a thread that polls.
class Bell {
 public:
  void ring() const noexcept {
    std::uint64_t const one = 1;
    while (::write(fd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
  }
  void silence() const noexcept {
    std::uint64_t count = 0;
    while (::read(fd_.get(), &count, sizeof count) < 0 && errno == EINTR) {
    }
  }
  [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }

 private:
  Descriptor fd_{required(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")};
};

}  // namespace tandem::support
