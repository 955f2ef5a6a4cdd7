#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bare.hpp"
#include "counter/library.hpp"

namespace bench::counter {

/// INCRBY by hiredis alone, over a connection for each caller: the limit of any add that waits until
/// it is counted. With several at once they are one write, and the caller waits for all replies.
class BareCounter final : public Library {
 public:
  BareCounter(Task const& task, int at_once) : key_{task.key()}, at_once_{at_once} {
    for (int i = 0; i < task.callers; ++i) connections_.push_back(Bare::over_unix(task.socket));
  }

  [[nodiscard]] std::string text() const override {
    return fmt::format("INCRBY by hiredis{}, a connection for each caller",
                       at_once_ == 1 ? "" : fmt::format(", {} in a pipeline", at_once_));
  }
  [[nodiscard]] int adds_at_once() const override { return at_once_; }
  void add(int caller) override {
    auto& connection = connections_[static_cast<std::size_t>(caller)];
    for (int i = 0; i < at_once_; ++i) connection.append("INCRBY", key_, "1");
    for (int i = 0; i < at_once_; ++i) connection.next();
  }

 private:
  std::string key_;
  int at_once_;
  std::vector<Bare> connections_{};
};

}  // namespace bench::counter
