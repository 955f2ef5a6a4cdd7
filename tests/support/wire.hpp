#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <tandem/testing/redis_server.hpp>

namespace tandem::support {

/// A raw connection: what is sent is one inline command, what comes back is the reply's bytes.
class Wire {
 public:
  explicit Wire(testing::RedisServer const& server) : Wire{server.socket_path()} {}
  explicit Wire(std::string const& path)
      : socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
    connect(reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  explicit Wire(std::uint16_t port) : socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect(reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  Wire(Wire const&) = delete;
  Wire& operator=(Wire const&) = delete;
  ~Wire() { ::close(socket_); }

  [[nodiscard]] int error() const { return error_; }

  void send(std::string const& command) const {
    auto const line = command + "\r\n";
    EXPECT_EQ(::send(socket_, line.data(), line.size(), MSG_NOSIGNAL), std::ssize(line));
  }

  /// Empty when nothing comes in time, or the connection is closed.
  [[nodiscard]] std::string receive(std::chrono::milliseconds patience = std::chrono::seconds{
                                        20}) const {
    pollfd event{socket_, POLLIN, 0};
    std::array<char, 4096> buffer{};
    if (::poll(&event, 1, static_cast<int>(patience.count())) != 1) return {};
    auto const size = ::recv(socket_, buffer.data(), buffer.size(), 0);
    return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
  }

  std::string operator()(std::string const& command) const {
    send(command);
    return receive();
  }

 private:
  void connect(sockaddr const* address, socklen_t size) {
    if (::connect(socket_, address, size) != 0) error_ = errno;
  }

  int socket_;
  int error_ = 0;
};

}  // namespace tandem::support
