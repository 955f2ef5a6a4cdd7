#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>

#include <tandem/core/job_queue.hpp>

#include "core/companion_key.hpp"
#include "core/core.hpp"
#include "core/random_id.hpp"
#include "queue_limits.hpp"
#include "queueing/queue_agent.hpp"
#include "queueing/queue_keys.hpp"
#include "scripts.hpp"

namespace tandem::detail {

Reply JobQueue::run_push(std::span<std::string const> jobs, PushOptions const& options,
                         std::string_view mark, std::string_view token) const {
  std::vector<Argument> arguments{options_.most, token, static_cast<int>(options.priority),
                                  options.delay.count()};
  if (mark.empty()) {
    arguments.insert(arguments.end(), jobs.begin(), jobs.end());
    return run(scripts::queue_push, arguments);
  }
  for (Argument const& each : {Argument{jobs.front()}, Argument{options.id},
                               Argument{options_.id_window.count()}, Argument{mark}})
    arguments.push_back(each);
  auto const id_key = companion_key(name(), "id:" + options.id);
  std::array<std::string_view, 10> keys;
  std::copy(keys_->all.begin(), keys_->all.end(), keys.begin());
  keys.back() = id_key;
  auto& core = client_.core();
  return core.run(scripts::queue_push_once, keys, arguments, core.deadline());
}

bool JobQueue::push(std::span<std::string const> jobs, PushOptions const& options) const {
  if (jobs.empty()) return true;
  auto const queue = in_words();
  require(queue, "the number of jobs at once", jobs.size(), std::size_t{1}, most_at_once);
  require(queue, "delay in ms", options.delay, std::chrono::milliseconds{0}, longest_delay);
  require(queue, "priority", static_cast<int>(options.priority), 1, 3);
  if (!options.id.empty())
    require(queue, "the number of jobs of one id", jobs.size(), std::size_t{1}, std::size_t{1});
  if (options_.most > 0)
    require(queue, "the number of jobs at once", jobs.size(), std::size_t{1}, options_.most);

  auto const mark = options.id.empty() ? std::string{} : random_id();
  auto outcome = run_push(jobs, options, mark, "").as<int>();
  if (outcome == 0 && options_.wait_for_room > std::chrono::milliseconds{0}) {
    auto const give_up = deadline_in(options_.wait_for_room);
    auto const room = options_.most - jobs.size();
    QueueAgent::Waiter waiter{client_.core().service<QueueAgent>(), keys_,
                              fmt::format("/{}/0/-", room)};
    auto woken = QueueAgent::Waiter::Woken::to_ask;
    for (;;) {
      waiter.joins();
      outcome = run_push(jobs, options, mark, waiter.token()).as<int>();
      if (outcome != 0 || woken == QueueAgent::Waiter::Woken::by_deadline) break;
      woken = waiter.wait(give_up, waiter.looks_in_at(longest_look_in), {});
    }
  }
  if (outcome == 0) {
    throw QueueFull{
        fmt::format("tandem: push of {} jobs into {}: no room among {}; none was put there",
                    jobs.size(), queue, options_.most)};
  }
  return outcome == 1;
}

}  // namespace tandem::detail
