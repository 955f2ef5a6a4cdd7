#include "locking/acquisition.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "core/core.hpp"
#include "locking/release.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What a call may outlive its deadline by, so that its last word with the server can be an answer.
constexpr milliseconds courtesy{40};
// How soon a server that loads its data is asked again by those who wait already.
constexpr milliseconds while_loading{50};

}  // namespace

struct Acquisition::Answer {
  bool held = false;
  std::uint64_t fence = 0;
  milliseconds left{};
  bool leads = false;
  std::vector<std::string> owners{};  // none: nobody is there to be looked after
  bool adopted = false;
  unsigned limit = 0;
  // Of "not held": a grant with a greater one was given after it. Not answered: there is none.
  std::uint64_t last_fence = std::numeric_limits<std::uint64_t>::max();
  std::size_t which = 0;  // of several locks

  /// Of the script `acquire`.
  static Answer read(LockKeys const& keys, Reply const& reply) {
    auto const& kind = keys.kind;
    Answer out;
    out.held = reply[0].as<int>() == 1;
    if (out.held) {
      out.fence = reply[1].as<std::uint64_t>();
      if (!kind.of_strangers) out.limit = reply[2].as<unsigned>();
      return out;
    }
    out.left = milliseconds{std::max(0LL, reply[1].as<long long>())};
    out.leads = reply[2].as<int>() == 1;
    if (auto owner = reply[3].as<std::string>(); !owner.empty()) {
      out.owners.push_back(std::move(owner));
    }
    if (kind.of_strangers) {
      out.adopted = reply[4].as<int>() == 1;
      if (keys.several()) {
        out.which = reply[5].as<std::size_t>();
      } else {
        out.last_fence = reply[5].as<std::uint64_t>();
      }
      return out;
    }
    out.limit = reply[4].as<unsigned>();
    out.last_fence = reply[5].as<std::uint64_t>();
    for (std::size_t i = 6; i < reply.size(); ++i) {
      out.owners.push_back(reply[i].as<std::string>());
    }
    return out;
  }
};

/// Registered with the agent for as long as it waits for the server.
class Acquisition::Enlisted {
 public:
  Enlisted(LockAgent& agent, Waiter& waiter, std::string_view token)
      : agent_{agent}, waiter_{waiter} {
    agent_.enlist(waiter_, token);
  }
  ~Enlisted() { agent_.delist(waiter_); }
  Enlisted(Enlisted const&) = delete;
  Enlisted& operator=(Enlisted const&) = delete;

 private:
  LockAgent& agent_;
  Waiter& waiter_;
};

/// The place of this process at the server: before the lock, or in its queue. Who is first has it;
/// its end hands it to the next thread in the line, or leaves the queue.
class Acquisition::Place {
 public:
  Place(Acquisition& owner, Deadline deadline) noexcept
      : owner_{owner},
        deadline_{deadline},
        token_{owner.site_->take_token()},
        queued_{!token_.empty()} {}
  ~Place() {
    if (settled_) return;
    if (!owner_.site_->go_on(queued_ ? token_ : std::string{})) leave();
    owner_.agent_.tidy(owner_.site_);
  }
  Place(Place const&) = delete;
  Place& operator=(Place const&) = delete;

  /// Its own, unless one was left to it.
  void choose_token() {
    if (!queued_) token_ = owner_.agent_.fresh_token(owner_.token_kind());
  }
  [[nodiscard]] std::string_view token() const noexcept { return token_; }
  [[nodiscard]] Answer const& answer() const noexcept { return answer_; }
  [[nodiscard]] Deadline asked_at() const noexcept { return asked_at_; }

  /// One round trip. What it leaves in doubt is given back in the background.
  [[nodiscard]] std::shared_ptr<Lease> ask(bool join);
  /// What the server has granted with that fence; nothing where only another question can tell.
  [[nodiscard]] std::shared_ptr<Lease> believe(std::uint64_t fence) const;
  void settle() noexcept { settled_ = true; }

