#pragma once

#include <memory>
#include <mutex>
#include <set>

#include "core/events.hpp"
#include "locking/lease.hpp"

namespace tandem::detail {

/// The leases of a client that are renewed, or whose end somebody wants to know.
///
/// Renewals leave together: what falls due within the next eighth of its lease goes with what is
/// due now, so that ten thousand leases, taken one by one, cost a few writes for each third of a
/// lease. A lease that cannot be renewed ends when `valid_until` passes, whatever the network does.
///
/// Threads: keep and forget from any; the rest on the event thread.
class LockRenewals {
 public:
  explicit LockRenewals(Events& events) : events_{events} {}

  /// Renews `lease` if it says so, and requests its stop when it ends.
  void keep(std::shared_ptr<Lease> const& lease);
  /// The opposite: it is being released.
  void forget(Lease& lease);

  void serve(Deadline now);
  /// When to serve next. Whoever keeps one that is due sooner wakes the event thread; so that who
  /// locks again and again does not each time, it looks in a second after the last was kept, and,
  /// where the server has just granted one, when that will be due.
  [[nodiscard]] Deadline next();
  void grant_was_heard(Deadline now) noexcept { granted_at_ = now; }

 private:
  struct Due {
    Deadline when;
    std::shared_ptr<Lease> lease;
    bool operator<(Due const& other) const noexcept {
      return when != other.when ? when < other.when : lease < other.lease;
    }
  };

  void renew(std::shared_ptr<Lease> const& lease, Deadline now, bool in_full);
  void take_renewal(std::shared_ptr<Lease> const& lease, Deadline sent, bool in_full,
                    ReplyView const* reply);
  void reschedule(std::shared_ptr<Lease> const& lease, Deadline when);

  Events& events_;
  std::mutex mutex_{};
  std::set<Due> leases_{};
  Deadline kept_at_{};                   // the last one
  Deadline granted_at_{};                // the event thread's own
  Deadline next_due_ = Deadline::max();  // what next() answered last
};

}  // namespace tandem::detail
