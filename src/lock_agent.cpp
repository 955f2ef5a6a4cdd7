#include "lock_agent.hpp"

#include <algorithm>
#include <charconv>
#include <random>

#include <fmt/core.h>
#include <unistd.h>

#include "core/backoff.hpp"
#include "scripts.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Noticing a stranger's release may take 50 ms; the rest of them is for the server and this
// machine.
constexpr milliseconds track_after{20};
// Not tracked by a timer, but not Deadline::max() either, which is for those that do not lead.
constexpr std::chrono::hours for_ever{24};
// How soon what failed in the background is tried again.
constexpr milliseconds retry_after{50};
// For how long a server that refuses to take something back is asked again.
constexpr std::chrono::seconds longest_refusal{10};
// A waiter looks after its place in the queue no sooner than this while others are before it ...
constexpr std::chrono::seconds ask_after{1};
// ... and no later than that: it finds out whether they live ...
constexpr std::chrono::seconds ask_behind_others{2};
// ... and the first, whatever it was told, no later than that.
constexpr std::chrono::seconds ask_anyway{10};
// A token that leads its queue asks just after the lock's lease, when the server has certainly let
// it go.
constexpr milliseconds after_lease{2};

std::string random_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "unknown";
  return name;
}

CommandBuffer script_command(Script const& script, bool in_full,
                             std::span<std::string_view const> keys,
                             std::span<Argument const> arguments) {
  CommandBuffer out;
  add_script(out, script, !in_full, keys, arguments);
  return out;
}

/// Splits off the first word of `text`.
std::string_view take_word(std::string_view& text) {
  auto const end = text.find(' ');
  auto const word = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  return word;
}

}  // namespace

// -- one waiter -----------------------------------------------------------------------------------

Waiter::Woken Waiter::wait(Deadline deadline, std::stop_token const& stop) {
  std::unique_lock lock{mutex_};
  for (;;) {
    if (std::exchange(ask_, false)) return Woken::to_ask;
    if (refusal_) return Woken::by_refusal;
    if (stop.stop_requested()) return Woken::by_stop;
    auto const now = steady_clock::now();
    if (now >= deadline) return Woken::by_deadline;
    if (now >= ask_at_) {
      ask_at_ = Deadline::max();
      return Woken::to_ask;
    }
    auto const until = std::min(deadline, ask_at_);
    changed_.wait_until(lock, stop, until, [&] { return ask_ || refusal_ || ask_at_ < until; });
  }
}

void Waiter::ask_at(Deadline when, bool leads) {
  // Leading, it asks when the lock's lease may be over. Behind others it looks after them only in
  // case they are gone, once a second at most, and not all at the same moment.
  auto const now = steady_clock::now();
  when = std::min(when, now + (leads ? ask_anyway : ask_behind_others));
  if (!leads) {
    when = std::max(when, now + ask_after) +
           milliseconds{std::uniform_int_distribution<int>{0, 250}(jitter())};
  }
  {
    std::lock_guard const guard{mutex_};
    ask_at_ = when;
  }
  changed_.notify_all();
}

void Waiter::ask_by(Deadline when) {
  {
    std::lock_guard const guard{mutex_};
    ask_at_ = std::min(ask_at_, when);
  }
  changed_.notify_all();
}

void Waiter::ask_now() {
  {
    std::lock_guard const guard{mutex_};
    ask_ = true;
  }
  changed_.notify_all();
}

std::optional<ServerError> Waiter::refusal() {
  std::lock_guard const guard{mutex_};
  return refusal_;
}

// -- for the threads that use locks ---------------------------------------------------------------

LockAgent::LockAgent(Core& core)
    : events_{core.events()},
      id_{random_id()},
      suffix_{fmt::format("/{}/{}/{}", ::getpid(), host_name(), core.options().name)} {}

std::string LockAgent::fresh_token() { return fmt::format("{}/{}{}", id_, ++count_, suffix_); }

