#include <limits>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include <tandem/core/job_queue.hpp>

#include "core/core.hpp"
#include "core/describe.hpp"
#include "queue_limits.hpp"
#include "queueing/job_leases.hpp"
#include "queueing/queue_agent.hpp"
#include "queueing/queue_keys.hpp"
#include "queueing/told_job.hpp"
#include "scripts.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds shortest_extended{100};
constexpr milliseconds longest_visibility = std::chrono::hours{24} * 7;
constexpr milliseconds longest_window = std::chrono::hours{24} * 366;
constexpr milliseconds longest_wait = std::chrono::hours{24};
constexpr std::size_t largest_most = std::numeric_limits<std::uint32_t>::max();

/// When the entry with that id was put into its stream.
std::string_view milliseconds_of(std::string_view id) { return id.substr(0, id.find('-')); }

}  // namespace

JobQueue::JobQueue(Client client, std::string name, QueueOptions options)
    : client_{std::move(client)}, options_{options} {
  if (name.empty()) {
    throw std::invalid_argument{"tandem: a queue's name is empty; any other bytes are accepted"};
  }
  keys_ = std::make_shared<QueueKeys const>(std::move(name));
  auto const queue = in_words();
  require(queue, "visibility in ms", options.visibility,
          options.auto_extend ? shortest_extended : milliseconds{1}, longest_visibility);
  require(queue, "max_deliveries", options.max_deliveries, 1U, 1'000'000U);
  require(queue, "most", options.most, std::size_t{0}, largest_most);
  require(queue, "wait_for_room in ms", options.wait_for_room, milliseconds{0}, longest_wait);
  // Longer than a push may be repeated, or its own second copy would count.
  require(queue, "id_window in ms", options.id_window, client_.options().command_timeout,
          longest_window);
}

JobQueue::~JobQueue() = default;

std::string const& JobQueue::name() const noexcept { return keys_->name; }

std::string JobQueue::in_words() const { return "queue " + quoted(name()); }

Reply JobQueue::run(Script const& script, std::span<Argument const> arguments) const {
  return run(script, arguments, client_.core().deadline());
}

Reply JobQueue::run(Script const& script, std::span<Argument const> arguments,
                    Deadline deadline) const {
  return client_.core().run(script, keys_->all, arguments, deadline);
}

// -- what becomes of a job ------------------------------------------------------------------------

std::vector<bool> JobQueue::acknowledge(std::span<std::string_view const> tickets) const {
  std::vector<bool> out;
  if (tickets.empty()) return out;
  require(in_words(), "the number of jobs at once", tickets.size(), std::size_t{1}, most_at_once);
  std::vector<Argument> const arguments{tickets.begin(), tickets.end()};
  auto const reply = run(scripts::queue_acknowledge, arguments);
  for (std::size_t i = 0; i < reply.size(); ++i) out.push_back(reply[i].as<bool>());
  return out;
}

bool JobQueue::extend(std::string_view ticket) const {
  Argument const arguments[] = {options_.visibility.count(), ticket};
  return run(scripts::queue_extend, arguments)[0].as<bool>();
}

JobQueue::GivenBack JobQueue::give_back(std::string_view ticket, milliseconds delay,
                                        std::string_view why) const {
  require(in_words(), "delay in ms", delay, milliseconds{0}, longest_delay);
  Argument const arguments[] = {ticket, delay.count(), options_.max_deliveries, why};
  return static_cast<GivenBack>(run(scripts::queue_give_back, arguments).as<int>());
}

JobQueue::GivenBack JobQueue::reject(std::string_view ticket, std::string_view why) const {
  Argument const arguments[] = {ticket, 0, 0, why};
  return static_cast<GivenBack>(run(scripts::queue_give_back, arguments).as<int>());
}

void JobQueue::refuse(GivenJob const& job, CodecError const& error) const {
  try {
    (void)reject(job.ticket, error.what());
  } catch (Error const& fault) {  // it comes again when its visibility ends
    client_.options().report(fault);
  }
  client_.options().report(CodecError{
      fmt::format("tandem: {}: job {}: {}", in_words(), printable(job.id), error.what())});
}

