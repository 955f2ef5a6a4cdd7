#include "lock_release.hpp"

#include "lock_times.hpp"
#include "scripts.hpp"

namespace tandem::detail {

Release release(Core& core, Lease const& lease) {
  auto const keys = lease.keys->all();
  Argument const arguments[] = {lease.token, grant_time.count(), lease.yield_to_foreign,
                                lease.yield_for.count(), lease.fence};
  auto const reply = core.run(scripts::lock_release, keys, arguments, core.deadline());
  switch (reply.as<int>()) {
    case 0:
      return Release::expired;
    case 1:
      return Release::released;
    default:
      return Release::taken_over;
  }
}

}  // namespace tandem::detail
