#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include <tandem/core/job_queue.hpp>

#include "core/companion_key.hpp"
#include "core/core.hpp"
#include "core/describe.hpp"
#include "core/random_id.hpp"
#include "queueing/job_leases.hpp"
#include "queueing/queue_agent.hpp"
#include "queueing/queue_keys.hpp"
#include "queueing/told_job.hpp"
#include "scripts.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Who waits asks so often although nothing is said to it: for what nobody says (a job that another
// client put there by XADD; the first of those who wait, who was killed).
constexpr milliseconds look_in_after{5000};
// The same while nothing would be heard.
constexpr milliseconds look_in_while_deaf{1000};

Deadline next_look_in(QueueAgent::Waiter const& waiter) {
  return steady_clock::now() + (waiter.would_be_told() ? look_in_after : look_in_while_deaf);
}

// What a call may outlive its deadline by, so that its last word with the server can be an answer.
constexpr milliseconds courtesy{40};

constexpr milliseconds longest_visibility = std::chrono::hours{24} * 7;
constexpr milliseconds longest_window = std::chrono::hours{24} * 366;
constexpr milliseconds longest_delay = std::chrono::hours{24} * 36'500;
constexpr milliseconds longest_wait = std::chrono::hours{24};
constexpr std::size_t largest_most = std::numeric_limits<std::uint32_t>::max();

template <class Given, class Least, class Most>
void require(std::string const& queue, char const* what, Given given, Least least, Most most) {
  if (given >= least && given <= most) return;
  throw std::invalid_argument{
      fmt::format("tandem: {}: {} is {}; accepted are {} to {}", queue, what, given, least, most)};
}

void require(std::string const& queue, char const* what, milliseconds given, milliseconds least,
             milliseconds most) {
  require(queue, what, given.count(), least.count(), most.count());
}

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
  require(queue, "visibility in ms", options.visibility, milliseconds{1}, longest_visibility);
  require(queue, "max_deliveries", options.max_deliveries, 1U, 1'000'000U);
  require(queue, "most", options.most, std::size_t{0}, largest_most);
  require(queue, "wait_for_room in ms", options.wait_for_room, milliseconds{0}, longest_wait);
  require(queue, "id_window in ms", options.id_window, milliseconds{1}, longest_window);
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

// -- push -----------------------------------------------------------------------------------------

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
  require(queue, "delay in ms", options.delay, milliseconds{0}, longest_delay);
  require(queue, "priority", static_cast<int>(options.priority), 1, 3);
  if (!options.id.empty())
    require(queue, "the number of jobs of one id", jobs.size(), std::size_t{1}, std::size_t{1});
  if (options_.most > 0)
    require(queue, "the number of jobs at once", jobs.size(), std::size_t{1}, options_.most);

  auto const mark = options.id.empty() ? std::string{} : random_id();
  auto outcome = run_push(jobs, options, mark, "").as<int>();
  if (outcome == 0 && options_.wait_for_room > milliseconds{0}) {
    auto const give_up = deadline_in(options_.wait_for_room);
    QueueAgent::Waiter waiter{client_.core().service<QueueAgent>(), keys_, "/0/0/-"};
    using Woken = QueueAgent::Waiter::Woken;
    do {
      waiter.joins();
      outcome = run_push(jobs, options, mark, waiter.token()).as<int>();
    } while (outcome == 0 && waiter.wait(give_up, next_look_in(waiter), {}) == Woken::to_ask);
  }
  if (outcome == 0) {
    throw QueueFull{
        fmt::format("tandem: push of {} jobs into {}: no room among {}; none was put there",
                    jobs.size(), queue, options_.most)};
  }
  return outcome == 1;
}

// -- pop ------------------------------------------------------------------------------------------

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
  for (;;) {
    bool const heard = waiter.would_be_told();
    bool const waits = waiter.has_joined();
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
    auto ask_at = next_look_in(waiter);
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
  (void)reject(job.ticket, error.what());
  client_.options().report(CodecError{fmt::format("tandem: {}: job {}, now a dead letter: {}",
                                                  in_words(), printable(job.id), error.what())});
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
  QueueAgent::Waiter waiter{client_.core().service<QueueAgent>(), keys_, "/0/0/-"};
  for (;;) {
    waiter.joins();
    Argument const arguments[] = {waiter.token(), 0};
    if (run(scripts::queue_await_fewer, arguments).as<bool>()) return true;
    auto const woken = waiter.wait(deadline, next_look_in(waiter), stop);
    if (woken != QueueAgent::Waiter::Woken::to_ask) return false;
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
