#include "locking/agent.hpp"

#include <algorithm>
#include <charconv>
#include <random>
#include <utility>

#include <fmt/core.h>

#include "core/backoff.hpp"
#include "core/process.hpp"
#include "core/random_id.hpp"
#include "locking/release.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A waiter looks after its place in the queue no sooner than this while others are before it ...
constexpr std::chrono::seconds ask_after{1};
// ... and no later than that: it finds out whether they live ...
constexpr std::chrono::seconds ask_behind_others{2};
// ... and the first, whatever it was told, no later than that.
constexpr std::chrono::seconds ask_anyway{10};
// A token that leads its queue asks just after the lock's lease, when the server has certainly let
// it go.
constexpr milliseconds after_lease{2};

/// Splits off the first word of `text`.
std::string_view take_word(std::string_view& text) {
  auto const end = text.find(' ');
  auto const word = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  return word;
}

std::uint64_t take_number(std::string_view& text) {
  auto const word = take_word(text);
  std::uint64_t out = 0;
  std::from_chars(word.data(), word.data() + word.size(), out);
  return out;
}

/// Leading, a waiter asks when the lock's lease may be over. Behind others it looks after them only
/// in case they are gone, once a second at most, and not all at the same moment.
Deadline time_to_ask(Deadline lease_end, bool leads) {
  auto const now = steady_clock::now();
  auto const when = std::min(lease_end, now + (leads ? ask_anyway : ask_behind_others));
  if (leads) return when;
  return std::max(when, now + ask_after) +
         milliseconds{std::uniform_int_distribution<int>{0, 250}(jitter())};
}

}  // namespace

// -- for the threads that use locks ---------------------------------------------------------------

LockAgent::LockAgent(Core& core)
    : core_{core},
      events_{core.events()},
      id_{random_id()},
      channel_{"tandem:" + id_},
      place_{own_place()},
      suffix_{own_identity(place_, core.options().name)},
      renewals_{events_},
      returns_{events_} {}

std::string LockAgent::fresh_token(TokenKind kind) {
  auto out = id_;
  out += '/';
  out += std::to_string(++count_);
  if (kind == TokenKind::kept) out += 'k';
  if (kind == TokenKind::shared) out += 's';
  return out += suffix_;
}

void LockAgent::start() {
  if (started_.load()) return;
  events_.start();  // first: what it throws is thrown again by the next
  if (!started_.exchange(true)) events_.subscribe(channel_);
}

std::shared_ptr<Site> LockAgent::site(LockKeys const& keys, Site::Bounds const& bounds) {
  std::lock_guard const guard{sites_mutex_};
  if (auto const found = sites_.find(keys.site); found != sites_.end()) return found->second;
  auto made = std::make_shared<Site>(keys.site, bounds);
  sites_.emplace(made->key(), made);
  return made;
}

std::shared_ptr<Site> LockAgent::own_site() {
  std::lock_guard const guard{sites_mutex_};
  // No name of a lock, after its options, is a number alone.
  auto made = std::make_shared<Site>(std::to_string(++count_), Site::Bounds{});
  sites_.emplace(made->key(), made);
  return made;
}

void LockAgent::tidy(std::shared_ptr<Site> const& site) {
  std::shared_ptr<Site> last;  // not destroyed under the lock
  std::lock_guard const guard{sites_mutex_};
  if (!site->close_if_unused()) return;
  if (auto const found = sites_.find(site->key()); found != sites_.end() && found->second == site) {
    last = std::move(found->second);
    sites_.erase(found);
  }
}

void LockAgent::enlist(Waiter& waiter, std::string_view token) {
  std::lock_guard const guard{mutex_};
  waiter.token_ = token;
  waiters_.emplace(token, &waiter);
  if (refusal_ && !listening()) waiter.refuse(*refusal_);
}

void LockAgent::delist(Waiter& waiter) {
  std::lock_guard const guard{mutex_};
  waiters_.erase(waiter.token_);
  unwatch(waiter.keys().lock);
}

void LockAgent::ask_anew(Waiter& waiter) {
  std::lock_guard const guard{mutex_};
  waiter.leads_ = false;
  waiter.look_there_ = Deadline::max();
}