void LockAgent::start() {
  {
    std::lock_guard const guard{mutex_};
    if (started_) return;
  }
  events_.start();  // first: what it throws is thrown again by the next
  std::lock_guard const guard{mutex_};
  if (!std::exchange(started_, true)) events_.subscribe("tandem:" + id_);
}

void LockAgent::enlist(Waiter& waiter) {
  std::lock_guard const guard{mutex_};
  waiters_.emplace(waiter.token_, &waiter);
  if (refusal_ && !listening()) {
    std::lock_guard const inner{waiter.mutex_};
    waiter.refusal_ = refusal_;
  }
}

void LockAgent::delist(Waiter& waiter) {
  std::lock_guard const guard{mutex_};
  waiters_.erase(waiter.token_);
}

void LockAgent::expect(Waiter& waiter, Deadline lease_end, bool leads, bool left_free) {
  bool sooner = false;
  {
    std::lock_guard const guard{mutex_};
    // The word that it leads now may have overtaken the answer that it did not yet. Nobody who
    // leads is put back.
    leads = leads || waiter.track_at_ != Deadline::max();
    waiter.told_to_ask_ = false;
    if (leads)
      waiter.track_at_ = steady_clock::now() + (left_free ? milliseconds{for_ever} : track_after);
    waiter.ask_at(lease_end + after_lease, leads);
    sooner = waiter.track_at_ < next_due_;
    if (sooner) next_due_ = waiter.track_at_;
  }
  if (sooner) events_.wake();
}

void LockAgent::keep(std::shared_ptr<Lease> const& lease) {
  bool sooner = false;
  {
    std::lock_guard const guard{mutex_};
    if (lease->due) return;
    lease->renew_at = lease->valid_until.load() - lease->length + lease->length / 3;
    lease->due = lease->renew ? lease->renew_at : lease->valid_until.load();
    leases_.insert({*lease->due, lease});
    sooner = *lease->due < next_due_;
    if (sooner) next_due_ = *lease->due;
  }
  if (sooner) events_.wake();
}

void LockAgent::forget(Lease& lease) {
  std::shared_ptr<Lease> last;  // not destroyed under the lock
  std::lock_guard const guard{mutex_};
  if (!lease.due) return;
  auto const at = std::find_if(leases_.lower_bound({*lease.due, nullptr}), leases_.end(),
                               [&](Due const& each) { return each.lease.get() == &lease; });
  lease.due.reset();
  if (at == leases_.end()) return;
  last = at->lease;
  leases_.erase(at);
}

void LockAgent::give_back_later(std::shared_ptr<LockKeys const> keys, std::string token,
                                milliseconds length) {
  start();
  {
    std::lock_guard const guard{mutex_};
    given_back_.push_back({.keys = std::move(keys), .token = std::move(token), .length = length});
    next_due_ = Deadline::min();
  }
  events_.wake();
}

// -- on the event thread --------------------------------------------------------------------------

template <class Call>
void LockAgent::with_waiter(std::string_view token, Call&& call) {
  std::lock_guard const guard{mutex_};
  if (auto const found = waiters_.find(token); found != waiters_.end()) call(*found->second);
}

void LockAgent::tell_to_ask(Waiter& waiter) {
  waiter.told_to_ask_ = true;
  waiter.ask_now();
}

void LockAgent::on_subscribed() {
  std::lock_guard const guard{mutex_};
  listening_ = true;
  refusal_.reset();
  // A grant may have been missed, and a waiter may have been forgotten: each asks where it stands.
  for (auto const& [token, waiter] : waiters_) {
    waiter->ask_now();
  }
  for (auto& each : given_back_) each.next = Deadline::min();
}

void LockAgent::on_refused(ServerError const& error) {
  std::lock_guard const guard{mutex_};
  listening_ = false;
  refusal_ = error;
  for (auto const& [token, waiter] : waiters_) {
    {
      std::lock_guard const inner{waiter->mutex_};
      waiter->refusal_ = error;
    }
    waiter->changed_.notify_all();
  }
}

