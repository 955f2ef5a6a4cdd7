#include "locking/lock_terms.hpp"

#include <utility>

#include <fmt/core.h>

namespace tandem::detail {

LockTerms terms_of(LockOptions const& options) {
  return {.lease = options.lease,
          .renew = options.renew,
          .deadlock_after = options.deadlock_after,
          .linger = options.linger,
          .local_passes = options.local_passes,
          .local_time = options.local_time,
          .yield_to_foreign = options.yield_to_foreign,
          .yield_for = options.yield_for};
}

std::shared_ptr<LockKeys const> keys_of(std::string_view noun, std::string_view name,
                                        LockOptions const& options) {
  // What one of them acquired is what any of them would have.
  return std::make_shared<LockKeys const>(
      name, lock_kind,
      fmt::format("{} {} {} {} {} {} {} {} {}", noun, options.lease.count(), options.renew,
                  options.yield_to_foreign, options.yield_for.count(), options.linger.count(),
                  options.local_passes, options.local_time.count(), name));
}

void require_sane(std::string_view noun, std::string_view name, LockOptions const& options) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  require_sane(noun, name, terms_of(options));
  require(options.yield_for >= milliseconds{1} && options.yield_for <= hours{24}, noun, name,
          fmt::format("yield_for is {} ms; accepted is 1 ms to 24 h", options.yield_for.count()));
  require(options.linger >= milliseconds{0} && options.linger <= hours{1}, noun, name,
          fmt::format("linger is {} ms; accepted is 0 to 1 h", options.linger.count()));
  require(options.linger.count() == 0 || (options.renew && options.yield_to_foreign == 0), noun,
          name, "linger goes neither without renew nor with yield_to_foreign");
  require(options.local_time >= milliseconds{0} && options.local_time <= hours{1}, noun, name,
          fmt::format("local_time is {} ms; accepted is 0 to 1 h", options.local_time.count()));
}

}  // namespace tandem::detail
