#include "lock_lease.hpp"

#include <algorithm>

#include "lock_site.hpp"

namespace tandem::detail {

void Lease::lose(Deadline now) {
  over = true;
  valid_until = std::min(valid_until.load(), now);
  std::optional<std::stop_source> watched;
  {
    std::lock_guard const guard{stop_mutex_};
    lost_ = true;
    watched = stop_;
  }
  if (site) site->lost(*this);
  if (watched) watched->request_stop();  // last: what it calls may be the end of all this
}

}  // namespace tandem::detail
