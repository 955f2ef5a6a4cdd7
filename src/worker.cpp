#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include <tandem/core/workforce.hpp>

#include "core/backoff.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds longest_pause = std::chrono::hours{24} * 7;
constexpr std::size_t most_threads = 10'000;
constexpr unsigned enough_doublings = 40;  // from the shortest pause there may be to the longest

/// Until then, or until a stop is requested.
void sleep(milliseconds time, std::stop_token const& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock{mutex};
  (void)never.wait_for(lock, stop, time, [] { return false; });
}

}  // namespace

Workforce::Workforce(std::shared_ptr<JobQueue const> queue, std::size_t threads,
                     WorkOptions options)
    : queue_{std::move(queue)}, threads_{threads}, options_{options} {
  auto const refuse = [this](auto const& what) {
    throw std::invalid_argument{
        fmt::format("tandem: a worker of {}: {}", queue_->in_words(), what)};
  };
  if (threads < 1 || threads > most_threads)
    refuse(fmt::format("{} threads; accepted are 1 to {}", threads, most_threads));
  if (options.shortest_pause < milliseconds{1} || options.shortest_pause > options.longest_pause ||
      options.longest_pause > longest_pause) {
    refuse(fmt::format("pauses are {} and {} ms; accepted are 1 to {}, the shortest first",
                       options.shortest_pause.count(), options.longest_pause.count(),
                       longest_pause.count()));
  }
}

void Workforce::run(std::function<void(std::stop_token const&)> const& do_one,
                    std::stop_token stop) {
  std::stop_source all;
  std::stop_callback const told{stop, [&all] { all.request_stop(); }};
  std::vector<std::jthread> others;
  others.reserve(threads_ - 1);
  try {
    while (others.size() + 1 < threads_)
      others.emplace_back([&, token = all.get_token()] { work(do_one, token); });
  } catch (...) {
    all.request_stop();
    throw;
  }
  work(do_one, all.get_token());
}

void Workforce::work(std::function<void(std::stop_token const&)> const& do_one,
                     std::stop_token const& stop) const {
  auto const fresh = [] { return Backoff{milliseconds{10}, milliseconds{1000}}; };
  auto backoff = fresh();
  while (!stop.stop_requested()) {
    try {
      do_one(stop);
      backoff = fresh();
      continue;
    } catch (Error const& fault) {
      queue_->client().options().report(fault);
    } catch (std::exception const& fault) {
      queue_->client().options().report(
          Error{fmt::format("tandem: a worker of {}: {}", queue_->in_words(), fault.what())});
    }
    sleep(std::chrono::ceil<milliseconds>(backoff.pause()), stop);
  }
}

void Workforce::given_back(JobQueue::GivenBack how) noexcept {
  if (how == JobQueue::GivenBack::again) ++retried_;
  if (how == JobQueue::GivenBack::dead) ++dead_;
  if (how == JobQueue::GivenBack::not_ours) ++lost_;
}

milliseconds Workforce::pause_after(unsigned deliveries) const {
  Backoff backoff{options_.shortest_pause, options_.longest_pause};
  auto pause = backoff.pause();
  for (unsigned i = 1; i < std::min(deliveries, enough_doublings); ++i) pause = backoff.pause();
  return std::chrono::ceil<milliseconds>(pause);
}

WorkProgress Workforce::progress() const noexcept {
  return {running_, done_, retried_, dead_, lost_};
}

}  // namespace tandem::detail
