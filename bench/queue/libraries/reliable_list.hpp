#pragma once

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "bare.hpp"
#include "queue/library.hpp"

namespace bench::queue {

/// The classic reliable list by hiredis alone: LPUSH, BLMOVE to a list of the worker's own, LREM from
/// there. What a dead worker leaves in its list somebody has to look for; nobody does here. Several
/// are as many of the same commands in one write, and LMOVE, which does not wait.
class ReliableList final : public Library {
 public:
  explicit ReliableList(Task const& task)
      : connection_{Bare::over_unix(task.socket)},
        queue_{task.queue},
        own_{fmt::format("{}:{}", task.queue, ::getpid())} {}

  [[nodiscard]] std::string text() const override {
    return "LPUSH, BLMOVE, LREM by hiredis, a list for each worker; several in one write";
  }
  void push(std::string const& job, int count) override {
    for (int i = 0; i < count; ++i) connection_.append("LPUSH", queue_, job);
    for (int i = 0; i < count; ++i) connection_.next();
  }
  std::vector<std::string> take(int most, std::chrono::milliseconds wait) override {
    taken_.clear();
    if (most == 1) {
      auto const seconds = fmt::format("{:.3f}", static_cast<double>(wait.count()) / 1000);
      note(connection_.command("BLMOVE", queue_, own_, "RIGHT", "LEFT", seconds));
    } else {
      for (int i = 0; i < most; ++i) connection_.append("LMOVE", queue_, own_, "RIGHT", "LEFT");
      for (int i = 0; i < most; ++i) note(connection_.next());
    }
    return taken_;
  }
  void finish() override {
    for (auto const& job : taken_) connection_.append("LREM", own_, "1", job);
    for (std::size_t i = 0; i < taken_.size(); ++i) {
      if (connection_.next()->integer != 1) throw std::runtime_error{"a job is another's"};
    }
  }

 private:
  void note(Bare::Reply const& reply) {
    if (reply->type == REDIS_REPLY_STRING) taken_.emplace_back(reply->str, reply->len);
  }

  Bare connection_;
  std::string queue_;
  std::string own_;
  std::vector<std::string> taken_{};
};

}  // namespace bench::queue
