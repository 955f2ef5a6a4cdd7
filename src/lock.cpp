#include "tandem/lock.hpp"

#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "locking/acquisition.hpp"
#include "locking/owners.hpp"

namespace tandem {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Threads meet where these are the same: what one of them acquired is what any of them would have.
std::string site_of(std::string_view name, LockOptions const& options) {
  return fmt::format("{} {} {} {} {} {} {} {}", options.lease.count(), options.renew,
                     options.yield_to_foreign, options.yield_for.count(), options.linger.count(),
                     options.local_passes, options.local_time.count(), name);
}

std::shared_ptr<detail::LockKeys const> keys_of(std::string_view name, LockOptions const& options) {
  return std::make_shared<detail::LockKeys const>(name, detail::lock_kind, site_of(name, options));
}

detail::LockTerms terms_of(LockOptions const& options) {
  return {.lease = options.lease,
          .renew = options.renew,
          .deadlock_after = options.deadlock_after,
          .linger = options.linger,
          .local_passes = options.local_passes,
          .local_time = options.local_time,
          .yield_to_foreign = options.yield_to_foreign,
          .yield_for = options.yield_for};
}

}  // namespace

Lock::Lock(Client client, std::string_view name, LockOptions options)
    : client_{std::move(client)}, keys_{keys_of(name, options)}, options_{options} {
  using detail::require;
  using std::chrono::hours;
  detail::require_sane("lock", name, terms_of(options));
  require(options.yield_for >= milliseconds{1} && options.yield_for <= hours{24}, "lock", name,
          fmt::format("yield_for is {} ms; accepted is 1 ms to 24 h", options.yield_for.count()));
  require(options.linger >= milliseconds{0} && options.linger <= hours{1}, "lock", name,
          fmt::format("linger is {} ms; accepted is 0 to 1 h", options.linger.count()));
  require(options.linger.count() == 0 || (options.renew && options.yield_to_foreign == 0), "lock",
          name, "linger goes neither without renew nor with yield_to_foreign");
  require(options.local_time >= milliseconds{0} && options.local_time <= hours{1}, "lock", name,
          fmt::format("local_time is {} ms; accepted is 0 to 1 h", options.local_time.count()));
}

std::string const& Lock::name() const noexcept { return keys_->lock; }

std::optional<Hold> Lock::try_acquire() const { return take(Wait::no, Deadline::max(), {}); }

std::optional<Hold> Lock::try_acquire_until(Deadline deadline) const {
  if (deadline <= steady_clock::now()) return try_acquire();
  return take(Wait::yes, deadline, {});
}

Hold Lock::acquire() const { return *take(Wait::yes, Deadline::max(), {}); }

std::optional<Hold> Lock::acquire(std::stop_token stop) const {
  return take(Wait::yes, Deadline::max(), stop);
}

std::optional<Hold> Lock::take(Wait wait, Deadline deadline, std::stop_token const& stop) const {
  auto const terms = terms_of(options_);
  detail::Acquisition acquisition{client_.core(), keys_, terms};
  auto lease = wait == Wait::no ? acquisition.try_once() : acquisition.wait(deadline, stop);
  if (!lease) return std::nullopt;
  return Hold{client_, std::move(lease)};
}

std::optional<Owner> Lock::owner() const { return detail::owner_of(client_.core(), *keys_); }

std::vector<LockWaiter> Lock::waiters(std::size_t most) const {
  return detail::waiters_of(client_.core(), *keys_, most);
}

}  // namespace tandem
