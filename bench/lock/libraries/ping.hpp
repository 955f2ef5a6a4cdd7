#pragma once

#include <string>

#include "bare.hpp"
#include "lock/library.hpp"

namespace bench::lock {

/// No lock at all: a PING for an acquisition, nothing for a release. It is what a bare round trip
/// takes, which hand-offs are measured in.
class Ping final : public Library {
 public:
  explicit Ping(Task const& task) : connection_{Bare::over_unix(task.socket)} {}

  [[nodiscard]] std::string text() const override { return "PING by hiredis"; }
  void acquire(int /*caller*/) override { connection_.command("PING"); }
  void release(int /*caller*/) override {}

 private:
  Bare connection_;
};

}  // namespace bench::lock
