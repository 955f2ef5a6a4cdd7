#include "queueing/queue_agent.hpp"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "core/random_id.hpp"
#include "queueing/told_job.hpp"
#include "scripts.hpp"

namespace tandem::detail {

QueueAgent::QueueAgent(Core& core)
    : core_{core},
      events_{core.events()},
      id_{random_id()},
      channel_{"tandem:" + id_},
      leases_{events_} {}

void QueueAgent::start() {
  {
    std::lock_guard const guard{mutex_};
    if (std::exchange(started_, true)) return;
  }
  try {
    events_.start();
  } catch (...) {
    std::lock_guard const guard{mutex_};
    started_ = false;
    throw;
  }
  events_.subscribe(channel_);
}

void QueueAgent::keep(std::shared_ptr<JobLease> const& lease) {
  events_.start();
  bool first = false;
  {
    std::lock_guard const guard{mutex_};
    first = !std::exchange(keeps_, true);
  }
  if (first) events_.keep_connected();
  leases_.keep(lease);
}

QueueAgent::Waiter::Waiter(QueueAgent& agent, std::shared_ptr<QueueKeys const> keys,
                           std::string terms)
    : agent_{agent}, keys_{std::move(keys)}, terms_{std::move(terms)} {
  agent_.start();
  enlist();
}

QueueAgent::Waiter::~Waiter() { delist(); }

void QueueAgent::Waiter::enlist() {
  std::lock_guard const guard{agent_.mutex_};
  number_ = ++agent_.count_;
  token_ = agent_.id_ + "/" + std::to_string(number_) + terms_;
  agent_.waiters_.emplace(number_, this);
}

void QueueAgent::Waiter::delist() {
  bool wakes = false;
  {
    std::lock_guard const guard{agent_.mutex_};
    agent_.waiters_.erase(number_);
    if (given_) {
      agent_.unwanted_.push_back({keys_, std::exchange(given_, std::nullopt)->ticket});
      wakes = true;
    }
    if (std::exchange(has_joined_, false)) {
      agent_.gone_.emplace(number_, Gone{keys_, token_});
      wakes = true;
    }
  }
  if (wakes) agent_.events_.wake();
}

void QueueAgent::Waiter::begin_anew() {
  delist();
  enlist();
}

Deadline QueueAgent::Waiter::looks_in_at(std::chrono::milliseconds longest) const noexcept {
  constexpr std::chrono::milliseconds shortest{1000};
  return std::chrono::steady_clock::now() +
         (would_be_told() ? std::max(longest, shortest) : shortest);
}

bool QueueAgent::Waiter::is_noted() {
  std::lock_guard const guard{agent_.mutex_};
  return !std::exchange(take_, false) && has_joined_;
}

bool QueueAgent::Waiter::is_given() const {
  std::lock_guard const guard{agent_.mutex_};
  return given_.has_value();
}

QueueAgent::Waiter::Woken QueueAgent::Waiter::wait(Deadline deadline, Deadline ask_at,
                                                   std::stop_token const& stop) {
  std::unique_lock lock{agent_.mutex_};
  auto const until = std::min(deadline, ask_at);
  auto const told = [this] { return given_ || ask_ || agent_.refusal_; };
  if (until == Deadline::max()) {  // which a clock of the kernel's cannot be asked for
    told_.wait(lock, stop, told);
  } else {
    told_.wait_until(lock, stop, until, told);
  }
  if (given_) return Woken::given;
  if (agent_.refusal_) throw ServerError{*agent_.refusal_};
  if (stop.stop_requested()) return Woken::by_stop;
  if (std::exchange(ask_, false)) return Woken::to_ask;
  return std::chrono::steady_clock::now() >= deadline ? Woken::by_deadline : Woken::to_ask;
}

GivenJob QueueAgent::Waiter::take_given() {
  std::lock_guard const guard{agent_.mutex_};
  has_joined_ = false;
  return *std::exchange(given_, std::nullopt);
}

void QueueAgent::on_subscribed() {
  if (!events_.is_subscribed(channel_)) return;
  listening_ = true;
  {
    std::lock_guard const guard{mutex_};
    refusal_.reset();
    for (auto& [number, gone] : gone_) gone.is_said = false;
    for (auto const& [number, waiter] : waiters_) {
      waiter->ask_ = true;
      waiter->told_.notify_one();
    }
  }
  events_.wake();
}

void QueueAgent::on_refused(ServerError const& error) {
  std::lock_guard const guard{mutex_};
  refusal_ = error;
  for (auto const& [number, waiter] : waiters_) waiter->told_.notify_one();
}

void QueueAgent::on_disconnected() {
  std::lock_guard const guard{mutex_};
  listening_ = false;
  settled_.notify_all();
}

void QueueAgent::on_message(std::string_view channel, std::string_view text) {
  if (channel != channel_) return;
  auto const word = take_word(text);
  auto const digits = take_word(text);
  std::uint64_t number = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ec != std::errc{})
    return;  // of nobody who knows how to speak to us
  auto told = word == "job" ? std::optional{told_job(text)} : std::nullopt;
  {
    std::lock_guard const guard{mutex_};
    if (word == "none") {
      gone_.erase(number);
      settled_.notify_all();
      return;
    }
    auto const found = waiters_.find(number);
    if (found != waiters_.end() && (!told || !found->second->given_)) {
      auto& waiter = *found->second;
      if (told) {
        waiter.given_ = std::move(told->job);
      } else {
        waiter.ask_ = true;
        if (word == "take") waiter.take_ = true;
      }
      waiter.told_.notify_one();
      return;
    }
    if (!told) return;
    unwanted_.push_back(
        {std::make_shared<QueueKeys const>(std::move(told->queue)), std::move(told->job.ticket)});
  }
  events_.wake();
}

