#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "bare.hpp"
#include "client/library.hpp"
#include "client/transport.hpp"

namespace bench {

inline Bare connect_bare(Transport const& to) {
  if (!to.unix_socket.empty()) return Bare::over_unix(to.unix_socket);
  return to.is_tls() ? Bare::over_tls(to.port, to.authority) : Bare::over_tcp(to.port);
}

/// hiredis alone, a connection for each caller: what one machine and one server allow.
class BareConnections final : public Library {
 public:
  BareConnections(Transport const& to, int callers) {
    for (int i = 0; i < callers; ++i) connections_.push_back(connect_bare(to));
  }

  void set(int caller, std::string const& key, std::string const& value) override {
    of(caller).command("SET", key, value);
  }
  void get(int caller, std::string const& key) override { of(caller).command("GET", key); }

 private:
  Bare& of(int caller) { return connections_[static_cast<std::size_t>(caller)]; }

  std::vector<Bare> connections_{};
};

}  // namespace bench