void LockAgent::on_disconnected() {
  std::lock_guard const guard{mutex_};
  listening_ = false;
  // The server may strike them off the queue now; what they are then, it says when they ask again.
  for (auto const& [token, waiter] : waiters_) waiter->track_at_ = Deadline::max();
}

void LockAgent::on_message(std::string_view /*channel*/, std::string_view text) {
  auto const word = take_word(text);
  if (word == "grant") {
    with_waiter(text, [](Waiter& waiter) {
      waiter.track_at_ =
          Deadline::max();  // it has left the queue; should it come too late, it joins the end
      tell_to_ask(waiter);
    });
  } else if (word == "lead") {
    auto const number = take_word(text);
    long long left = 0;
    std::from_chars(number.data(), number.data() + number.size(), left);
    auto const now = steady_clock::now();
    with_waiter(text, [&](Waiter& waiter) {
      if (waiter.track_at_ == Deadline::max()) waiter.track_at_ = now + track_after;
      waiter.ask_at(now + milliseconds{left} + after_lease, true);
    });
  }
}

void LockAgent::on_changed(std::optional<std::string_view> key) {
  std::lock_guard const guard{mutex_};
  for (auto const& [token, waiter] : waiters_) {
    bool const looks = waiter->track_at_ != Deadline::max() && !waiter->told_to_ask_;
    if (looks && (!key || *key == waiter->keys_.lock)) waiter->track_at_ = Deadline{};
  }
}

Deadline LockAgent::on_time(Deadline now) {
  serve_leases(now);
  track_leaders(now);
  serve_given_back(now);

  std::lock_guard const guard{mutex_};
  next_due_ = leases_.empty() ? Deadline::max() : leases_.begin()->when;
  for (auto const& [token, waiter] : waiters_) {
    if (waiter->track_at_ != Deadline::max() && waiter->track_at_ > now)
      next_due_ = std::min(next_due_, waiter->track_at_);
  }
  for (auto const& each : given_back_) next_due_ = std::min(next_due_, each.next);
  return next_due_;
}

void LockAgent::serve_leases(Deadline now) {
  std::vector<std::shared_ptr<Lease>> due;
  {
    std::lock_guard const guard{mutex_};
    while (!leases_.empty() && leases_.begin()->when <= now) {
      due.push_back(leases_.begin()->lease);
      due.back()->due.reset();
      leases_.erase(leases_.begin());
    }
  }
  bool in_full =
      true;  // the first of a batch teaches the server the script, should it have forgotten it
  for (auto const& lease : due) {
    if (lease->over.load()) continue;
    if (now >= lease->valid_until.load()) {
      lease->lose(now);
    } else if (lease->renew) {
      renew(lease, now, std::exchange(in_full, false));
    } else {
      reschedule(lease, lease->valid_until.load());
    }
  }
}

void LockAgent::reschedule(std::shared_ptr<Lease> const& lease, Deadline when) {
  std::lock_guard const guard{mutex_};
  if (lease->over.load() || lease->due) return;
  lease->due = std::min(when, lease->valid_until.load());
  leases_.insert({*lease->due, lease});
}

void LockAgent::renew(std::shared_ptr<Lease> const& lease, Deadline now, bool in_full) {
  std::string_view const keys[] = {lease->keys->lock};
  Argument const arguments[] = {lease->token, lease->length.count()};
  auto const command = script_command(scripts::lock_renew, in_full, keys, arguments);
  // Not answered within this time, it is sent again over another connection, while the lease still
  // has its last third.
  auto const patience = now + lease->length / 3;
  bool const sent =
      events_.send(command, patience, [this, lease, now, in_full](ReplyView const* reply) {
        take_renewal(lease, now, in_full, reply);
      });
  reschedule(lease,
             sent ? lease->valid_until.load() : now + std::min(retry_after, lease->length / 10));
}

