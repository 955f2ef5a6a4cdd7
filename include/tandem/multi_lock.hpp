#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/hold.hpp>

namespace tandem {

namespace detail {
struct LockKeys;
struct MultiNames;
class StopRelay;
}  // namespace detail

/// How several locks behave for those who acquire them through one object.
struct MultiLockOptions {
  /// How long a hold lasts without renewal, and so how long others wait for a holder that died.
  /// From 10 ms to a day.
  std::chrono::milliseconds lease{std::chrono::seconds{10}};

  /// Whether the client's background thread renews the hold, at each third of its lease, until it
  /// is released. Without it a hold ends with its first lease.
  bool renew = true;

  /// A thread that has waited for so long, and holds other locks of its client that are renewed, or
  /// some of these, looks whether it waits for itself; see LockOptions. 0: never, and where holds
  /// move to other threads. From 10 ms to 1 h.
  std::chrono::milliseconds deadlock_after{std::chrono::seconds{1}};
};

/// The proof that all locks of a `MultiLock` are held, from the last grant to the release. Else as
/// `Hold`.
///
/// Threads: every member but release(), assignment and destruction is safe from several.
class [[nodiscard]] MultiHold {
 public:
  /// Strictly increasing from hold to hold of that name, by whichever `Lock` or `MultiLock`.
  ///
  /// Errors:  std::invalid_argument for a name that is not held by it.
  [[nodiscard]] std::uint64_t fence(std::string_view name) const;

  /// When the first of the parts ends unless it is renewed before.
  [[nodiscard]] Deadline valid_until() const noexcept;

  /// Whether all can be trusted at this moment. A local answer: no round trip.
  [[nodiscard]] bool held() const noexcept;

  /// Requested the moment one of them can no longer be trusted; as Hold::stop_token.
  [[nodiscard]] std::stop_token stop_token() const;

  /// All names as one hold, for what takes one: `map.set(key, value, both.hold())`. It is not held
  /// once one of them is lost.
  ///
  /// Errors:  std::logic_error where a cluster keeps the names in several slots: no script can
  ///          guard them together then. LockLost of a hold that was moved from.
  [[nodiscard]] Hold const& hold() const;

  /// Applies what `body` queues if and only if all are still held at that moment; as Hold::commit.
  ///
  /// Cost:    1 round trip, 1 command.
  /// Errors:  as Hold::commit, and as hold().
  template <class Body>
  void commit(Body&& body) const {
    hold().commit(std::forward<Body>(body));
  }

  /// Gives all of them back, each to its first waiter where there is one; later calls return the
  /// first one's result. The worst of what became of the parts: unknown, else taken_over, else
  /// expired, else released.
  ///
  /// Cost:    1 round trip, 1 command; for each slot of a cluster.
  /// Errors:  as Hold::release.
  Release release() noexcept;

 private:
  friend class MultiLock;
  /// What shares a slot.
  struct Part {
    Hold hold;
    std::shared_ptr<detail::LockKeys const> keys;
  };
  explicit MultiHold(std::vector<Part> parts);

  std::vector<Part> parts_;
  std::shared_ptr<detail::StopRelay> relay_{};  // of several parts
};

/// Several locks at once, all or none.
///
///     tandem::MultiLock both{redis, {"orders:42", "stock:7"}};
///     if (std::optional<tandem::MultiHold> hold = both.try_acquire_for(200ms)) {
///         hold->commit([](tandem::Transaction& tx) { tx.queue("DECR", "left:7"); });
///     }                                     // all given back here, each to its first waiter
///
/// Each name is the `Lock` of that name: who holds it as one excludes who holds it as part of several,
/// strangers included; all stand in the same queue, and the fences of a name go on through both.
///
/// Free names are taken by one script. Where one is taken, those before it are held already while the
/// thread waits in its queue, in an order that is the same for all: by the bytes of the names. So
/// those who use `MultiLock` alone never wait for one another in a circle; who holds other locks as
/// well may, and is told by `Deadlock`. One token and one lease are for all names: when one is lost,
/// all are.
///
/// On a cluster names that share a slot (a hash tag: "{42}:order", "{42}:stock") are taken as above.
/// Others are taken slot by slot, in the order of the slots, and all given back where one cannot be
/// had; they cannot be guarded together by a `commit`. The object finds out when it asks first.
///
/// Not promised: fairness beyond that of each queue: who wants many names waits in one queue after the
/// other, holding what it has. Passing on and lingering within a process, as `Lock` does: each hold is
/// the server's. Turns for strangers: its releases are not counted by `yield_to_foreign`. Re-entry: a
/// name that this thread holds is waited for. Else as `Lock`; see docs/locks.md.
///
/// | the names                      | try_acquire             | acquire                               |
/// |--------------------------------|-------------------------|---------------------------------------|
/// | all free                       | held                    | held                                  |
/// | one is free, others wait for it | empty; the first waiter gets it | waits behind them, holding those before |
/// | one is held by another         | empty, nothing is kept  | waits, holding those before           |
///
/// Shape:   of each name as `Lock`; the last commit is kept in the state of the first.
/// Cost:    acquire and release 1 round trip and 1 command each, with any number of names; after
///          waiting 1 more for each name that was waited for. While it waits with some names in hand
///          it asks at each third of the lease, to renew them.
/// Errors:  as `Lock`. The constructor throws std::invalid_argument.
/// Threads: safe from several.
/// Source:  src/lua/multi_lock/; Havender, "Avoiding deadlock in multitasking systems", 1968 (one
///          order for all).
/// See examples/multi_lock.cpp.
class MultiLock {
 public:
  static constexpr std::size_t most_names = 100;

  /// `names` are sorted, and one that is given twice counts once. Throws std::invalid_argument for
  /// none or more than most_names, an empty one, two that share a queue ("x" and "{x}"), or a time out
  /// of range.
  MultiLock(Client client, std::vector<std::string> names, MultiLockOptions options = {});

  /// All of them, as `Lock` gives a hold of one.
  [[nodiscard]] std::optional<MultiHold> try_acquire() const;
  [[nodiscard]] std::optional<MultiHold> try_acquire_until(Deadline deadline) const;
  template <class Rep, class Period>
  [[nodiscard]] std::optional<MultiHold> try_acquire_for(
      std::chrono::duration<Rep, Period> longest) const {
    return try_acquire_until(detail::deadline_in(longest));
  }
  [[nodiscard]] MultiHold acquire() const;
  [[nodiscard]] std::optional<MultiHold> acquire(std::stop_token stop) const;

  /// In the order in which they are taken.
  [[nodiscard]] std::vector<std::string> const& names() const noexcept;

 private:
  enum class Wait { no, yes };
  [[nodiscard]] std::optional<MultiHold> take(Wait wait, Deadline deadline,
                                              std::stop_token const& stop) const;
  [[nodiscard]] std::optional<MultiHold> take_each(
      std::vector<std::shared_ptr<detail::LockKeys const>> const& groups, Wait wait,
      Deadline deadline, std::stop_token const& stop) const;

  Client client_;
  std::shared_ptr<detail::MultiNames> names_;
  MultiLockOptions options_;
};

}  // namespace tandem
