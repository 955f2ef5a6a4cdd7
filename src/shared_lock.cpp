#include "tandem/shared_lock.hpp"

#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "locking/acquisition.hpp"
#include "locking/downgrade.hpp"
#include "locking/owners.hpp"

namespace tandem {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

detail::LockTerms terms_of(SharedLockOptions const& options, bool shares) {
  return {.lease = options.lease,
          .renew = options.renew,
          .deadlock_after = options.deadlock_after,
          .shares = shares,
          .ahead = shares ? milliseconds{0} : options.writers_ahead};
}

/// Of this thread, for a lock that it holds shared.
void refuse_upgrade(detail::Core& core, detail::LockKeys const& keys) {
  auto const held = core.service<detail::LockAgent>().held_by(detail::this_thread_number());
  for (auto const& each : held) {
    if (each.lock != keys.lock || !detail::is_shared(each.token)) continue;
    throw Deadlock{fmt::format(
        "tandem: lock \"{}\": this thread holds it shared, and would wait for itself to hold it "
        "alone: release the shared hold before, or acquire it alone from the start",
        keys.lock)};
  }
}

}  // namespace

SharedLock::SharedLock(Client client, std::string_view name, SharedLockOptions options)
    : client_{std::move(client)},
      keys_{std::make_shared<detail::LockKeys const>(name, detail::permits_kind)},
      options_{options} {
  using std::chrono::hours;
  detail::require_sane("shared lock", name, terms_of(options, false));
  detail::require(
      options.writers_ahead >= milliseconds{0} && options.writers_ahead <= hours{1}, "shared lock",
      name,
      fmt::format("writers_ahead is {} ms; accepted is 0 to 1 h", options.writers_ahead.count()));
}

std::string const& SharedLock::name() const noexcept { return keys_->lock; }

std::optional<Hold> SharedLock::try_acquire() const {
  return take(Share::no, Wait::no, Deadline::max(), {});
}

std::optional<Hold> SharedLock::try_acquire_until(Deadline deadline) const {
  if (deadline <= steady_clock::now()) return try_acquire();
  return take(Share::no, Wait::yes, deadline, {});
}

Hold SharedLock::acquire() const { return *take(Share::no, Wait::yes, Deadline::max(), {}); }

std::optional<Hold> SharedLock::acquire(std::stop_token stop) const {
  return take(Share::no, Wait::yes, Deadline::max(), stop);
}

std::optional<Hold> SharedLock::try_acquire_shared() const {
  return take(Share::yes, Wait::no, Deadline::max(), {});
}

std::optional<Hold> SharedLock::try_acquire_shared_until(Deadline deadline) const {
  if (deadline <= steady_clock::now()) return try_acquire_shared();
  return take(Share::yes, Wait::yes, deadline, {});
}

Hold SharedLock::acquire_shared() const {
  return *take(Share::yes, Wait::yes, Deadline::max(), {});
}

std::optional<Hold> SharedLock::acquire_shared(std::stop_token stop) const {
  return take(Share::yes, Wait::yes, Deadline::max(), stop);
}

std::optional<Hold> SharedLock::take(Share share, Wait wait, Deadline deadline,
                                     std::stop_token const& stop) const {
  auto& core = client_.core();
  auto const terms = terms_of(options_, share == Share::yes);
  if (share == Share::no && options_.deadlock_after.count() > 0) refuse_upgrade(core, *keys_);
  detail::Acquisition acquisition{core, keys_, terms};
  auto lease = wait == Wait::no ? acquisition.try_once() : acquisition.wait(deadline, stop);
  if (!lease) return std::nullopt;
  return Hold{client_, std::move(lease)};
}

Hold SharedLock::downgrade(Hold&& writing) const {
  auto const& before = writing.lease_;
  if (!before || writing.outcome_ || before->keys->lock != keys_->lock ||
      &before->keys->kind != &keys_->kind || detail::is_shared(before->token)) {
    throw std::invalid_argument{fmt::format(
        "tandem: shared lock \"{}\": downgrade takes a hold that holds it alone", keys_->lock)};
  }
  return Hold{client_, detail::downgrade(client_.core(), std::exchange(writing.lease_, nullptr))};
}

std::vector<Owner> SharedLock::holders(std::size_t most) const {
  return detail::holders_of(client_.core(), *keys_, most);
}

std::vector<LockWaiter> SharedLock::waiters(std::size_t most) const {
  return detail::waiters_of(client_.core(), *keys_, most);
}

}  // namespace tandem
