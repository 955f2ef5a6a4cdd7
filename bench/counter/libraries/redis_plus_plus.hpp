#pragma once

// Included only where CMake has found redis++.

#include <cstddef>
#include <string>

#include <sw/redis++/redis++.h>

#include "counter/library.hpp"

namespace bench::counter {

/// INCRBY by one `sw::redis::Redis`, whose pool has a connection for each caller.
class RedisPlusPlusCounter final : public Library {
 public:
  explicit RedisPlusPlusCounter(Task const& task)
      : redis_{server(task), pool(task)}, key_{task.key()} {}

  [[nodiscard]] std::string text() const override {
    return "INCRBY by redis++ " TANDEM_BENCH_REDIS_PLUS_PLUS ", a pool of connections";
  }
  void add(int /*caller*/) override { (void)redis_.incrby(key_, 1); }

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
  std::string key_;
};

}  // namespace bench::counter
