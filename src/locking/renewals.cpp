#include "locking/renewals.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "locking/times.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How soon a renewal that failed is tried again.
constexpr milliseconds retry_after{50};
constexpr std::chrono::seconds look_in_after{1};

}  // namespace

void LockRenewals::keep(std::shared_ptr<Lease> const& lease) {
  bool sooner = false;
  {
    std::lock_guard const guard{mutex_};
    kept_at_ = steady_clock::now();
    if (lease->due) return;
    lease->due = lease->renew ? lease->renew_at.load() : lease->valid_until.load();
    leases_.insert({*lease->due, lease});
    sooner = *lease->due < next_due_;
    if (sooner) next_due_ = *lease->due;
  }
  if (sooner) events_.wake();
}

void LockRenewals::forget(Lease& lease) {
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

Deadline LockRenewals::next() {
  std::lock_guard const guard{mutex_};
  auto const look_in = kept_at_ + look_in_after;
  next_due_ = leases_.empty() ? Deadline::max() : leases_.begin()->when;
  auto const now = steady_clock::now();
  for (auto const each : {look_in, granted_at_ + renew_grant_after}) {
    if (each > now) next_due_ = std::min(next_due_, each);
  }
  return next_due_;
}

void LockRenewals::serve(Deadline now) {
  std::vector<std::shared_ptr<Lease>> due;
  {
    std::lock_guard const guard{mutex_};
    while (!leases_.empty()) {
      auto const& next = *leases_.begin();
      bool const joins = !due.empty() && next.lease->renew &&
                         next.when <= now + next.lease->length / 8 &&
                         next.when == next.lease->renew_at.load();
      if (next.when > now && !joins) break;
      due.push_back(next.lease);
      due.back()->due.reset();
      leases_.erase(leases_.begin());
    }
  }
  // The first of a batch teaches the server the script, should it have forgotten it.
  bool in_full = true;
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

void LockRenewals::reschedule(std::shared_ptr<Lease> const& lease, Deadline when) {
  std::lock_guard const guard{mutex_};
  if (lease->over.load() || lease->due) return;
  lease->due = std::min(when, lease->valid_until.load());
  leases_.insert({*lease->due, lease});
}

void LockRenewals::renew(std::shared_ptr<Lease> const& lease, Deadline now, bool in_full) {
  Argument const arguments[] = {lease->token, lease->length.count()};
  CommandBuffer command;
  add_script(command, lease->keys->kind.renew, !in_full, lease->keys->locks(), arguments);
  // Not answered within this time, it is sent again over another connection, while the lease still
  // has its last third.
  auto const patience = now + lease->term.load() / 3;
  bool const sent =
      events_.send(command, patience, [this, lease, now, in_full](ReplyView const* reply) {
        take_renewal(lease, now, in_full, reply);
      });
  reschedule(lease,
             sent ? lease->valid_until.load() : now + std::min(retry_after, lease->length / 10));
}

void LockRenewals::take_renewal(std::shared_ptr<Lease> const& lease, Deadline sent, bool in_full,
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
  if (now >= lease->valid_until.load()) {
    // It ended before the answer came, and stays so: its token may hold again, by a late copy of the
    // question that acquired it, with the fence of somebody who held since.
    lease->lose(now);
  } else if (answered && reply->as<int>() == 1) {
    lease->extend_from(sent);
    reschedule(lease, lease->renew_at.load());
  } else if (answered) {
    lease->lose(now);
  } else if (reply != nullptr && is_unknown_script(*reply) && !in_full) {
    renew(lease, now, true);
  } else {
    reschedule(lease, now + std::min(retry_after, lease->length / 10));
  }
}

}  // namespace tandem::detail