 private:
  [[nodiscard]] std::shared_ptr<Lease> lease_with(std::uint64_t fence) const;
  void leave() noexcept;
  /// `length`: for how long a request that is in doubt is waited for, should it come after all.
  void give_back_later(milliseconds length) noexcept;

  Acquisition& owner_;
  Deadline deadline_;
  std::string token_;
  bool queued_;
  bool settled_ = false;
  Answer answer_{};
  Deadline asked_at_{};
};

std::shared_ptr<Lease> Acquisition::Place::ask(bool join) {
  auto const& terms = owner_.terms_;
  auto const keys = owner_.keys_->all();
  Argument const arguments[] = {
      token_,     terms.lease.count(), join ? 1 : 0, grant_time.count(), terms.ahead.count(),
      terms.limit};
  asked_at_ = steady_clock::now();
  auto const deadline =
      std::max(std::min(deadline_, owner_.core_.deadline()), asked_at_ + courtesy);
  try {
    auto const& kind = owner_.keys_->kind;
    answer_ = Answer::read(
        *owner_.keys_, owner_.core_.run(kind.acquire, keys,
                                        std::span{arguments}.first(kind.acquire_words), deadline));
    owner_.limit_ = answer_.limit;
  } catch (ServerError const& refusal) {
    // It was restarted, and will know its queue again in a moment.
    if (queued_ && refusal.code() == "LOADING") {
      answer_ = {.left = while_loading, .leads = true, .which = answer_.which};
      return nullptr;
    }
    if (queued_) give_back_later(std::max(terms.lease, grant_time));
    queued_ = false;
    throw;
  } catch (Error const& fault) {
    if (queued_ || fault.in_doubt()) give_back_later(std::max(terms.lease, grant_time));
    queued_ = false;
    throw;
  }
  if (answer_.adopted) {
    owner_.core_.options().warn(fmt::format(
        "lock \"{}\" was held by a stranger without an expiry, whose client may have died between "
        "SETNX and EXPIRE: it expires in {} ms now",
        owner_.one_of_them(answer_.which)->lock, terms.lease.count()));
  }
  queued_ = queued_ || join || answer_.held;
  if (!answer_.held) return nullptr;
  auto lease = lease_with(answer_.fence);
  lease->extend_from(asked_at_);
  return lease;
}

std::shared_ptr<Lease> Acquisition::Place::lease_with(std::uint64_t fence) const {
  auto const& terms = owner_.terms_;
  auto lease = std::make_shared<Lease>(owner_.keys_, token_, fence, terms.lease, terms.renew);
  lease->yield_to_foreign = terms.yield_to_foreign;
  lease->yield_for = terms.yield_for;
  return lease;
}

/// A message may be read long after it was sent, so it is no proof of time. But a grant with a
/// greater fence than the last answer was given after that answer, and lasts for `grant_time`: so
/// what is counted from when the question was sent ends before it. A message of an earlier stay in
/// the queue, whose grant may be over, has a lower fence.
std::shared_ptr<Lease> Acquisition::Place::believe(std::uint64_t fence) const {
  auto const& terms = owner_.terms_;
  if (!terms.renew || terms.lease < grant_time || fence <= answer_.last_fence) return nullptr;
  auto const now = steady_clock::now();
  auto lease = lease_with(fence);
  lease->extend(asked_at_, grant_time, now + renew_grant_after);
  return lease->valid_until.load() - now >= least_of_grant ? lease : nullptr;
}

void Acquisition::Place::give_back_later(milliseconds length) noexcept try {
  owner_.agent_.give_back_later(owner_.keys_, token_, length);
} catch (std::exception const&) {
  // No memory or no thread for it: the lease ends by itself, and the grant.
}

