#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/contender.hpp"
#include "client/library.hpp"
#include "client/workload.hpp"

namespace bench {

/// A C++ library with a thread of this process for each caller.
class Crowd final : public Contender {
 public:
  Crowd(std::unique_ptr<Library> library, int size)
      : library_{std::move(library)}, callers_(static_cast<std::size_t>(size)) {
    for (int i = 0; i < size; ++i) threads_.emplace_back([this, i] { live(i); });
  }
  ~Crowd() override {
    over_ = true;
    begin_round();
    for (auto& thread : threads_) thread.join();
  }

  Slice run(std::chrono::milliseconds window) override {
    Slice out;
    for (auto& caller : callers_) caller.latencies.clear(), caller.in_window = 0;
    busy_ = static_cast<int>(callers_.size());
    open_ = true;
    auto const usage = Usage::so_far();
    auto const calls = SystemCalls::so_far();
    auto const begin = Clock::now();
    begin_round();
    std::this_thread::sleep_for(window);
    open_ = false;
    out.took = Clock::now() - begin;
    for (int left = busy_; left != 0; left = busy_) busy_.wait(left);
    out.usage = Usage::so_far() - usage;
    out.calls = SystemCalls::so_far() - calls;
    if (fault_) std::rethrow_exception(fault_);
    for (auto const& caller : callers_) {
      out.latencies.insert(out.latencies.end(), caller.latencies.begin(), caller.latencies.end());
      out.in_window += caller.in_window;
    }
    return out;
  }

  Slice run_counted(std::chrono::milliseconds window) override { return run(window); }

 private:
  using Clock = std::chrono::steady_clock;

  struct alignas(64) Caller {
    std::vector<float> latencies{};
    std::int64_t in_window = 0;
  };

  void begin_round() {
    ++round_;
    round_.notify_all();
  }

  void live(int number) {
    for (std::uint32_t seen = 0;; ++seen) {
      round_.wait(seen);
      if (over_) return;
      try {
        speak(number);
      } catch (...) {
        std::lock_guard const guard{mutex_};
        fault_ = std::current_exception();
        open_ = false;
      }
      if (--busy_ == 0) busy_.notify_one();
    }
  }

  void speak(int number) {
    auto& own = callers_[static_cast<std::size_t>(number)];
    auto const key = Workload::key(number);
    auto const value = Workload::value();
    bool reading = false;
    for (auto begin = Clock::now(); open_.load(std::memory_order_relaxed);) {
      if (reading) {
        library_->get(number, key);
      } else {
        library_->set(number, key, value);
      }
      reading = !reading;
      auto const now = Clock::now();
      own.latencies.push_back(std::chrono::duration<float, std::micro>(now - begin).count());
      if (open_.load(std::memory_order_relaxed)) ++own.in_window;
      begin = now;
    }
  }

  std::unique_ptr<Library> library_;
  std::vector<Caller> callers_;
  std::atomic<std::uint32_t> round_ = 0;
  std::atomic<bool> open_ = false;  // the window
  std::atomic<bool> over_ = false;
  std::atomic<int> busy_ = 0;  // callers that have not ended this round
  std::mutex mutex_{};
  std::exception_ptr fault_{};  // guarded by mutex_ while callers are busy
  std::vector<std::thread> threads_{};
};

}  // namespace bench
