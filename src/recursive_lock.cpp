#include "tandem/recursive_lock.hpp"

#include <utility>

#include "core/core.hpp"
#include "locking/acquisition.hpp"
#include "locking/lock_terms.hpp"
#include "locking/owners.hpp"

namespace tandem {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view noun = "recursive lock";

}  // namespace

RecursiveLock::RecursiveLock(Client client, std::string_view name, LockOptions options)
    : client_{std::move(client)}, keys_{detail::keys_of(noun, name, options)}, options_{options} {
  detail::require_sane(noun, name, options);
}

std::string const& RecursiveLock::name() const noexcept { return keys_->lock; }

std::optional<Hold> RecursiveLock::try_acquire() const {
  return take(Wait::no, Deadline::max(), {});
}

std::optional<Hold> RecursiveLock::try_acquire_until(Deadline deadline) const {
  if (deadline <= steady_clock::now()) return try_acquire();
  return take(Wait::yes, deadline, {});
}

Hold RecursiveLock::acquire() const { return *take(Wait::yes, Deadline::max(), {}); }

std::optional<Hold> RecursiveLock::acquire(std::stop_token stop) const {
  return take(Wait::yes, Deadline::max(), stop);
}

std::optional<Hold> RecursiveLock::take(Wait wait, Deadline deadline,
                                        std::stop_token const& stop) const {
  auto const terms = detail::terms_of(options_);
  detail::Acquisition acquisition{client_.core(), keys_, terms};
  auto lease = acquisition.enter_again();
  if (!lease) {
    lease = wait == Wait::no ? acquisition.try_once() : acquisition.wait(deadline, stop);
  }
  if (!lease) return std::nullopt;
  return Hold{client_, std::move(lease)};
}

std::optional<Owner> RecursiveLock::owner() const {
  return detail::owner_of(client_.core(), *keys_);
}

std::vector<LockWaiter> RecursiveLock::waiters(std::size_t most) const {
  return detail::waiters_of(client_.core(), *keys_, most);
}

}  // namespace tandem
