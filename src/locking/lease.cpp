#include "locking/lease.hpp"

#include <algorithm>

#include "locking/site.hpp"

namespace tandem::detail {

std::uint64_t this_thread_number() noexcept {
  static std::atomic<std::uint64_t> count{0};
  thread_local std::uint64_t const number = ++count;
  return number;
}

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
