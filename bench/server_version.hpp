#pragma once

#include <string>

#include <tandem/core/connection.hpp>

namespace bench {

inline std::string server_version(std::string const& url) {
  auto const info = tandem::Connection{url}.command("INFO", "server").as<std::string>();
  std::string const name = "redis_version:";
  auto const begin = info.find(name) + name.size();
  return "redis-server " + info.substr(begin, info.find('\r', begin) - begin);
}

}  // namespace bench
