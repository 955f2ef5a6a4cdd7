#include <algorithm>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include <tandem/core/job_queue.hpp>

#include "core/core.hpp"
#include "queue_limits.hpp"
#include "queueing/job_leases.hpp"
#include "queueing/queue_agent.hpp"
#include "queueing/queue_keys.hpp"
#include "queueing/told_job.hpp"
#include "scripts.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What a call may outlive its deadline by, so that its last word with the server can be an answer.
constexpr milliseconds courtesy{40};

}  // namespace

std::vector<GivenJob> JobQueue::taken_from(Reply const& reply) const {
  std::vector<GivenJob> out;
  out.reserve(reply.size() - 1);
  for (std::size_t i = 1; i < reply.size(); ++i) {
    auto const job = reply[i];
    auto const entry = job[1].as<std::string_view>();
    GivenJob one;
    one.delivery = job[2].as<unsigned>();
    one.ticket = fmt::format("{} {} {}", job[0].as<int>(), entry, one.delivery);
    one.pushed_at = moment_in(job[3].as<std::string_view>());
    auto const id = job[4].as<std::string_view>();
    one.id = id.empty() ? entry : id;
    one.bytes = job[5].as<std::string>();
    out.push_back(std::move(one));
  }
  return out;
}

void JobQueue::begin_lease(GivenJob& job) const {
  if (!options_.auto_extend) return;
  job.lease = std::make_shared<JobLease>(keys_, job.ticket, options_.visibility);
  client_.core().service<QueueAgent>().keep(job.lease);
}

std::vector<GivenJob> JobQueue::pop(std::size_t most, Deadline deadline,
                                    std::stop_token const& stop) const {
  require(in_words(), "the number of jobs at once", most, std::size_t{1}, most_at_once);
  auto const terms =
      terms_of_worker(options_.visibility, options_.max_deliveries, client_.options().name);
  bool const looks = deadline <= steady_clock::now();
  auto const ask = [&](std::string_view token, std::size_t count, bool joins, bool waits) {
    Argument const arguments[] = {token, count, joins ? 1 : 0, waits ? 1 : 0};
    auto const longest = client_.core().deadline();
    return run(
        scripts::queue_pop, arguments,
        looks ? longest : std::max(std::min(deadline, longest), steady_clock::now() + courtesy));
  };
  auto const with_leases = [&](std::vector<GivenJob> jobs) {
    for (auto& job : jobs) begin_lease(job);
    return jobs;
  };
  if (looks) return with_leases(taken_from(ask("0/0" + terms, most, false, false)));

  QueueAgent::Waiter waiter{client_.core().service<QueueAgent>(), keys_, terms};
  while (!stop.stop_requested()) {
    bool const heard = waiter.would_be_told();
    bool const waits = waiter.is_noted();
    if (heard) waiter.joins();
    auto const reply = ask(waiter.token(), most, heard, waits);
    auto const due = reply[0].as<std::int64_t>();
    if (reply.size() > 1) {
      waiter.has_left();
      return with_leases(taken_from(reply));
    }
    if (due == -2 && !waiter.is_given()) {
      waiter.begin_anew();
      continue;
    }
    auto ask_at = waiter.looks_in_at(std::min(options_.visibility, longest_look_in));
    if (due >= 0) ask_at = std::min(ask_at, steady_clock::now() + milliseconds{due});
    switch (waiter.wait(deadline, ask_at, stop)) {
      case QueueAgent::Waiter::Woken::given: {
        std::vector<GivenJob> out;
        out.push_back(waiter.take_given());
        if (most > 1) {
          try {
            for (auto& each : taken_from(ask("0/0" + terms, most - 1, false, false)))
              out.push_back(std::move(each));
          } catch (Error const&) {
            // There is one.
          }
        }
        return with_leases(std::move(out));
      }
      case QueueAgent::Waiter::Woken::to_ask:
        break;
      case QueueAgent::Waiter::Woken::by_deadline:
      case QueueAgent::Waiter::Woken::by_stop:
        return {};
    }
  }
  return {};
}

}  // namespace tandem::detail
