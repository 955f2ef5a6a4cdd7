#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/core/error.hpp>

#include "locking/agent.hpp"
#include "locking/terms.hpp"

namespace tandem::detail {

/// Looks, for one thread that waits for a lock while it holds others, whether it waits for itself.
///
/// A thread that has waited for `deadlock_after` and holds something says on the server for what it
/// waits and what it holds; then it follows the edges: who holds what it waits for, for what do those
/// wait, who holds that. Of a lock all who hold it must go on, of a semaphore any one; who waits for
/// somebody that does not wait will have its turn, and is taken out of the picture, and who waits for
/// those, too. Whoever is left and waits for itself is in a circle; whoever joins it last finds all
/// of it there. A circle that is the same at a second look is real: nobody in it can have moved in
/// between. One of its members is to give up, the one whose name is the greatest; another that finds
/// the circle tells that one to look.
///
/// Shape:   hash `tandem:waits:<client>`, a field for each such thread of a client; expires.
/// Cost:    nothing before `deadlock_after`, or for a thread that holds nothing. Then 2 commands, and
///          2 for each member that is met; again after 2 s, 4 s, ... 16 s. At the end of such a wait
///          1 round trip, in which it takes back what it said.
/// Source:  Coffman, Elphick, Shoshani, "System Deadlocks", 1971 (the graph); Holt, "Some Deadlock
///          Properties of Computer Systems", 1972 (its reduction); Obermarck, "Distributed Deadlock
///          Detection Algorithm", 1982 (one victim by the order of names).
class DeadlockCheck {
 public:
  /// Of a wait that is to end at `deadline`.
  DeadlockCheck(Core& core, LockAgent& agent, Waiter& waiter, LockTerms const& terms,
                Deadline deadline);
  ~DeadlockCheck();
  DeadlockCheck(DeadlockCheck const&) = delete;
  DeadlockCheck& operator=(DeadlockCheck const&) = delete;

  /// Of several locks: it waits for the next one now, and holds these as `token` meanwhile.
  void turn(std::string_view token, std::span<std::string_view const> held);

  /// Called when it is time; takes 200 ms at most, and no longer than to the deadline. Throws Deadlock
  /// where this thread is the one to give up.
  void look();
  /// Called before the thread gives up its wait. Who looks must not believe of one that goes on, or
  /// is stopped outside of its wait, that it waits.
  void take_back() noexcept;

 private:
  struct Circle;
  class Picture;

  void publish(std::vector<LockAgent::Held> const& held, Deadline until);

  Core& core_;
  LockAgent& agent_;
  Waiter& waiter_;
  LockTerms::Needs const needs_;
  std::chrono::milliseconds const after_;
  Deadline const deadline_;
  std::string const thread_;  // this one, among those of its client
  std::string id_{};          // of this wait; empty before it is published
  std::vector<LockAgent::Held> so_far_{};
  std::chrono::milliseconds pause_;
  std::string seen_{};  // the circle of the look before
};

}  // namespace tandem::detail
