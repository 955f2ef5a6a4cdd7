#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/core/codec.hpp>
#include <tandem/core/job_queue.hpp>

namespace tandem {

template <class T>
class Queue;
template <class T>
class Worker;

/// What a worker was given to do, and the right to say what became of it.
///
/// Say one of `ack`, `retry_after`, `reject`, once; whatever is said later does nothing and answers
/// false. When nothing is said, because the worker died or left its scope, the job is given to
/// another when its visibility ends.
///
/// Cost:    1 command each; the destructor none.
/// Errors:  Unreachable, ServerError: nothing was said, it may be said again. InDoubt: it may have
///          happened, and nothing more can be said (ack and extend are asked again by themselves).
/// Threads: one at a time. It may be moved to another, and outlive the Queue.
template <class T>
class Job {
 public:
  Job(Job&&) noexcept = default;
  Job& operator=(Job&&) noexcept = default;
  Job(Job const&) = delete;
  Job& operator=(Job const&) = delete;
  ~Job() = default;

  [[nodiscard]] T& value() noexcept { return value_; }
  [[nodiscard]] T const& value() const noexcept { return value_; }
  /// That of its push; else one that the queue gave it. The same at each delivery.
  [[nodiscard]] std::string const& id() const noexcept { return given_.id; }
  /// Which delivery of the job this is: 1 is the first.
  [[nodiscard]] unsigned delivery() const noexcept { return given_.delivery; }
  /// By the server's clock.
  [[nodiscard]] std::chrono::sys_time<std::chrono::milliseconds> pushed_at() const noexcept {
    return given_.pushed_at;
  }

  /// The job is done. True: it is given to nobody any more, unless it had become a dead letter before,
  /// and is requeued. False: its visibility had ended before, and another has it; or the server has
  /// lost its data.
  bool ack() {
    if (settled_) return false;
    return settle([this]() -> bool {  // not the vector's proxy
      std::string_view const tickets[] = {given_.ticket};
      return queue_->acknowledge(tickets)[0];
    });
  }

  /// The job is to be tried again, by anybody, after so long: to 36,500 days. After
  /// QueueOptions::max_deliveries it is a dead letter instead, with `why` as its error. False: it was
  /// not ours any more.
  bool retry_after(std::chrono::milliseconds delay, std::string_view why = "retried too often") {
    return give_back(delay, why) != detail::JobQueue::GivenBack::not_ours;
  }

  /// The job is a dead letter, with `why` as its error. False: it was not ours any more.
  bool reject(std::string_view why) {
    if (settled_) return false;
    return settle([&] { return queue_->reject(given_.ticket, why); }) !=
           detail::JobQueue::GivenBack::not_ours;
  }

  /// It stays ours for a whole QueueOptions::visibility from now on. False: it is not ours any more;
  /// stop.
  bool extend() { return !settled_ && queue_->extend(given_.ticket); }

  /// Whether it was said what became of it.
  [[nodiscard]] bool is_settled() const noexcept { return settled_; }

  /// Whether it is known to be another's. Only with QueueOptions::auto_extend; without a command.
  [[nodiscard]] bool is_lost() const noexcept { return detail::JobQueue::is_lost(given_); }

 private:
  friend class Queue<T>;
  friend class Worker<T>;
  Job(std::shared_ptr<detail::JobQueue const> queue, detail::GivenJob given, T value)
      : queue_{std::move(queue)}, given_{std::move(given)}, value_{std::move(value)} {}

  detail::JobQueue::GivenBack give_back(std::chrono::milliseconds delay, std::string_view why) {
    if (settled_) return detail::JobQueue::GivenBack::not_ours;
    return settle([&] { return queue_->give_back(given_.ticket, delay, why); });
  }

  template <class Say>
  auto settle(Say&& say) {
    settled_ = true;
    auto lease = std::exchange(given_.lease, nullptr);
    try {
      return say();
    } catch (InDoubt const&) {
      throw;
    } catch (...) {
      unsettle(std::move(lease));
      throw;
    }
  }
  void unsettle(std::shared_ptr<detail::JobLease> lease) noexcept {
    settled_ = false;
    given_.lease = std::move(lease);
  }