void LockAgent::turn_to(Waiter& waiter, std::shared_ptr<LockKeys const> const& keys) {
  std::lock_guard const guard{mutex_};
  auto const before = std::exchange(waiter.keys_, keys);
  if (before != keys) unwatch(before->lock);
}

void LockAgent::unwatch(std::string const& lock) {
  bool const wanted = std::any_of(waiters_.begin(), waiters_.end(), [&](auto const& each) {
    return each.second->keys().lock == lock;
  });
  if (wanted) return;
  std::erase_if(watched_, [&](auto const& each) { return each.first.second == lock; });
}

void LockAgent::expect(Waiter& waiter, Deadline lease_end, bool leads, bool left_free) {
  std::lock_guard const guard{mutex_};
  // The word that it leads now may have overtaken the answer that it did not yet. Nobody who leads
  // is put back.
  waiter.leads_ = waiter.leads_ || leads;
  waiter.left_free_ = left_free;
  waiter.told_to_ask_ = false;
  waiter.expect(time_to_ask(lease_end + after_lease, waiter.leads_),
                left_free ? Deadline::max() : steady_clock::now() + look_after);
}

void LockAgent::look(Waiter& waiter, std::vector<std::string> const& owners) {
  watch_holders(waiter.keys_, owners);
  if (!waiter.keys_->kind.of_strangers) return;
  {
    std::lock_guard const guard{mutex_};
    if (!waiter.leads_ || waiter.left_free_) return;
    waiter.look_there_ = Deadline::min();
    next_due_ = Deadline::min();
  }
  events_.wake();
}

void LockAgent::settle(Waiter& waiter, std::shared_ptr<Site> const& site,
                       std::shared_ptr<Lease> const& lease) {
  bool const lingers = site->bounds().linger.count() > 0;
  auto const now = steady_clock::now();
  bool sooner = false;
  {
    std::lock_guard const guard{mutex_};
    // Where it is not told who else wants the lock, others may.
    site->occupy(lease, now, !lingers || waiter.wanted_ || !listening());
    if (lingers) {
      auto const look_at = now + site->bounds().linger;
      bool const known = std::any_of(lingering_.begin(), lingering_.end(),
                                     [&](auto const& each) { return each.site == site; });
      if (!known) lingering_.push_back({site, look_at});
      sooner = look_at < next_due_;
      if (sooner) next_due_ = look_at;
    }
  }
  if (sooner) events_.wake();
}

std::vector<LockAgent::Held> LockAgent::held_by(std::uint64_t thread) {
  std::vector<Held> out;
  std::lock_guard const guard{sites_mutex_};
  for (auto const& [key, site] : sites_) {
    auto const lease = site->held_by(thread);
    if (!lease) continue;
    for (auto const& lock : lease->keys->locks()) out.push_back({lease->token, std::string{lock}});
  }
  return out;
}

std::string LockAgent::fresh_wait() { return fmt::format("{}.{}", id_, ++count_); }

void LockAgent::tell_when_to_check(std::string const& wait, std::string_view field,
                                   Waiter& waiter) {
  std::lock_guard const guard{mutex_};
  waits_.insert_or_assign(wait, &waiter);
  std::erase_if(to_be_taken_back_, [&](Said const& each) { return each.field == field; });
}

void LockAgent::wait_is_over(std::string const& wait) {
  std::lock_guard const guard{mutex_};
  waits_.erase(wait);
}

void LockAgent::take_back_later(std::string key, std::string field, Deadline until) {
  {
    std::lock_guard const guard{mutex_};
    to_be_taken_back_.push_back({std::move(key), std::move(field), until});
  }
  events_.wake();
}

void LockAgent::give_back_later(std::shared_ptr<LockKeys const> keys, std::string token,
                                milliseconds length) {
  start();
  returns_.give_back(std::move(keys), std::move(token), length);
}