/// Out of the queue, or gives back what was granted meanwhile. Within `courtesy`, of now and of the
/// deadline if that has passed; or in the background.
void Acquisition::Place::leave() noexcept {
  if (!std::exchange(queued_, false)) return;
  auto const now = steady_clock::now();
  auto const late = std::min(std::max(now - deadline_, steady_clock::duration::zero()),
                             steady_clock::duration{courtesy});
  auto const& terms = owner_.terms_;
  auto const keys = owner_.keys_->all();
  ReleaseWords const words{*owner_.keys_, token_, terms.yield_to_foreign, terms.yield_for};
  try {
    (void)owner_.core_.run(owner_.keys_->kind.release, keys, words.all(), now + courtesy - late);
  } catch (std::exception const&) {
    give_back_later({});
  }
}

Acquisition::Acquisition(Core& core, std::shared_ptr<LockKeys const> keys, LockTerms const& terms)
    : core_{core},
      agent_{core.service<LockAgent>()},
      keys_{std::move(keys)},
      terms_{terms},
      site_{find_site()} {}

Acquisition::~Acquisition() {
  if (!keys_->kind.meets_here) agent_.tidy(site_);
}

TokenKind Acquisition::token_kind() const noexcept {
  if (terms_.shares) return TokenKind::shared;
  return terms_.linger.count() > 0 ? TokenKind::kept : TokenKind::plain;
}

std::shared_ptr<Site> Acquisition::find_site() const {
  if (!keys_->kind.meets_here) return agent_.own_site();
  // Strangers' turns are counted by the server, hand-off by hand-off.
  return agent_.site(*keys_, {.passes = terms_.yield_to_foreign > 0 ? 0 : terms_.local_passes,
                              .time = terms_.local_time,
                              .linger = terms_.linger});
}

Site::Entry Acquisition::enter(Waiter* waiter) {
  for (;;) {
    auto entry = site_->enter(steady_clock::now(), waiter);
    if (entry.as != Site::Entry::As::gone) return entry;
    site_ = find_site();
  }
}

std::shared_ptr<Lease> Acquisition::enter_again() {
  return site_->enter_again(steady_clock::now());
}

std::shared_ptr<Lease> Acquisition::try_once() {
  if (auto lease = site_->take_idle(steady_clock::now())) return lease;
  // Before it is first: this may fail, and the next would wait for ever.
  Waiter waiter{one_of_them(0)};
  auto entry = enter(nullptr);
  if (entry.as == Site::Entry::As::holder) return entry.lease;
  if (entry.as == Site::Entry::As::occupied) return nullptr;
  Place place{*this, Deadline::max()};  // first: whatever happens, the next is to go on
  place.choose_token();
  if (entry.lease) bring_back(*entry.lease);
  if (terms_.renew) agent_.start();
  Enlisted const enlisted{agent_, waiter, place.token()};
  auto lease = place.ask(false);
  if (!lease || !lease->trusted(steady_clock::now())) return nullptr;
  return settle(waiter, place, std::move(lease));
}

std::shared_ptr<Lease> Acquisition::settle(Waiter& waiter, Place& place,
                                           std::shared_ptr<Lease> lease) {
  agent_.settle(waiter, site_, lease);
  place.settle();
  if (terms_.renew) agent_.renewals().keep(lease);
  return lease;
}

std::shared_ptr<Lease> Acquisition::wait(Deadline deadline, std::stop_token const& stop) {
  if (auto lease = site_->take_idle(steady_clock::now())) return lease;
  Waiter waiter{one_of_them(0)};  // as above
  DeadlockCheck deadlock{core_, agent_, waiter, terms_, deadline};
  Wait const wait{waiter, deadlock, deadline, stop};
  auto entry = enter(&waiter);
  if (entry.as == Site::Entry::As::holder) return entry.lease;
  if (entry.as == Site::Entry::As::occupied) {
    bool first = false;
    auto lease = stand_in_line(wait, first);
    if (!first) return lease;
  }
  if (entry.lease) bring_back(*entry.lease);
  return go_to_server(wait);
}

std::shared_ptr<LockKeys const> const& Acquisition::one_of_them(std::size_t which) const {
  return keys_->several() ? keys_->parts.at(which) : keys_;
}

