#pragma once

// Included only where CMake has found redis++.

#include <cstddef>
#include <string>

#include <sw/redis++/redis++.h>

#include "client/library.hpp"
#include "client/transport.hpp"

namespace bench {

/// One `sw::redis::Redis` for all callers, whose pool has a connection for each: its default, one,
/// would make the others wait for it.
class RedisPlusPlus final : public Library {
 public:
  RedisPlusPlus(Transport const& to, int callers) : redis_{connection(to), pool(callers)} {}

  void set(int /*caller*/, std::string const& key, std::string const& value) override {
    redis_.set(key, value);
  }
  void get(int /*caller*/, std::string const& key) override { (void)redis_.get(key); }

  /// Whether redis++ was built with TLS: its options have no such fields otherwise.
  template <class Options = sw::redis::ConnectionOptions>
  static constexpr bool has_tls() {
    return requires(Options options) { options.tls.cacert; };
  }

 private:
  template <class Options = sw::redis::ConnectionOptions>
  static Options connection(Transport const& to) {
    Options out;
    if (!to.unix_socket.empty()) {
      out.type = sw::redis::ConnectionType::UNIX;
      out.path = to.unix_socket;
    } else {
      out.host = "127.0.0.1";
      out.port = to.port;
    }
    if constexpr (has_tls<Options>()) {
      out.tls.enabled = to.is_tls();
      out.tls.cacert = to.authority;
    }
    return out;
  }
  static sw::redis::ConnectionPoolOptions pool(int callers) {
    sw::redis::ConnectionPoolOptions out;
    out.size = static_cast<std::size_t>(callers);
    return out;
  }

  sw::redis::Redis redis_;
};

}  // namespace bench
