#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include <tandem/lock.hpp>

#include "lock_agent.hpp"

namespace tandem::detail {

/// One thread's way to a lock: to the site, where it may find a lease or wait for another thread;
/// as the first of its process, to the server.
///
/// How the first acquires: ask (src/lua/lock/acquire.lua); if the lock is taken, stand in the queue
/// and sleep; ask again when a message, a timer or a reconnection says that the answer may be
/// another. Whatever wakes it, only the server's answer to its own question makes it a holder, so a
/// message that was lost, late or wrong costs time and no safety.
class Acquisition {
 public:
  Acquisition(Core& core, std::shared_ptr<LockKeys const> keys, LockOptions const& options);

  /// Empty when it is not free now.
  [[nodiscard]] std::shared_ptr<Lease> try_once();
  /// Empty when the deadline has passed, or stop was requested.
  [[nodiscard]] std::shared_ptr<Lease> wait(Deadline deadline, std::stop_token const& stop);

 private:
  class Place;
  class Enlisted;
  struct Answer;

  [[nodiscard]] std::shared_ptr<Lease> stand_in_line(Waiter& waiter, Deadline deadline,
                                                     std::stop_token const& stop, bool& first);
  [[nodiscard]] std::shared_ptr<Lease> go_to_server(Waiter& waiter, Deadline deadline,
                                                    std::stop_token const& stop);
  void bring_back(Lease& idle) noexcept;

  Core& core_;
  LockAgent& agent_;
  std::shared_ptr<LockKeys const> keys_;
  LockOptions const& options_;
  std::shared_ptr<Site> site_;
};

}  // namespace tandem::detail
