#pragma once

#include <string>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/sockets.hpp"

namespace tandem::support {

/// Takes the place of a server on a Unix socket that is gone, turns away so many who connect, and
/// is gone itself then. False when so many do not come.
inline bool turn_away(std::string const& path, int times) {
  ::unlink(path.c_str());
  auto const listener = listen_on_unix(path);
  for (int i = 0; i < times; ++i) {
    pollfd knock{listener.get(), POLLIN, 0};
    if (::poll(&knock, 1, 20'000) != 1) return false;
    Descriptor const turned_away{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
  }
  ::unlink(path.c_str());
  return true;
}

}  // namespace tandem::support