bool JobQueue::is_lost(GivenJob const& job) noexcept { return job.lease && job.lease->lost; }

// -- dead letters ---------------------------------------------------------------------------------

std::vector<DeadJob> JobQueue::dead_jobs(std::string_view after, std::size_t most) const {
  auto& core = client_.core();
  auto const from = after.empty() ? std::string{"-"} : fmt::format("({}", after);
  CommandBuffer command;
  Argument const words[] = {"XRANGE", keys_->dead, from, "+", "COUNT", most};
  command.add(words);
  auto const reply = core.ask(command, core.deadline(), Repeat::safe);
  if (reply.is_error()) reply.throw_if_error("XRANGE on " + printable(keys_->dead));
  std::vector<DeadJob> out;
  for (std::size_t i = 0; i < reply.size(); ++i) {
    DeadJob letter;
    letter.id = reply[i][0].as<std::string>();
    letter.died_at = moment_in(milliseconds_of(letter.id));
    auto const fields = reply[i][1].as<std::vector<std::string>>();
    for (std::size_t at = 0; at + 1 < fields.size(); at += 2) {
      auto const& field = fields[at];
      auto const& value = fields[at + 1];
      if (field == "job") letter.bytes = value;
      if (field == "error") letter.error = value;
      if (field == "deliveries") letter.deliveries = number_in(value);
      if (field == "id") letter.given_id = value;
      if (field == "at") letter.pushed_at = moment_in(value);
    }
    out.push_back(std::move(letter));
  }
  return out;
}

std::size_t JobQueue::requeue(std::span<std::string const> dead) const {
  if (dead.empty()) return 0;
  require(in_words(), "the number of dead letters at once", dead.size(), std::size_t{1},
          most_at_once);
  std::vector<Argument> const arguments{dead.begin(), dead.end()};
  return run(scripts::queue_requeue, arguments).as<std::size_t>();
}

std::size_t JobQueue::purge(std::span<std::string const> dead) const {
  if (dead.empty()) return 0;
  auto& core = client_.core();
  CommandBuffer command;
  command.begin(dead.size() + 2);
  command.word("XDEL");
  command.word(keys_->dead);
  for (auto const& id : dead) command.word(id);
  auto const reply = core.ask(command, core.deadline(), Repeat::never);
  if (reply.is_error()) reply.throw_if_error("XDEL on " + printable(keys_->dead));
  return reply.as<std::size_t>();
}

// -- the queue as a whole -------------------------------------------------------------------------

bool JobQueue::pause(bool paused) const {
  Argument const arguments[] = {paused ? 1 : 0};
  return run(scripts::queue_pause, arguments).as<bool>();
}

bool JobQueue::drain(Deadline deadline, std::stop_token const& stop) const {
  using Woken = QueueAgent::Waiter::Woken;
  QueueAgent::Waiter waiter{client_.core().service<QueueAgent>(), keys_, "/0/0/-"};
  for (auto woken = Woken::to_ask;;) {
    waiter.joins();
    Argument const arguments[] = {waiter.token()};
    if (run(scripts::queue_drain, arguments).as<bool>()) return true;
    if (woken != Woken::to_ask) return false;
    woken = waiter.wait(deadline, waiter.looks_in_at(longest_look_in), stop);
  }
}

QueueState JobQueue::state() const {
  auto const reply = run(scripts::queue_look, {});
  QueueState out;
  out.ready = reply[0].as<std::size_t>();
  out.delayed = reply[1].as<std::size_t>();
  out.taken = reply[2].as<std::size_t>();
  out.dead_letters = reply[3].as<std::size_t>();
  if (auto const age = reply[4].as<std::int64_t>(); age >= 0) out.age_of_oldest = milliseconds{age};
  out.waiting = reply[5].as<std::size_t>();
  out.paused = reply[6].as<bool>();
  return out;
}

}  // namespace tandem::detail
