#pragma once

// Included only where CMake has found redis++.

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include <sw/redis++/redis++.h>

#include "map/library.hpp"

namespace bench::map {

/// HGET and HSET by one `sw::redis::Redis`, whose pool has a connection for each caller.
class RedisPlusPlusMap final : public Library {
 public:
  explicit RedisPlusPlusMap(Task const& task) : redis_{server(task), pool(task)}, map_{task.map} {}

  [[nodiscard]] std::string text() const override {
    return "HGET, HSET, and WATCH HGET, MULTI HSET EXEC by redis++ " TANDEM_BENCH_REDIS_PLUS_PLUS
           ", a pool of connections";
  }
  std::int64_t get(int /*caller*/, std::string const& field) override {
    auto const value = redis_.hget(map_, field);
    if (!value) throw std::runtime_error{"there is no " + field};
    return std::stoll(*value);
  }
  void set(int /*caller*/, std::string const& field, std::int64_t value) override {
    (void)redis_.hset(map_, field, std::to_string(value));
  }
  void update(int /*caller*/, std::string const& field) override {
    for (;;) {
      try {
        auto transaction = redis_.transaction(false, false);
        auto own = transaction.redis();
        own.watch(map_);
        auto const value = own.hget(map_, field);
        transaction.hset(map_, field, std::to_string((value ? std::stoll(*value) : 0) + 1)).exec();
        return;
      } catch (sw::redis::WatchError const&) {
        continue;
      }
    }
  }

 private:
  static sw::redis::ConnectionOptions server(Task const& task) {
    sw::redis::ConnectionOptions out;
    out.type = sw::redis::ConnectionType::UNIX;
    out.path = task.socket;
    return out;
  }
  static sw::redis::ConnectionPoolOptions pool(Task const& task) {
    sw::redis::ConnectionPoolOptions out;
    out.size = static_cast<std::size_t>(task.callers);
    return out;
  }

  sw::redis::Redis redis_;
  std::string map_;
};

}  // namespace bench::map
