#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "locking/lease.hpp"
#include "locking/waiter.hpp"

namespace tandem::detail {

/// The threads of this process that want the same lock, in the order in which they came: the first
/// of them goes to the server, the others wait for it here.
///
/// A lease that is given back goes to the next thread as long as it may, and not to the server:
/// for so many holds and for so long (`Bounds`), so that other processes have their turn. With
/// `linger` a lease that nobody here wants is kept for a moment, idle, and taken again without a
/// command; where the server tells that another process wants it, it is kept no longer.
///
/// Threads: safe from several.
/// Source:  Dice, Marathe, Shavit, "Lock cohorting", 2012 (bounded local passing); Gray, Cheriton,
///          "Leases", 1989.
class Site : public std::enable_shared_from_this<Site> {
 public:
  struct Bounds {
    unsigned passes = 0;                 ///< holds of one lease in a row, after the first ...
    std::chrono::milliseconds time{};    ///< ... and within that time, while others may be waiting
    std::chrono::milliseconds linger{};  ///< 0: an idle lease goes back at once
  };
  Site(std::string key, Bounds bounds) : key_{std::move(key)}, bounds_{bounds} {}

  struct Entry {
    enum class As { holder, first, occupied, gone } as;
    std::shared_ptr<Lease>
        lease{};  // of a holder; of the first: an idle one to be given back before
  };
  /// Takes an idle lease, if there is one that may be kept.
  [[nodiscard]] std::shared_ptr<Lease> take_idle(Deadline now);
  /// Takes an idle lease, or goes first where nobody else does. Occupied: somebody is there; with a
  /// `waiter` that stands in the line now. Gone: threads meet at another one meanwhile.
  [[nodiscard]] Entry enter(Deadline now, Waiter* waiter);

  /// What the calling thread holds here, once more: of the same hold there is one more to be given
  /// back. Empty when it holds nothing that can be trusted.
  [[nodiscard]] std::shared_ptr<Lease> enter_again(Deadline now);

  /// Of one who stands in the line: whether it became the first, because the lease that it waited
  /// for has ended. When not, it looks again when that lease would end.
  [[nodiscard]] bool look_again(Deadline now, Waiter& waiter);
  /// `lease` ended without a release: the first of the line is told to look again.
  void lost(Lease const& lease);
  /// Gives up standing in the line. False: too late, it has been passed the lease or made the first.
  [[nodiscard]] bool leave_line(Waiter& waiter);

  /// The first has got a lease. `asked_for`: others may want it.
  void occupy(std::shared_ptr<Lease> const& lease, Deadline now, bool asked_for);
  /// The first gives up, or what it brought back to the server is there: the next goes first. True
  /// when there is one. `token`: stands in the server's queue for the next to go on with.
  bool go_on(std::string token);
  /// What the one before left; empty when nothing.
  [[nodiscard]] std::string take_token();

  enum class Parting { still_inside, passed_on, kept, to_be_given_back, not_here, lost };
  /// The holder is done. To be given back: then call go_on. Not here: this lease had ended already.
  /// Still inside, or lost: it has entered more often than it has left; lost: what it has left is
  /// not to be trusted any more.
  [[nodiscard]] Parting leave(Lease& lease, Deadline now);

  /// Another process wants the lease, or may want it: an idle one is over now, and returned to be
  /// given back.
  [[nodiscard]] std::shared_ptr<Lease> revoke();
  /// The same for one that has been idle for long enough. `next`: when to look again; none where no
  /// lease is left.
  [[nodiscard]] std::shared_ptr<Lease> revoke_idle(Deadline now, std::optional<Deadline>& next);

  [[nodiscard]] bool holds(std::string_view token) const;
  /// What that thread holds here, and will hold until it gives it back.
  [[nodiscard]] std::shared_ptr<Lease> held_by(std::uint64_t thread) const;
  /// Nobody enters it from now on; false while somebody is there.
  [[nodiscard]] bool close_if_unused();
  [[nodiscard]] std::string const& key() const noexcept { return key_; }
  [[nodiscard]] Bounds const& bounds() const noexcept { return bounds_; }

 private:
  [[nodiscard]] bool is_held_by(std::uint64_t thread, Deadline now) const;
  [[nodiscard]] bool may_take_idle(Deadline now) const;
  [[nodiscard]] bool may_keep(Lease const& lease, Deadline now) const;
  [[nodiscard]] std::shared_ptr<Lease> end_idle();

  std::string const key_;
  Bounds const bounds_;
  mutable std::mutex mutex_{};
  std::shared_ptr<Lease> lease_{};  // held by a thread, or idle
  bool idle_ = false;
  Deadline idle_until_{};
  bool someone_is_first_ = false;  // on the way to the server, or back
  bool closed_ = false;
  bool wanted_ = false;
  Deadline wanted_since_{};
  unsigned passes_ = 0;  // since then
  std::string token_{};
  std::deque<Waiter*> line_{};
};

}  // namespace tandem::detail
