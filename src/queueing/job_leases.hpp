#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/events.hpp"
#include "queueing/queue_keys.hpp"

namespace tandem::detail {

/// A job that is extended as long as this lives.
struct JobLease {
  JobLease(std::shared_ptr<QueueKeys const> queue, std::string job,
           std::chrono::milliseconds visible_after)
      : keys{std::move(queue)}, ticket{std::move(job)}, visibility{visible_after} {}

  std::shared_ptr<QueueKeys const> const keys;
  std::string const ticket;
  std::chrono::milliseconds const visibility;
  std::atomic<bool> lost = false;  // it was given to another

  // Under the mutex of JobLeases.
  Deadline due{};
  bool is_on_its_way = false;  // an extension
};

/// Extends the jobs of a client that want it, each third of their visibility; those of one queue that
/// are due within the next eighth go together, by one command.
///
/// Threads: keep from any; serve on the event thread.
class JobLeases {
 public:
  explicit JobLeases(Events& events) : events_{events} {}

  void keep(std::shared_ptr<JobLease> const& lease);
  /// Returns when it is due next.
  Deadline serve(Deadline now);

 private:
  using Batch = std::vector<std::shared_ptr<JobLease>>;

  void extend(Batch batch, Deadline now);
  void take_answer(Batch const& batch, ReplyView const* reply);

  Events& events_;
  std::mutex mutex_{};
  std::vector<std::weak_ptr<JobLease>> leases_{};
  Deadline next_due_ = Deadline::max();
};

}  // namespace tandem::detail
