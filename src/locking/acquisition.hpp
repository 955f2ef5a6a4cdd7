#pragma once

#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>

#include <tandem/core/options.hpp>

#include "locking/agent.hpp"
#include "locking/deadlock.hpp"
#include "locking/terms.hpp"

namespace tandem::detail {

/// One thread's way to a lock: to the site, where it may find a lease or wait for another thread;
/// as the first of its process, to the server.
///
/// How the first acquires: ask (src/lua/lock/acquire.lua); if the lock is taken, stand in the queue
/// and sleep; ask again when a message, a timer or a reconnection says that the answer may be
/// another. A grant makes it a holder if the last answer leaves no doubt of it (`Place::believe`);
/// whatever else wakes it, only the answer to its next question does. So a message that was lost or
/// late costs time and no safety.
class Acquisition {
 public:
  /// `terms` outlive it.
  Acquisition(Core& core, std::shared_ptr<LockKeys const> keys, LockTerms const& terms);
  ~Acquisition();
  Acquisition(Acquisition const&) = delete;
  Acquisition& operator=(Acquisition const&) = delete;

  /// Of what this thread holds already, without a command; empty when it holds nothing.
  [[nodiscard]] std::shared_ptr<Lease> enter_again();
  /// Empty when it is not free now.
  [[nodiscard]] std::shared_ptr<Lease> try_once();
  /// Empty when the deadline has passed, or stop was requested.
  [[nodiscard]] std::shared_ptr<Lease> wait(Deadline deadline, std::stop_token const& stop);

  /// How many may hold at once, as the server said last; 0 where there is no limit.
  [[nodiscard]] unsigned limit() const noexcept { return limit_; }

 private:
  class Place;
  class Enlisted;
  struct Answer;

  /// What a wait goes with.
  struct Wait {
    Waiter& waiter;
    DeadlockCheck& deadlock;
    Deadline deadline;
    std::stop_token const& stop;
  };
  [[nodiscard]] std::shared_ptr<Site> find_site() const;
  /// Into the site; where that is gone, into the one that followed it.
  [[nodiscard]] Site::Entry enter(Waiter* waiter);
  [[nodiscard]] std::shared_ptr<Lease> stand_in_line(Wait const& wait, bool& first);
  [[nodiscard]] std::shared_ptr<Lease> go_to_server(Wait const& wait);
  /// The first of its process has it now.
  std::shared_ptr<Lease> settle(Waiter& waiter, Place& place, std::shared_ptr<Lease> lease);
  /// Of several locks, as the server has just answered: which of them is waited for, and what is
  /// held meanwhile.
  void turn(Wait const& wait, Place const& place, bool joined);
  void bring_back(Lease& idle) noexcept;
  [[nodiscard]] TokenKind token_kind() const noexcept;
  /// The lock, or of several one.
  [[nodiscard]] std::shared_ptr<LockKeys const> const& one_of_them(std::size_t which) const;

  Core& core_;
  LockAgent& agent_;
  std::shared_ptr<LockKeys const> keys_;
  LockTerms const& terms_;
  std::shared_ptr<Site> site_;
  unsigned limit_ = 0;
};

}  // namespace tandem::detail
