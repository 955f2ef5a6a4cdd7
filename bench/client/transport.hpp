#pragma once

#include <cstdint>
#include <string>

namespace bench {

/// A way to the server, in the terms of any library.
struct Transport {
  std::string name;
  std::string unix_socket{};  ///< when set, there is no port
  std::uint16_t port = 0;     ///< of 127.0.0.1
  std::string authority{};    ///< PEM file; when set, the port speaks TLS

  [[nodiscard]] bool is_tls() const { return !authority.empty(); }

  /// As all clients write it. What to trust is not in it: each client says that in its own way.
  [[nodiscard]] std::string url() const {
    if (!unix_socket.empty()) return "unix://" + unix_socket;
    return (is_tls() ? "rediss://127.0.0.1:" : "redis://127.0.0.1:") + std::to_string(port);
  }
};

}  // namespace bench
