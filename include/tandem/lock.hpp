#pragma once

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

}  // namespace detail

/// How a lock behaves for those who acquire it through this object.
struct LockOptions {
  /// How long a hold lasts without renewal, and so how long others wait for a holder that died.
  /// From 10 ms to a day. One that was handed over by the holder before lasts for up to a second at
  /// first, and is renewed after 5 ms, for the whole lease.
  std::chrono::milliseconds lease{std::chrono::seconds{10}};

  /// Whether the client's background thread renews the hold, at each third of its lease, until it
  /// is released. Without it a hold ends with its first lease.
  bool renew = true;

  /// Keeps the lock for so long after a release, for the next thread of this process that wants it:
  /// to take it again then costs no command. Another process that asks gets it at once, or after the
  /// section in progress; only its try_acquire finds it taken, once. For names that one process locks
  /// again and again and others seldom. 0: given back by the release. Not without `renew`, and not
  /// with `yield_to_foreign`: strangers cannot ask. To 1 h.
  std::chrono::milliseconds linger{0};

  /// While other processes may be waiting, threads of this one pass the lock on among themselves for
  /// so many holds in a row, and for so long (the last section comes on top); then it is the others'
  /// turn. Each hold has its own fence. 0: every hold is given back to the server. Not without `renew`.
  unsigned local_passes = 100;
  std::chrono::milliseconds local_time{20};

  /// A thread that has waited for so long, and holds other locks of its client that are renewed, looks
  /// whether it waits for itself: through other threads and processes, however many. One of such a
  /// circle gets `Deadlock`. Who acquired a hold is taken for who will release it: where holds move
  /// to other threads, say 0, never. From 10 ms to 1 h.
  std::chrono::milliseconds deadlock_after{std::chrono::seconds{1}};

  /// After this many hand-offs in a row from waiter to waiter a release leaves the key free for
  /// `yield_for`, so that clients that poll it (SETNX, other libraries) get their turn. 0: never;
  /// right where only tandem uses the name.
  unsigned yield_to_foreign = 0;
  std::chrono::milliseconds yield_for{
      10};  ///< at least 1 ms; longer than the strangers' polling interval
};

/// At most one holder of a name at a time, among all threads of all processes that use it.
///
///     tandem::Lock lock{redis, "orders:42"};
///     if (std::optional<tandem::Hold> hold = lock.try_acquire_for(200ms)) {
///         charge(hold->fence());
///     }                                     // given back here, to the first waiter
///
/// Waiters stand in a queue on the server and are woken one by one, in order: a release writes the
/// lock in the first living waiter's name and tells it so. Nobody polls. A waiter that dies is
/// passed over. A holder that dies is followed at once by a waiter of the same machine (which
/// watches its process), else when its lease ends.
///
/// Threads of one process that use one client queue in the process, and pass the lock on among
/// themselves for a bounded time (`LockOptions::local_passes`). They meet where name and options are
/// the same.
///
/// Take `Mutex` for the face of std::timed_mutex. To change data that live in Redis, a
/// `Transaction` or a `Script` needs no lock at all.
///
/// Not promised: survival of a failover to a replica that had not heard of the lock; see
/// docs/locks.md. Re-entry: a thread that acquires what it holds waits for itself; `RecursiveLock`
/// lets it in.
///
/// Strangers: a key set by SETNX + EXPIRE or SET NX PX under the same name is respected as a lock,
/// and ours by them. A waiter gives a stranger's key that never expires (its owner died between the
/// two commands) its own lease.
///
/// | state of the lock       | try_acquire    | acquire                         | release by a hold          |
/// |-------------------------|----------------|---------------------------------|----------------------------|
/// | free                    | held           | held                            | expired                    |
/// | free, others wait       | empty; the first waiter gets it | waits behind them | expired                  |
/// | held by that hold       | -              | -                               | released                   |
/// | held by another         | empty          | waits                           | taken_over                 |
///
/// What a holder did before release() is done, in Redis and in memory it shares, when the next one
/// holds.
///
/// Shape:   string  `<name>`            the holder's token, with the lease as its expiry
///          zset    `{<name>}:waiters`  tokens in the order they came
///          hash    `{<name>}:state`    fence, since, released, lost, run, yielding, moment,
///                                      committer, commit; it never expires
///          channel `tandem:<client>`   what is said to the waiters and holders of one client
///          A name with a hash tag of its own keeps it; so the locks "x" and "{x}", though
///          two different locks, share a queue and disturb each other: use one of the two.
///          Stored layout since 0.1; changing it breaks running processes.
/// Cost:    acquire and release 1 round trip and 1 command each, also after waiting; none for what is
///          passed on or kept within the process. 1 more to acquire after a wait of half a second, or
///          with a lease below 1 s or without `renew`. A waiter asks again at most once a second.
/// Errors:  Deadlock; Unreachable, perhaps before the deadline where there is no server; InDoubt (the lock is then given back in the background); ServerError. The
///          constructor throws std::invalid_argument.
/// Threads: safe from several.
/// Source:  src/lua/lock/; Redis documentation, "Distributed Locks" (a single instance); Kleppmann,
///          "How to do distributed locking", 2016 (fences).
/// See examples/lock.cpp.
class Lock {
 public:
  /// `name` is the key, to the byte. Throws std::invalid_argument for an empty name, a lease or
  /// moment out of range.
  Lock(Client client, std::string_view name, LockOptions options = {});

  /// Takes the lock if it is free now. Never waits for it; the server has Options::command_timeout
  /// to answer.
  [[nodiscard]] std::optional<Hold> try_acquire() const;

  /// Waits until then, and up to 40 ms more for the server's last word. A wait that is over already
  /// is one try.
  [[nodiscard]] std::optional<Hold> try_acquire_until(Deadline deadline) const;
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Hold> try_acquire_for(
      std::chrono::duration<Rep, Period> longest) const {
    return try_acquire_until(detail::deadline_in(longest));
  }

  /// Waits as long as it takes. Throws Unreachable when there is no server as it begins; one that
  /// goes away later is waited for.
  [[nodiscard]] Hold acquire() const;

  /// Waits until it is asked to stop; empty then, and out of the queue.
  [[nodiscard]] std::optional<Hold> acquire(std::stop_token stop) const;

  /// Who holds the lock now; empty when nobody does.
  ///
  /// Cost:    1 round trip.
  [[nodiscard]] std::optional<Owner> owner() const;

  /// Who waits, the first of the queue first.
  ///
  /// Cost:    1 round trip.
  [[nodiscard]] std::vector<LockWaiter> waiters(std::size_t most = 1000) const;

  [[nodiscard]] std::string const& name() const noexcept;

 private:
  enum class Wait { no, yes };
  [[nodiscard]] std::optional<Hold> take(Wait wait, Deadline deadline,
                                         std::stop_token const& stop) const;

  Client client_;
  std::shared_ptr<detail::LockKeys const> keys_;
  LockOptions options_;
};

}  // namespace tandem