void LockAgent::take_renewal(std::shared_ptr<Lease> const& lease, Deadline sent, bool in_full,
                             ReplyView const* reply) {
  if (lease->over.load()) return;
  auto const now = steady_clock::now();
  {
    std::lock_guard const guard{mutex_};
    if (!lease->due) return;  // released meanwhile
    leases_.erase({*lease->due, lease});
    lease->due.reset();
  }
  bool const answered = reply != nullptr && reply->kind() == ReplyKind::integer;
  if (answered && reply->as<int>() == 1) {
    lease->extend_from(sent);
    reschedule(lease, sent + lease->length / 3);
  } else if (answered) {
    lease->lose(now);
  } else if (reply != nullptr && is_unknown_script(*reply) && !in_full) {
    renew(lease, now, true);
  } else {
    reschedule(lease, now + std::min(retry_after, lease->length / 10));
  }
}

void LockAgent::track_leaders(Deadline now) {
  std::lock_guard const guard{mutex_};
  for (auto const& [token, waiter] : waiters_) {
    if (waiter->track_at_ > now) continue;
    // Until it is told otherwise; by a change, or by a new connection.
    waiter->track_at_ = now + for_ever;
    // Where the server does not track keys, nobody tells: it asks.
    if (!track(waiter->keys_, std::string{token})) waiter->ask_by(now + ask_after);
  }
}

bool LockAgent::track(LockKeys const& keys, std::string token) {
  if (!events_.track_next()) return false;
  CommandBuffer get;
  get.add(std::initializer_list<Argument>{"GET", keys.lock});
  (void)events_.send(get, [this, token](ReplyView const* owner) {
    if (owner == nullptr) return;
    bool const free = owner->is_nil();
    if (free || (owner->kind() == ReplyKind::text && owner->as<std::string_view>() == token)) {
      with_waiter(token, tell_to_ask);
    }
  });
  CommandBuffer left;
  left.add(std::initializer_list<Argument>{"PTTL", keys.lock});
  (void)events_.send(left, [this, token](ReplyView const* reply) {
    if (reply == nullptr || reply->kind() != ReplyKind::integer) return;
    // Without an expiry it is a stranger's, and asking gives it one.
    auto const end = steady_clock::now() + milliseconds{std::max(0LL, reply->as<long long>())};
    with_waiter(token, [&](Waiter& waiter) { waiter.ask_by(end + after_lease); });
  });
  return true;
}

void LockAgent::serve_given_back(Deadline now) {
  std::vector<GivenBack> due;
  {
    std::lock_guard const guard{mutex_};
    for (auto& each : given_back_) {
      if (now < each.next) continue;
      each.next = Deadline::max();  // until it is answered, or the connection is lost
      due.push_back(each);
    }
  }
  for (auto const& each : due) {
    auto const keys = each.keys->all();
    Argument const arguments[] = {each.token, grant_time.count(), 0, 0, 0};
    auto const command = script_command(scripts::lock_release, true, keys, arguments);
    bool const sent = events_.send(command, [this, token = each.token](ReplyView const* reply) {
      take_given_back(token, reply);
    });
    if (!sent) take_given_back(each.token, nullptr);
  }
}

void LockAgent::take_given_back(std::string_view token, ReplyView const* reply) {
  auto const now = steady_clock::now();
  std::lock_guard const guard{mutex_};
  auto const found = std::find_if(given_back_.begin(), given_back_.end(),
                                  [&](GivenBack const& each) { return each.token == token; });
  if (found == given_back_.end()) return;
  if (reply == nullptr) {
    found->next = now + ask_after;  // or when the connection is back
    return;
  }
  // Refused: a server that loads, or follows another, may do it later. Not there: perhaps not yet;
  // what is in doubt went over another connection, and may be read after this.
  bool const refused = reply->is_error();
  auto const length =
      refused ? std::max<milliseconds>(found->length, longest_refusal) : found->length;
  if (found->give_up == Deadline::max()) found->give_up = now + length;
  if ((!refused && reply->as<int>() == 1) || now >= found->give_up) {
    given_back_.erase(found);
    return;
  }
  found->next = std::min(now + found->pause, found->give_up);
  found->pause *= 2;
}

}  // namespace tandem::detail