void LockAgent::before_end() {
  returns_.before_end(core_);
  for (auto const& site : lingering()) {
    auto const lease = site->revoke();
    if (!lease) continue;
    renewals_.forget(*lease);
    auto const keys = lease->keys->all();
    ReleaseWords const words{*lease->keys, lease->token};
    (void)core_.run(lease->keys->kind.release, keys, words.all(), core_.deadline());
  }
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
  {
    std::lock_guard const guard{mutex_};
    listening_ = true;
    refusal_.reset();
    // A grant may have been missed, and a waiter may have been forgotten: each asks where it stands.
    for (auto const& [token, waiter] : waiters_) waiter->ask_now();
  }
  returns_.on_subscribed();
  take_back_waits(steady_clock::now());
}

void LockAgent::on_refused(ServerError const& error) {
  {
    std::lock_guard const guard{mutex_};
    listening_ = false;
    refusal_ = error;
    for (auto const& [token, waiter] : waiters_) waiter->refuse(error);
  }
  assume_wanted();
}

void LockAgent::on_disconnected() {
  {
    std::lock_guard const guard{mutex_};
    listening_ = false;
    // The server may strike them off the queue now; what they are then, it says when they ask again.
    for (auto const& [token, waiter] : waiters_) {
      waiter->leads_ = false;
      waiter->look_there_ = Deadline::max();
    }
  }
  assume_wanted();
}

void LockAgent::on_message(std::string_view channel, std::string_view text) {
  if (channel != channel_) return;
  auto const word = take_word(text);
  if (word == "wanted") return on_wanted(text);
  if (word == "check") {
    std::lock_guard const guard{mutex_};
    auto const found = waits_.find(std::string{text});
    if (found != waits_.end()) found->second->check_at(steady_clock::now());
    return;
  }
  if (word == "grant") {
    auto const fence = take_number(text);
    bool const wanted = take_word(text) == "1";
    renewals_.grant_was_heard(steady_clock::now());
    Waking waking;
    with_waiter(text, [&](Waiter& waiter) {
      // It has left the queue; should it come too late, it joins the end.
      waiter.leads_ = false;
      waiter.look_there_ = Deadline::max();
      waiter.wanted_ = waiter.wanted_ || wanted;
      waiter.told_to_ask_ = true;
      waking = waiter.grant(fence);
    });
    return;
  }
  auto const now = steady_clock::now();
  if (word == "first") {
    // Who holds, and until when, it asks when it has waited.
    with_waiter(text, [&](Waiter& waiter) {
      waiter.leads_ = true;
      waiter.ask_by(now + look_after);
    });
    return;
  }
  if (word == "lead") {
    auto const left = take_number(text);
    auto const token = take_word(text);
    with_waiter(token, [&, owner = text](Waiter& waiter) {
      waiter.leads_ = true;
      waiter.look_there_ = now + look_after;
      waiter.owner_ = owner;
      waiter.expect(time_to_ask(now + milliseconds{left} + after_lease, true), Deadline::max());
    });
  } else if (word == "watch") {
    auto const token = take_word(text);
    with_waiter(token, [&, owner = text](Waiter& waiter) {
      waiter.look_there_ = now + look_after;
      waiter.owner_ = owner;
    });
  }
}

void LockAgent::on_changed(std::optional<std::string_view> key) {
  std::lock_guard const guard{mutex_};
  for (auto const& [token, waiter] : waiters_) {
    bool const looks = waiter->leads_ && !waiter->told_to_ask_;
    if (looks && (!key || *key == waiter->keys().lock)) waiter->look_there_ = Deadline{};
  }
}

Deadline LockAgent::on_time(Deadline now) {
  renewals_.serve(now);
  look_after_holders(now);
  give_up_idle(now);
  returns_.serve(now);
  take_back_waits(now);

  std::lock_guard const guard{mutex_};
  next_due_ = std::min(renewals_.next(), returns_.next());
  for (auto const& [token, waiter] : waiters_) {
    next_due_ = std::min(next_due_, waiter->look_there_);
  }
  for (auto const& each : lingering_) next_due_ = std::min(next_due_, each.look_at);
  return next_due_;
}

void LockAgent::on_ready() {
  auto const dead = watch_.take_dead();
  std::lock_guard const guard{mutex_};
  for (auto const& each : dead) {
    for (auto const& [what, held] : watched_) {
      if (held.pid == each.pid && held.start == each.start) {
        returns_.give_back(held.keys, what.first, {});
      }
    }
  }
}

