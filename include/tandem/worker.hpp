#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include <tandem/core/workforce.hpp>
#include <tandem/queue.hpp>

namespace tandem {

/// A process's main loop: threads that take jobs from a queue and do them, until they are stopped.
///
///     tandem::Worker<Order> worker{orders, 8, [](tandem::Job<Order>& job) { work(job.value()); }};
///     worker.run(stop);
///
/// The handler is called on one of the threads for each job. When it returns the job is acknowledged,
/// unless the handler has said itself what became of it. When it throws, the job is tried again, by
/// anybody, after a pause that grows with its deliveries (WorkOptions); the exception's text is the
/// error of the dead letter that it may become.
///
/// Once a stop is requested no other job is taken; `run` returns when the handlers that are at work
/// have returned. While the server is away the threads go on trying, and Options::on_error is told.
///
/// Cost:    as Queue: 2 commands for each job, none for who waits but one each 5 s. One thread each,
///          the caller's among them.
/// Errors:  std::invalid_argument for no thread, or options out of range. run: std::system_error when
///          there can be no thread; what went wrong with a job is in progress(), what went wrong with
///          the server is told to Options::on_error.
/// Threads: run by one at a time; progress from any. Take QueueOptions::auto_extend for jobs that may
///          take longer than their visibility.
///
/// See examples/queue.cpp.
template <class T>
class Worker {
 public:
  using Handler = std::function<void(Job<T>&)>;

  Worker(Queue<T> queue, std::size_t threads, Handler handler, WorkOptions options = {})
      : queue_{std::move(queue)},
        handler_{std::move(handler)},
        force_{std::make_unique<detail::Workforce>(queue_.bytes(), threads, options)} {}

  /// Works until then.
  void run(std::stop_token stop) {
    force_->run([this](std::stop_token const& told) { do_one(told); }, std::move(stop));
  }

  [[nodiscard]] WorkProgress progress() const noexcept { return force_->progress(); }

 private:
  void do_one(std::stop_token const& stop) {
    auto job = queue_.pop(stop);
    if (!job) return;
    auto const working = force_->begin();
    try {
      handler_(*job);
    } catch (std::exception const& fault) {
      return give_back(*job, fault.what());
    } catch (...) {
      return give_back(*job, "an exception of unknown type");
    }
    if (job->is_settled() || job->ack()) {
      force_->done();
    } else {
      force_->lost();
    }
  }

  void give_back(Job<T>& job, char const* why) {
    if (job.is_settled()) return force_->done();
    force_->given_back(job.give_back(force_->pause_after(job.delivery()), why));
  }

  Queue<T> queue_;
  Handler handler_;
  std::unique_ptr<detail::Workforce> force_;
};

}  // namespace tandem
