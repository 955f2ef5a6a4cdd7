#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>

#include <tandem/core/job_queue.hpp>

namespace tandem {

/// How soon a job is tried again after its handler threw: after `shortest_pause` the first time, twice
/// as long each time after that, but never longer than `longest_pause`; a random half of each is left
/// out, so that what failed together does not come back together. From 1 ms to 7 days.
struct WorkOptions {
  std::chrono::milliseconds shortest_pause{1'000};
  std::chrono::milliseconds longest_pause{300'000};
};

/// What has become of the jobs of a Worker so far.
struct WorkProgress {
  std::size_t running = 0;  ///< handlers at work now
  std::size_t done = 0;     ///< acknowledged, or settled by the handler
  std::size_t retried = 0;  ///< given back after the handler threw
  std::size_t dead = 0;     ///< the same, for the last time
  std::size_t lost =
      0;  ///< whose visibility ended while they were worked on, so that others had them
};

namespace detail {

/// The threads of a Worker, and what they count.
class Workforce {
 public:
  Workforce(std::shared_ptr<JobQueue const> queue, std::size_t threads, WorkOptions options);

  /// Calls `do_one` again and again on each thread until a stop is requested. What it throws is
  /// reported, and followed by a pause.
  void run(std::function<void(std::stop_token const&)> const& do_one, std::stop_token stop);

  /// One handler is at work as long as this lives.
  class [[nodiscard]] Working {
   public:
    explicit Working(std::atomic<std::size_t>& count) : count_{count} { ++count_; }
    ~Working() { --count_; }
    Working(Working const&) = delete;
    Working& operator=(Working const&) = delete;

   private:
    std::atomic<std::size_t>& count_;
  };
  Working begin() { return Working{running_}; }
  void done() noexcept { ++done_; }
  void lost() noexcept { ++lost_; }
  void given_back(JobQueue::GivenBack how) noexcept;
  [[nodiscard]] std::chrono::milliseconds pause_after(unsigned deliveries) const;

  [[nodiscard]] WorkProgress progress() const noexcept;

 private:
  void work(std::function<void(std::stop_token const&)> const& do_one,
            std::stop_token const& stop) const;

  std::shared_ptr<JobQueue const> queue_;
  std::size_t threads_;
  WorkOptions options_;
  std::atomic<std::size_t> running_ = 0;
  std::atomic<std::size_t> done_ = 0;
  std::atomic<std::size_t> retried_ = 0;
  std::atomic<std::size_t> dead_ = 0;
  std::atomic<std::size_t> lost_ = 0;
};

}  // namespace detail
}  // namespace tandem