void LockAgent::watch_holders(std::shared_ptr<LockKeys const> const& keys,
                              std::vector<std::string> const& owners) {
  std::vector<std::pair<std::string, Identity>> seen;
  for (auto const& owner : owners) {
    if (auto who = Identity::of(owner); who && who->client != id_) seen.emplace_back(owner, *who);
  }
  {
    // Noted before they are looked at: a death may be told at once.
    std::lock_guard const guard{mutex_};
    std::erase_if(watched_, [&](auto const& each) { return each.first.second == keys->lock; });
    for (auto const& [owner, who] : seen) {
      watched_.emplace(std::pair{owner, keys->lock},
                       Watched{keys, who.pid, std::string{who.start}});
    }
  }
  for (auto const& [owner, who] : seen) {
    if (watch_.look(who, place_) == ProcessWatch::Seen::dead) returns_.give_back(keys, owner, {});
  }
}

/// The first of a queue, and who can see the holder's process, look after it.
void LockAgent::look_after_holders(Deadline now) {
  struct Holder {
    std::shared_ptr<LockKeys const> keys;
    std::string token;
  };
  std::vector<Holder> to_watch;
  {
    std::lock_guard const guard{mutex_};
    for (auto const& [token, waiter] : waiters_) {
      if (waiter->look_there_ > now) continue;
      waiter->look_there_ = Deadline::max();
      if (!waiter->owner_.empty()) to_watch.push_back({waiter->keys_, waiter->owner_});
      if (!waiter->leads_ || waiter->left_free_ || !waiter->keys_->kind.of_strangers) continue;
      // Where the server does not track keys, nobody tells: it asks.
      if (!track(waiter->keys(), std::string{token})) waiter->ask_by(now + ask_after);
    }
  }
  for (auto const& each : to_watch) watch_holders(each.keys, {each.token});
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

void LockAgent::take_back_waits(Deadline now) {
  std::vector<Said> over;
  {
    std::lock_guard const guard{mutex_};
    over.swap(to_be_taken_back_);
  }
  for (auto& each : over) {
    if (each.until <= now) continue;
    CommandBuffer forget;
    forget.add(std::initializer_list<Argument>{"HDEL", each.key, each.field});
    auto const done = [this, each](ReplyView const* reply) {
      if (reply != nullptr) return;
      std::lock_guard const guard{mutex_};
      to_be_taken_back_.push_back(each);
    };
    if (!events_.send(forget, done)) done(nullptr);
  }
}

void LockAgent::on_wanted(std::string_view token) {
  with_waiter(token, [](Waiter& waiter) { waiter.wanted_ = true; });
  for (auto const& site : lingering()) {
    if (site->holds(token)) give_up(*site);
  }
}

/// Nobody would tell any more.
void LockAgent::assume_wanted() {
  for (auto const& site : lingering()) give_up(*site);
}

void LockAgent::give_up(Site& site) {
  if (auto const lease = site.revoke()) give_back_idle(*lease);
}

void LockAgent::give_back_idle(Lease& lease) {
  renewals_.forget(lease);
  returns_.give_back(lease.keys, lease.token, {});
}

void LockAgent::give_up_idle(Deadline now) {
  for (auto const& site : lingering()) {
    std::optional<Deadline> next;
    if (auto const lease = site->revoke_idle(now, next)) give_back_idle(*lease);
    {
      std::lock_guard const guard{mutex_};
      auto const found = std::find_if(lingering_.begin(), lingering_.end(),
                                      [&](auto const& each) { return each.site == site; });
      if (found == lingering_.end()) continue;
      if (next) {
        found->look_at = *next;
        continue;
      }
      lingering_.erase(found);
    }
    tidy(site);
  }
}

std::vector<std::shared_ptr<Site>> LockAgent::lingering() {
  std::vector<std::shared_ptr<Site>> out;
  std::lock_guard const guard{mutex_};
  for (auto const& each : lingering_) out.push_back(each.site);
  return out;
}

}  // namespace tandem::detail