/// Where the answer is lost, the job's visibility ends.
bool QueueAgent::give_back(Unwanted const& job) {
  Argument const arguments[] = {job.ticket, 0, -1, ""};
  CommandBuffer command;
  add_script(command, scripts::queue_give_back, false, job.keys->all, arguments);
  return events_.send(command, [this](ReplyView const*) {
    std::lock_guard const guard{mutex_};
    --giving_back_;
    settled_.notify_all();
  });
}

Deadline QueueAgent::on_time(Deadline now) {
  std::vector<std::pair<std::uint64_t, Gone>> unsaid;
  std::vector<Unwanted> unwanted;
  {
    std::lock_guard const guard{mutex_};
    unwanted.swap(unwanted_);
    giving_back_ += unwanted.size();  // at once: before_end() looks at any moment
    for (auto& [number, gone] : gone_) {
      if (!std::exchange(gone.is_said, true)) unsaid.emplace_back(number, gone);
    }
  }
  for (auto const& [number, gone] : unsaid) {
    if (say_gone(number, gone)) continue;
    std::lock_guard const guard{mutex_};
    if (auto const found = gone_.find(number); found != gone_.end()) found->second.is_said = false;
  }
  for (auto& job : unwanted) {
    if (give_back(job)) continue;
    std::lock_guard const guard{mutex_};
    --giving_back_;
    unwanted_.push_back(std::move(job));
  }
  return leases_.serve(now);
}

/// As long as it can be said at all.
void QueueAgent::before_end() {
  if (events_.is_own_thread()) return;
  std::unique_lock lock{mutex_};
  settled_.wait_until(lock, core_.deadline(), [this] {
    return !listening_ || (gone_.empty() && unwanted_.empty() && giving_back_ == 0);
  });
}

bool QueueAgent::say_gone(std::uint64_t number, Gone const& gone) {
  Argument const arguments[] = {gone.token};
  CommandBuffer command;
  add_script(command, scripts::queue_leave, false, gone.keys->all, arguments);
  return events_.send(command, [this, number](ReplyView const* reply) {
    // Lost, it is said again when the channel is heard again.
    bool const was_waiting =
        reply != nullptr && reply->kind() == ReplyKind::integer && reply->as<int>() == 0;
    std::lock_guard const guard{mutex_};
    if (was_waiting || (reply != nullptr && reply->is_error())) gone_.erase(number);
    settled_.notify_all();
  });
}

}  // namespace tandem::detail
