#pragma once

// Included only where CMake has found redis++.

#include <cstddef>
#include <deque>
#include <memory>
#include <string>

#include <sw/redis++/patterns/redlock.h>
#include <sw/redis++/redis++.h>

#include "lock/library.hpp"

namespace bench::lock {

/// redis++'s `RedMutex` as its defaults are, one for each caller, over a pool with a connection for
/// each, and with one watcher.
class RedMutexes final : public Library {
 public:
  explicit RedMutexes(Task const& task) {
    sw::redis::ConnectionOptions server;
    server.type = sw::redis::ConnectionType::UNIX;
    server.path = task.socket;
    sw::redis::ConnectionPoolOptions pool;
    pool.size = static_cast<std::size_t>(task.callers) + 1;  // and the watcher's
    auto const redis = std::make_shared<sw::redis::Redis>(server, pool);
    auto const watcher = std::make_shared<sw::redis::LockWatcher>();
    sw::redis::RedMutexOptions options;
    options.ttl = task.lease;
    for (int i = 0; i < task.callers; ++i)
      mutexes_.emplace_back(redis, task.name, nullptr, options, watcher);
  }

  [[nodiscard]] std::string text() const override {
    return "redis++ " TANDEM_BENCH_REDIS_PLUS_PLUS ", RedMutex";
  }
  void acquire(int caller) override { of(caller).lock(); }
  void release(int caller) override { of(caller).unlock(); }

 private:
  sw::redis::RedMutex& of(int caller) { return mutexes_[static_cast<std::size_t>(caller)]; }

  std::deque<sw::redis::RedMutex> mutexes_{};  // they cannot be moved
};

}  // namespace bench::lock
