#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/hold.hpp>
#include <tandem/owner.hpp>

namespace tandem {

namespace detail {
struct LockKeys;
}

/// How a semaphore behaves for those who acquire a permit through this object.
struct SemaphoreOptions {
  /// How long a permit lasts without renewal, and so how long one is missing whose holder died. From
  /// 10 ms to a day.
  std::chrono::milliseconds lease{std::chrono::seconds{10}};

  /// Whether the client's background thread renews the permit, at each third of its lease, until it
  /// is released. Without it a permit ends with its first lease.
  bool renew = true;

  /// A thread that has waited for so long, and holds other locks of its client that are renewed,
  /// looks whether it waits for itself; see LockOptions. 0: never, and where holds move to other
  /// threads. From 10 ms to 1 h.
  std::chrono::milliseconds deadlock_after{std::chrono::seconds{1}};
};

/// At most so many holders at a time, among all threads of all processes that use the name.
///
///     tandem::Semaphore encoders{redis, "encoders", 4};
///     if (std::optional<tandem::Hold> permit = encoders.try_acquire_for(1s)) {
///         encode();
///     }                                     // given back here, to the first waiter
///
/// Each permit is a `Hold`, with a lease and a fence of its own: of a holder that died the permit
/// comes back when its lease ends, or at once where a waiter of the same machine sees it die. Waiters
/// stand in a queue on the server and are woken by it, in order.
///
/// The limit is the server's: the first to use the name says it, and from then on it changes by
/// `set_limit` only. A `Semaphore` that was made with another one follows the server's, and says so
/// once through Options::on_warning. Who holds beyond a lowered limit goes on.
///
/// Not promised: that a permit's fences order what its holders do: there are several at a time. That
/// strangers count. Else as `Lock`; see docs/locks.md.
///
/// Shape:   zset    `<name>`            tokens, by when their leases end, in microseconds of the
///                                      server's clock; those whose lease has ended stay for a day
///          zset    `{<name>}:waiters`  tokens in the order they came
///          hash    `{<name>}:state`    limit, fence; of each holder its fence, and its last commit;
///                                      it never expires
///          channel `tandem:<client>`   as of `Lock`
///          Stored layout since 0.1; changing it breaks running processes.
/// Cost:    acquire and release 1 round trip and 1 command each, also after waiting, as of `Lock`.
/// Errors:  as `Lock`. The constructor throws std::invalid_argument.
/// Threads: safe from several.
/// Source:  src/lua/permits/; Dijkstra, "Cooperating sequential processes", 1965.
/// See examples/semaphore.cpp.
class Semaphore {
 public:
  /// `limit`: from 1 to 1,000,000, for a name that nobody has used yet. Throws
  /// std::invalid_argument for one out of range, an empty name, or a time out of range.
  Semaphore(Client client, std::string_view name, unsigned limit, SemaphoreOptions options = {});

  /// A permit, as `Lock` gives a hold.
  [[nodiscard]] std::optional<Hold> try_acquire() const;
  [[nodiscard]] std::optional<Hold> try_acquire_until(Deadline deadline) const;
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Hold> try_acquire_for(
      std::chrono::duration<Rep, Period> longest) const {
    return try_acquire_until(detail::deadline_in(longest));
  }
  [[nodiscard]] Hold acquire() const;
  [[nodiscard]] std::optional<Hold> acquire(std::stop_token stop) const;

  /// The limit that holds on the server; ours where nobody has used the name yet.
  ///
  /// Cost:    1 round trip.
  [[nodiscard]] unsigned limit() const;

  /// Changes it for all, at once; waiters get what there is more. Throws std::invalid_argument for
  /// one out of range.
  ///
  /// Cost:    1 round trip, 1 command.
  void set_limit(unsigned limit) const;

  /// Who holds a permit now, those first whose leases end first.
  ///
  /// Cost:    1 round trip.
  [[nodiscard]] std::vector<Owner> holders(std::size_t most = 1000) const;

  /// Who waits, the first of the queue first.
  ///
  /// Cost:    1 round trip.
  [[nodiscard]] std::vector<LockWaiter> waiters(std::size_t most = 1000) const;

  [[nodiscard]] std::string const& name() const noexcept;

 private:
  enum class Wait { no, yes };
  [[nodiscard]] std::optional<Hold> take(Wait wait, Deadline deadline,
                                         std::stop_token const& stop) const;
  void compare(unsigned found) const;

  Client client_;
  std::shared_ptr<detail::LockKeys const> keys_;
  unsigned limit_;
  SemaphoreOptions options_;
  std::shared_ptr<std::atomic<bool>> warned_;
};

}  // namespace tandem
