#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "bare.hpp"

namespace bench {

/// Microseconds of processor time that the server has used so far, user and system, of all its
/// threads.
[[nodiscard]] inline double server_microseconds(Bare& server) {
  auto const reply = server.command("INFO", "cpu");
  std::string const info{reply->str, reply->len};
  auto const seconds = [&info](std::string_view name) {
    auto const at = info.find(name);
    if (at == std::string::npos) throw std::runtime_error{"INFO cpu says no " + std::string{name}};
    return std::strtod(info.c_str() + at + name.size(), nullptr);
  };
  return (seconds("\nused_cpu_sys:") + seconds("\nused_cpu_user:")) * 1e6;
}

}  // namespace bench
