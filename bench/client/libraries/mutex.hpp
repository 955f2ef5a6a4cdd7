#pragma once

#include <mutex>
#include <string>

#include "client/libraries/bare.hpp"
#include "client/library.hpp"
#include "client/transport.hpp"

namespace bench {

/// A mutex around one hiredis connection: what a program does that has one connection and threads.
class MutexAroundBare final : public Library {
 public:
  explicit MutexAroundBare(Transport const& to) : connection_{connect_bare(to)} {}

  void set(int /*caller*/, std::string const& key, std::string const& value) override {
    std::lock_guard const guard{mutex_};
    connection_.command("SET", key, value);
  }
  void get(int /*caller*/, std::string const& key) override {
    std::lock_guard const guard{mutex_};
    connection_.command("GET", key);
  }

 private:
  std::mutex mutex_{};
  Bare connection_;  // guarded by mutex_
};

}  // namespace bench
