#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "bare.hpp"
#include "map/library.hpp"

namespace bench::map {

/// HGET and HSET by hiredis alone, over a connection for each caller: the limit of any map that
/// asks the server. An update watches the map and reads in one write, and stores in a transaction in
/// another one.
class BareMap final : public Library {
 public:
  explicit BareMap(Task const& task) : map_{task.map} {
    for (int i = 0; i < task.callers; ++i) connections_.push_back(Bare::over_unix(task.socket));
  }

  [[nodiscard]] std::string text() const override {
    return "HGET, HSET, and WATCH HGET, MULTI HSET EXEC in two writes, by hiredis, a connection "
           "for "
           "each caller";
  }
  std::int64_t get(int caller, std::string const& field) override {
    auto const reply = of(caller).command("HGET", map_, field);
    if (reply->type != REDIS_REPLY_STRING) throw std::runtime_error{"there is no " + field};
    return std::strtoll(reply->str, nullptr, 10);
  }
  void set(int caller, std::string const& field, std::int64_t value) override {
    of(caller).command("HSET", map_, field, std::to_string(value));
  }
  void update(int caller, std::string const& field) override {
    while (!try_to_update(of(caller), field)) {
    }
  }

 private:
  Bare& of(int caller) { return connections_[static_cast<std::size_t>(caller)]; }

  [[nodiscard]] bool try_to_update(Bare& server, std::string const& field) const {
    server.append("WATCH", map_);
    server.append("HGET", map_, field);
    server.next();
    auto const known = server.next();
    auto const value =
        known->type == REDIS_REPLY_STRING ? std::strtoll(known->str, nullptr, 10) : 0;
    server.append("MULTI");
    server.append("HSET", map_, field, std::to_string(value + 1));
    server.append("EXEC");
    server.next();
    server.next();
    auto const done = server.next();
    if (done->type == REDIS_REPLY_NIL) return false;
    if (done->element[0]->type == REDIS_REPLY_ERROR)
      throw std::runtime_error{done->element[0]->str};
    return true;
  }

  std::string map_;
  std::vector<Bare> connections_{};
};

}  // namespace bench::map
