#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "bare.hpp"
#include "lock/library.hpp"

namespace bench::lock {

/// The lock that most programs begin with (docs/locks.md tells its faults): SETNX, then EXPIRE;
/// who loses looks whether there is a TTL, sleeps a millisecond and asks again; DEL.
class Classic final : public Library {
 public:
  explicit Classic(Task const& task)
      : name_{task.name},
        lease_{std::to_string(std::chrono::ceil<std::chrono::seconds>(task.lease).count())} {
    for (int i = 0; i < task.callers; ++i) connections_.push_back(Bare::over_unix(task.socket));
  }

  [[nodiscard]] std::string text() const override {
    return "SETNX, EXPIRE, DEL by hiredis, a try each millisecond, a connection for each caller";
  }
  void acquire(int caller) override {
    auto& server = of(caller);
    while (server.command("SETNX", name_, "1")->integer != 1) {
      if (server.command("TTL", name_)->integer == -1) server.command("EXPIRE", name_, lease_);
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    server.command("EXPIRE", name_, lease_);
  }
  void release(int caller) override { of(caller).command("DEL", name_); }

 private:
  Bare& of(int caller) { return connections_[static_cast<std::size_t>(caller)]; }

  std::string name_;
  std::string lease_;  // whole seconds
  std::vector<Bare> connections_{};
};

}  // namespace bench::lock