  std::shared_ptr<detail::JobQueue const> queue_;
  detail::GivenJob given_;
  T value_;
  bool settled_ = false;
};

/// A job that nobody could do.
template <class T>
struct DeadLetter {
  std::string id;     ///< among the dead letters
  std::string error;  ///< why, as its last worker said, or the queue
  unsigned deliveries = 0;
  std::string job_id;  ///< of its push, where that had one
  std::chrono::sys_time<std::chrono::milliseconds> pushed_at{};
  std::chrono::sys_time<std::chrono::milliseconds> died_at{};
  std::optional<T> value{};  ///< none where the bytes are no T
  std::string bytes;
};

/// Jobs that one process puts there and any other does: each at least once, and one that is
/// acknowledged never again.
///
///     tandem::Queue<Order> orders{redis, "orders", {.visibility = 30s, .max_deliveries = 5}};
///     orders.push(order);
///     if (auto job = orders.pop(1s)) {
///       work(job->value());
///       job->ack();
///     }
///
/// Guarantee: a job whose push returned is given to a worker, and again to another whenever its
/// visibility ends without a word, until it is acknowledged or a dead letter; a server that keeps its
/// data keeps it. Jobs of one priority are given out in the order in which they were pushed. Who waits
/// is woken by the server, with the job in the message.
///
/// Not promised: exactly once. A worker that is late, or whose acknowledgement was lost with the
/// server, shares the job with another: make work harmless twice, or give it a `Job::id()` to know it
/// by. The order, where several work or a job is tried again. That InDoubt of a push means one thing
/// or the other: give it an id, which makes the push one that is asked again by itself.
///
/// Bytes that are no T become a dead letter when they are popped, with the error in it; the next job
/// takes their place, and Options::on_error is told.
///
/// Shape:   stream `<name>`, streams `{<name>}:high` and `{<name>}:low`, their group `workers`; an
///          entry has `job` = `Codec<T>`, maybe `id` and `at`. Others may XADD such entries: they are
///          noticed within 5 s, at once by who has just finished another. Beside them, in their slot:
///          `:delayed`, `:taken`, `:waiters`, `:blocked` (sorted sets), `:dead` (a stream), `:state` (a
///          hash), and `:id:<id>` for each id. src/lua/queue/jobs.lua says what is in them. None but
///          the last expires.
/// Cost:    push, pop and ack: 1 command each, so 3 for each job; of many at once 3 for all of them.
///          Who waits: 1 command at its beginning (2 by the first one of a client), 1 for each 5 s (or
///          visibility, but not more than 1 a second), 1 when something falls due, 1 when it gives
///          up; 1 for each job of more than 64 KiB, which is not sent with the message. A client
///          that waits has one more connection, and a thread.
/// Errors:  std::invalid_argument for an empty name or options out of range. QueueFull. Unreachable;
///          InDoubt (of a pop: jobs may have been given to nobody, they come again when their
///          visibility ends); ServerError, whose code is WRONGTYPE where the key is no stream, and
///          NOPERM where who waits may not subscribe to `tandem:*`. Who may not publish there wakes
///          nobody.
/// Threads: safe from several; copies are cheap and are the same queue.
/// Source:  src/lua/queue/; docs/messages.md. Redis documentation, "Streams", "Consumer groups".
///
/// See examples/queue.cpp; `Worker` is a process's main loop.
template <class T>
class Queue {
  static_assert(Encodable<T> && Decodable<T>,
                "the job has no tandem::Codec that writes and reads it: specialise "
                "tandem::Codec<T>, see <tandem/core/codec.hpp>");

 public:
  static constexpr std::size_t most_at_once = detail::JobQueue::most_at_once;

  /// No I/O yet.
  Queue(Client client, std::string name, QueueOptions options = {})
      : queue_{std::make_shared<detail::JobQueue const>(std::move(client), std::move(name),
                                                        options)} {}

  [[nodiscard]] std::string const& name() const noexcept { return queue_->name(); }

  /// Puts a job there. False only where another push with that id has done so, within
  /// QueueOptions::id_window.
  ///
  /// Errors:  QueueFull; InDoubt, but not with an id.
  bool push(T const& job, PushOptions const& options = {}) {
    std::string const bytes[] = {std::string{Codec<T>::encode(job)}};
    return queue_->push(bytes, options);
  }

  /// Puts all of them there, or none; one behind the other. Up to most_at_once, and no id.
  void push_many(std::span<T const> jobs, PushOptions const& options = {}) {
    std::vector<std::string> bytes;
    bytes.reserve(jobs.size());
    for (auto const& job : jobs) bytes.emplace_back(Codec<T>::encode(job));
    (void)queue_->push(bytes, options);
  }

