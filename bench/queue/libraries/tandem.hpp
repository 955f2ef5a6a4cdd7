#pragma once

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/queue.hpp>

#include "queue/library.hpp"

namespace bench::queue {

/// `tandem::Queue` as its defaults are.
class TandemQueue final : public Library {
 public:
  explicit TandemQueue(Task const& task)
      : queue_{tandem::Client{"unix://" + task.socket}, task.queue} {}

  [[nodiscard]] std::string text() const override {
    return "tandem::Queue, one tandem::Client for each process";
  }
  void push(std::string const& job, int count) override {
    if (count == 1) {
      queue_.push(job);
    } else {
      queue_.push_many(std::vector<std::string>(static_cast<std::size_t>(count), job));
    }
  }
  std::vector<std::string> take(int most, std::chrono::milliseconds wait) override {
    jobs_.clear();
    if (most > 1) {
      jobs_ = queue_.pop_many(static_cast<std::size_t>(most), wait);
    } else if (auto job = queue_.pop(wait)) {
      jobs_.push_back(std::move(*job));
    }
    std::vector<std::string> out;
    for (auto& job : jobs_) out.push_back(std::move(job.value()));
    return out;
  }
  void finish() override {
    auto const done =
        jobs_.size() == 1 ? std::size_t{jobs_.front().ack()} : queue_.ack(std::span{jobs_});
    if (done != jobs_.size()) throw std::runtime_error{"a job is another's"};
  }

 private:
  tandem::Queue<std::string> queue_;
  std::vector<tandem::Job<std::string>> jobs_{};
};

}  // namespace bench::queue
