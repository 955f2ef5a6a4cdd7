#include "tandem/semaphore.hpp"

#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "locking/acquisition.hpp"
#include "locking/owners.hpp"
#include "locking/times.hpp"
#include "scripts.hpp"

namespace tandem {
namespace {

using std::chrono::steady_clock;

constexpr unsigned largest_limit = 1'000'000;

void require_limit(std::string_view name, unsigned limit) {
  detail::require(limit >= 1 && limit <= largest_limit, "semaphore", name,
                  fmt::format("the limit is {}; accepted is 1 to {}", limit, largest_limit));
}

detail::LockTerms terms_of(unsigned limit, SemaphoreOptions const& options) {
  return {.lease = options.lease,
          .renew = options.renew,
          .deadlock_after = options.deadlock_after,
          .shares = true,
          .limit = limit};
}

}  // namespace

Semaphore::Semaphore(Client client, std::string_view name, unsigned limit, SemaphoreOptions options)
    : client_{std::move(client)},
      keys_{std::make_shared<detail::LockKeys const>(name, detail::permits_kind)},
      limit_{limit},
      options_{options},
      warned_{std::make_shared<std::atomic<bool>>(false)} {
  detail::require_sane("semaphore", name, terms_of(limit, options));
  require_limit(name, limit);
}

std::string const& Semaphore::name() const noexcept { return keys_->lock; }

std::optional<Hold> Semaphore::try_acquire() const { return take(Wait::no, Deadline::max(), {}); }

std::optional<Hold> Semaphore::try_acquire_until(Deadline deadline) const {
  if (deadline <= steady_clock::now()) return try_acquire();
  return take(Wait::yes, deadline, {});
}

Hold Semaphore::acquire() const { return *take(Wait::yes, Deadline::max(), {}); }

std::optional<Hold> Semaphore::acquire(std::stop_token stop) const {
  return take(Wait::yes, Deadline::max(), stop);
}

std::optional<Hold> Semaphore::take(Wait wait, Deadline deadline,
                                    std::stop_token const& stop) const {
  auto const terms = terms_of(limit_, options_);
  detail::Acquisition acquisition{client_.core(), keys_, terms};
  auto lease = wait == Wait::no ? acquisition.try_once() : acquisition.wait(deadline, stop);
  compare(acquisition.limit());
  if (!lease) return std::nullopt;
  return Hold{client_, std::move(lease)};
}

/// `found`: 0 where the server was not asked.
void Semaphore::compare(unsigned found) const {
  if (found == 0 || found == limit_ || warned_->exchange(true)) return;
  client_.options().warn(
      fmt::format("semaphore \"{}\" has a limit of {} on the server, and was made with {}: the "
                  "server's is followed; set_limit changes it",
                  keys_->lock, found, limit_));
}

unsigned Semaphore::limit() const {
  auto& core = client_.core();
  Argument const most[] = {1};
  auto const reply = core.run(scripts::permits_holders, keys_->all(), most, core.deadline());
  auto const found = reply[0].as<unsigned>();
  return found == 0 ? limit_ : found;
}

void Semaphore::set_limit(unsigned limit) const {
  require_limit(keys_->lock, limit);
  auto& core = client_.core();
  Argument const arguments[] = {limit, detail::grant_time.count()};
  (void)core.run(scripts::permits_set_limit, keys_->all(), arguments, core.deadline());
}

std::vector<Owner> Semaphore::holders(std::size_t most) const {
  return detail::holders_of(client_.core(), *keys_, most);
}

std::vector<LockWaiter> Semaphore::waiters(std::size_t most) const {
  return detail::waiters_of(client_.core(), *keys_, most);
}

}  // namespace tandem