void Acquisition::turn(Wait const& wait, Place const& place, bool joined) {
  auto const which = place.answer().which;
  agent_.turn_to(wait.waiter, one_of_them(which));
  auto const held = keys_->locks().first(joined ? which : 0);
  wait.waiter.renew_at(held.empty() ? Deadline::max() : place.asked_at() + terms_.lease / 3);
  wait.deadlock.turn(place.token(), held);
}

/// A lease that was kept here and is used up.
void Acquisition::bring_back(Lease& idle) noexcept {
  agent_.renewals().forget(idle);
  try {
    (void)release(core_, idle);
  } catch (std::exception const&) {
    try {
      agent_.give_back_later(idle.keys, idle.token, {});
    } catch (std::exception const&) {
      // No memory or no thread for it: the lease ends by itself.
    }
  }
}

/// Until another thread passes its lease on, or makes this one the first, or it gives up.
std::shared_ptr<Lease> Acquisition::stand_in_line(Wait const& wait, bool& first) {
  auto& waiter = wait.waiter;
  for (;;) {
    switch (waiter.wait(wait.deadline, wait.stop)) {
      case Waiter::Woken::passed:
        return waiter.take_lease();
      case Waiter::Woken::promoted:
        first = true;
        return nullptr;
      case Waiter::Woken::to_ask:
      case Waiter::Woken::to_look:
        first = site_->look_again(steady_clock::now(), waiter);
        if (first) return nullptr;
        break;
      case Waiter::Woken::to_check:
        try {
          wait.deadlock.look();
        } catch (Deadlock const&) {
          if (site_->leave_line(waiter)) throw;
        }
        break;
      default:
        wait.deadlock.take_back();
        if (site_->leave_line(waiter)) return nullptr;
        // Too late to give up: it is its turn, and it has what it waited for or passes it on.
        first = !(waiter.wait(Deadline::max(), {}) == Waiter::Woken::passed);
        return waiter.take_lease();
    }
  }
}

std::shared_ptr<Lease> Acquisition::go_to_server(Wait const& wait) {
  auto& waiter = wait.waiter;
  Place place{*this, wait.deadline};  // first: whatever happens, the next is to go on
  place.choose_token();
  agent_.start();
  // Before it can be granted anything: a grant that finds nobody is taken for a dead waiter's.
  Enlisted const enlisted{agent_, waiter, place.token()};
  for (;;) {
    // Queued without being able to hear, it would be passed over; so it asks, and joins when it is
    // told it can hear.
    bool const joins = agent_.listening();
    if (keys_->several()) agent_.ask_anew(waiter);
    if (auto lease = place.ask(joins)) {
      if (lease->trusted(steady_clock::now())) return settle(waiter, place, std::move(lease));
      // The answer took so long that the lease may be over. To ask again is to renew it.
      if (steady_clock::now() < wait.deadline && !wait.stop.stop_requested()) continue;
      return nullptr;
    }
    auto const& answer = place.answer();
    if (keys_->several()) turn(wait, place, joins);
    agent_.expect(waiter, place.asked_at() + answer.left, answer.leads, answer.owners.empty());
    for (bool asks = false; !asks;) {
      switch (waiter.wait(wait.deadline, wait.stop)) {
        case Waiter::Woken::granted:
          if (auto lease = place.believe(waiter.take_grant())) {
            return settle(waiter, place, std::move(lease));
          }
          asks = true;
          break;
        case Waiter::Woken::to_look:
          agent_.look(waiter, answer.owners);
          break;
        case Waiter::Woken::to_check:
          wait.deadlock.look();
          break;
        case Waiter::Woken::by_refusal:
          throw *waiter.refusal();
        case Waiter::Woken::by_deadline:
        case Waiter::Woken::by_stop:
          wait.deadlock.take_back();
          return nullptr;
        default:
          asks = true;
      }
    }
  }
}

}  // namespace tandem::detail