  /// The next job, if there is one. The server has Options::command_timeout to say so.
  [[nodiscard]] std::optional<Job<T>> try_pop() { return pop_until(Deadline{}, {}); }
  /// The next job; waits so long for it. InDoubt when the server's answer takes longer than that.
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Job<T>> pop(std::chrono::duration<Rep, Period> wait,
                                          std::stop_token stop = {}) {
    return pop_until(detail::deadline_in(wait), std::move(stop));
  }
  /// The next job; waits until there is one, or until it is told to stop.
  [[nodiscard]] std::optional<Job<T>> pop(std::stop_token stop) {
    return pop_until(Deadline::max(), std::move(stop));
  }

  /// Up to `most` jobs, from 1 to most_at_once: as many as there are, once there is one. 1 command more
  /// where it had to wait.
  template <class Rep, class Period>
  [[nodiscard]] std::vector<Job<T>> pop_many(std::size_t most,
                                             std::chrono::duration<Rep, Period> wait,
                                             std::stop_token stop = {}) {
    return pop_many_until(most, detail::deadline_in(wait), std::move(stop));
  }

  /// All of them are done: as Job::ack, by one command. How many were.
  std::size_t ack(std::span<Job<T>> jobs) {
    std::vector<Job<T>*> open;
    std::vector<std::string_view> tickets;
    for (auto& job : jobs) {
      if (job.settled_) continue;
      open.push_back(&job);
      tickets.push_back(job.given_.ticket);
    }
    auto const done = queue_->acknowledge(tickets);
    for (auto* const job : open) job->settle([] {});
    return static_cast<std::size_t>(std::count(done.begin(), done.end(), true));
  }

  /// The oldest dead letters, up to `most`; those after the one with that id.
  [[nodiscard]] std::vector<DeadLetter<T>> dead_letters(std::size_t most = 100,
                                                        std::string_view after = {}) const {
    std::vector<DeadLetter<T>> out;
    for (auto& each : queue_->dead_jobs(after, most)) {
      DeadLetter<T> letter{
          std::move(each.id), std::move(each.error), each.deliveries, std::move(each.given_id),
          each.pushed_at,     each.died_at,          std::nullopt,    std::move(each.bytes)};
      try {
        letter.value.emplace(Codec<T>::decode(letter.bytes));
      } catch (CodecError const&) {
        // That is why it is here.
      }
      out.push_back(std::move(letter));
    }
    return out;
  }
  /// Makes jobs of the dead letters with these ids (up to most_at_once), as if they had never been
  /// given to anybody; QueueOptions::most does not keep them out. How many there were.
  std::size_t requeue(std::span<std::string const> dead_letters) {
    return queue_->requeue(dead_letters);
  }
  /// Removes them for ever. How many there were.
  std::size_t purge(std::span<std::string const> dead_letters) {
    return queue_->purge(dead_letters);
  }

  /// Gives out no job any more, to whomever, until resume(). What workers have they may finish. False:
  /// it was so already.
  bool pause() { return queue_->pause(true); }
  bool resume() { return queue_->pause(false); }

  /// Waits until no job is left that is not done: none ready, delayed or taken. False when there is
  /// one at the end of the wait.
  template <class Rep, class Period>
  [[nodiscard]] bool drain(std::chrono::duration<Rep, Period> wait, std::stop_token stop = {}) {
    return queue_->drain(detail::deadline_in(wait), stop);
  }

  /// What is there now. Cost: 1 command.
  [[nodiscard]] QueueState state() const { return queue_->state(); }
  /// All jobs that are not done.
  [[nodiscard]] std::size_t depth() const { return state().depth(); }

 private:
  friend class Worker<T>;
  [[nodiscard]] std::shared_ptr<detail::JobQueue const> const& bytes() const noexcept {
    return queue_;
  }

  [[nodiscard]] std::optional<Job<T>> pop_until(Deadline deadline, std::stop_token stop) {
    auto jobs = pop_many_until(1, deadline, std::move(stop));
    if (jobs.empty()) return std::nullopt;
    return std::move(jobs.front());
  }

  [[nodiscard]] std::vector<Job<T>> pop_many_until(std::size_t most, Deadline deadline,
                                                   std::stop_token stop) {
    std::vector<Job<T>> out;
    for (;;) {
      auto given = queue_->pop(most, deadline, stop);
      bool const nothing = given.empty();
      for (auto& each : given) {
        try {
          T value = Codec<T>::decode(each.bytes);
          each.bytes.clear();
          out.push_back(Job<T>{queue_, std::move(each), std::move(value)});
        } catch (CodecError const& error) {
          queue_->refuse(each, error);
        }
      }
      if (nothing || !out.empty()) return out;
    }
  }

  std::shared_ptr<detail::JobQueue const> queue_;
};

}  // namespace tandem
