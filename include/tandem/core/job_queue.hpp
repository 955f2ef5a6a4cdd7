#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/core/error.hpp>

namespace tandem {

/// How a queue treats its jobs. All who use the same queue should use the same.
struct QueueOptions {
  /// For how long a job is its worker's alone; then, if it was neither acknowledged nor extended, it
  /// is given to another. From 1 ms to 7 days, from 100 ms with auto_extend.
  std::chrono::milliseconds visibility{30'000};
  /// After so many deliveries without an acknowledgement a job is a dead letter. From 1 to 1,000,000.
  unsigned max_deliveries = 5;
  /// Whether a job stays its worker's alone for as long as its `Job` lives and this process runs: it
  /// is extended in the background, each third of its visibility.
  bool auto_extend = false;

  /// So many jobs may be in the queue that are not done; 0: any number. To 4,294,967,295.
  std::size_t most = 0;
  /// For how long a push waits for room in a full queue; 0: it fails at once. To 24 hours.
  std::chrono::milliseconds wait_for_room{10'000};

  /// For how long the id of a push is known, so that no other push with it counts. From
  /// Options::command_timeout to 366 days.
  std::chrono::milliseconds id_window{std::chrono::hours{1}};
};

/// Who is served first.
enum class Priority { high = 1, normal, low };

/// How a job is put into a queue.
struct PushOptions {
  /// The job is given to nobody for so long. To 36,500 days.
  std::chrono::milliseconds delay{0};
  Priority priority = Priority::normal;
  /// Of two pushes with the same one, within QueueOptions::id_window, the second puts nothing there.
  std::string id{};
};

/// What there is in a queue at a moment.
struct QueueState {
  std::size_t ready = 0;         ///< jobs that could be given out now
  std::size_t delayed = 0;       ///< whose delay is not over
  std::size_t taken = 0;         ///< that workers have, or that are to be tried again later
  std::size_t dead_letters = 0;  ///< see Queue::dead_letters
  std::size_t waiting = 0;       ///< pops that wait for a job
  bool paused = false;
  /// How long ago the oldest was pushed of those that stand first in their priority.
  std::optional<std::chrono::milliseconds> age_of_oldest{};

  [[nodiscard]] std::size_t depth() const noexcept { return ready + delayed + taken; }
};

namespace detail {

struct JobLease;
struct QueueKeys;

/// A job as bytes, and who may say what became of it.
struct GivenJob {
  std::string ticket{};
  std::string id{};
  unsigned delivery = 0;
  std::chrono::sys_time<std::chrono::milliseconds> pushed_at{};
  std::string bytes{};
  std::shared_ptr<JobLease> lease{};  // where it is extended in the background
};

/// A job that nobody could do, as bytes.
struct DeadJob {
  std::string id{};  // among the dead letters
  std::string error{};
  unsigned deliveries = 0;
  std::string given_id{};
  std::chrono::sys_time<std::chrono::milliseconds> pushed_at{};
  std::chrono::sys_time<std::chrono::milliseconds> died_at{};
  std::string bytes{};
};

/// A queue, its jobs as bytes. See Queue for what each member promises.
class JobQueue {
 public:
  static constexpr std::size_t most_at_once = 1000;

  JobQueue(Client client, std::string name, QueueOptions options);
  JobQueue(JobQueue const&) = delete;
  JobQueue& operator=(JobQueue const&) = delete;
  ~JobQueue();

  [[nodiscard]] std::string const& name() const noexcept;
  [[nodiscard]] QueueOptions const& options() const noexcept { return options_; }
  [[nodiscard]] std::string in_words() const;
  [[nodiscard]] Client const& client() const noexcept { return client_; }

  [[nodiscard]] bool push(std::span<std::string const> jobs, PushOptions const& options) const;

  [[nodiscard]] std::vector<GivenJob> pop(std::size_t most, Deadline deadline,
                                          std::stop_token const& stop) const;

  [[nodiscard]] std::vector<bool> acknowledge(std::span<std::string_view const> tickets) const;
  [[nodiscard]] bool extend(std::string_view ticket) const;
  enum class GivenBack { not_ours, again, dead };
  [[nodiscard]] GivenBack give_back(std::string_view ticket, std::chrono::milliseconds delay,
                                    std::string_view why) const;
  [[nodiscard]] GivenBack reject(std::string_view ticket, std::string_view why) const;
  /// Its bytes are no job: a dead letter, which Options::on_error is told of.
  void refuse(GivenJob const& job, CodecError const& error) const;
  [[nodiscard]] static bool is_lost(GivenJob const& job) noexcept;

  [[nodiscard]] std::vector<DeadJob> dead_jobs(std::string_view after, std::size_t most) const;
  [[nodiscard]] std::size_t requeue(std::span<std::string const> dead) const;
  [[nodiscard]] std::size_t purge(std::span<std::string const> dead) const;

  [[nodiscard]] bool pause(bool paused) const;
  [[nodiscard]] bool drain(Deadline deadline, std::stop_token const& stop) const;
  [[nodiscard]] QueueState state() const;

 private:
  [[nodiscard]] Reply run(Script const& script, std::span<Argument const> arguments) const;
  [[nodiscard]] Reply run(Script const& script, std::span<Argument const> arguments,
                          Deadline deadline) const;
  [[nodiscard]] Reply run_push(std::span<std::string const> jobs, PushOptions const& options,
                               std::string_view mark, std::string_view token) const;
  [[nodiscard]] std::vector<GivenJob> taken_from(Reply const& reply) const;
  void begin_lease(GivenJob& job) const;

  Client client_;
  QueueOptions options_;
  std::shared_ptr<QueueKeys const> keys_;
};

}  // namespace detail
}  // namespace tandem
