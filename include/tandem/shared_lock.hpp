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
}

/// How a lock for readers and writers behaves for those who acquire it through this object.
struct SharedLockOptions {
  /// How long a hold lasts without renewal, and so how long others wait for a holder that died.
  /// From 10 ms to a day.
  std::chrono::milliseconds lease{std::chrono::seconds{10}};

  /// Whether the client's background thread renews the hold, at each third of its lease, until it
  /// is released. Without it a hold ends with its first lease.
  bool renew = true;

  /// A writer is served before readers that have waited for less than this. So writers are not kept
  /// off by readers, and a reader waits for those writers only that came before it or so soon after
  /// it. 0: in the order in which they came. To 1 h. Say the same in all processes.
  std::chrono::milliseconds writers_ahead{100};

  /// A thread that has waited for so long, and holds other locks of its client that are renewed,
  /// looks whether it waits for itself; see LockOptions. 0: never, and where holds move to other
  /// threads. From 10 ms to 1 h.
  std::chrono::milliseconds deadlock_after{std::chrono::seconds{1}};
};

/// Many readers or one writer at a time, among all threads of all processes that use the name.
///
///     tandem::SharedLock catalog{redis, "catalog"};
///     { tandem::Hold reading = catalog.acquire_shared(); }
///     { tandem::Hold writing = catalog.acquire(); }
///
/// Each hold, a reader's too, has a lease and a fence of its own: a reader that dies delays writers
/// until its own lease ends (of the same machine it is noticed at once), and no other reader. Waiters
/// stand in one queue on the server and are woken by it; readers who stand together are let in
/// together. A reader that comes while a writer waits waits behind it, and writers go before readers
/// that have just come: `SharedLockOptions::writers_ahead`.
///
/// A writer may become a reader, with nobody in between: `downgrade`. A reader cannot become a
/// writer: two who tried would wait for each other. A thread that acquires what it holds shared is
/// told so by `Deadlock`, at once.
///
/// Take `SharedMutex` for std::shared_lock and std::unique_lock.
///
/// Not promised: that a thread that reads may read again while a writer waits: it waits behind the
/// writer, who waits for it, and after `deadlock_after` gets `Deadlock`. Exclusion of strangers, or
/// of a `Lock` of the same name: they use a key of another type, and get WRONGTYPE. Passing on and
/// lingering within a process, as `Lock` does: each hold is the server's. Else as `Lock`; see
/// docs/locks.md.
///
/// | held by        | try_acquire_shared | try_acquire | acquire_shared      | acquire          |
/// |----------------|--------------------|-------------|---------------------|------------------|
/// | nobody         | held               | held        | held                | held             |
/// | readers        | held               | empty       | held                | waits            |
/// | readers, and a writer waits | empty | empty       | waits behind it     | waits behind it  |
/// | a writer       | empty              | empty       | waits               | waits            |
///
/// What a writer did before release() is done, in Redis and in memory it shares, when the next
/// holder has its hold.
///
/// Shape:   zset    `<name>`            tokens, by when their leases end, in microseconds of the
///                                      server's clock; those whose lease has ended stay for a day
///          zset    `{<name>}:waiters`  tokens in the order in which they are served
///          hash    `{<name>}:state`    fence; of each holder its fence, and its last commit; it
///                                      never expires
///          channel `tandem:<client>`   as of `Lock`
///          Stored layout since 0.1; changing it breaks running processes.
/// Cost:    acquire and release 1 round trip and 1 command each, also after waiting, as of `Lock`.
/// Errors:  as `Lock`.
/// Threads: safe from several.
/// Source:  src/lua/permits/; Courtois, Heymans, Parnas, "Concurrent control with readers and
///          writers", 1971.
/// See examples/shared_lock.cpp.
class SharedLock {
 public:
  /// Throws std::invalid_argument for an empty name, or a time out of range.
  SharedLock(Client client, std::string_view name, SharedLockOptions options = {});

  /// Alone, to write. As of `Lock`.
  [[nodiscard]] std::optional<Hold> try_acquire() const;
  [[nodiscard]] std::optional<Hold> try_acquire_until(Deadline deadline) const;
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Hold> try_acquire_for(
      std::chrono::duration<Rep, Period> longest) const {
    return try_acquire_until(detail::deadline_in(longest));
  }
  [[nodiscard]] Hold acquire() const;
  [[nodiscard]] std::optional<Hold> acquire(std::stop_token stop) const;

  /// Together with others, to read.
  [[nodiscard]] std::optional<Hold> try_acquire_shared() const;
  [[nodiscard]] std::optional<Hold> try_acquire_shared_until(Deadline deadline) const;
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Hold> try_acquire_shared_for(
      std::chrono::duration<Rep, Period> longest) const {
    return try_acquire_shared_until(detail::deadline_in(longest));
  }
  [[nodiscard]] Hold acquire_shared() const;
  [[nodiscard]] std::optional<Hold> acquire_shared(std::stop_token stop) const;

  /// A reader's hold for `writing`, which is over then, with its stop tokens: no writer is let in
  /// between, and readers who wait are. It has a fence of its own, greater than the writer's.
  ///
  /// Cost:    1 round trip, 1 command.
  /// Errors:  LockLost where `writing` is not held any more. std::invalid_argument where it is no
  ///          writer's hold of this name. As acquire; after an error the lock is given back in the background.
  [[nodiscard]] Hold downgrade(Hold&& writing) const;

  /// Who holds now: one writer, or readers, those first whose leases end first.
  ///
  /// Cost:    1 round trip.
  [[nodiscard]] std::vector<Owner> holders(std::size_t most = 1000) const;

  /// Who waits, in the order in which they are served. The age of a writer counts `writers_ahead`.
  ///
  /// Cost:    1 round trip.
  [[nodiscard]] std::vector<LockWaiter> waiters(std::size_t most = 1000) const;

  [[nodiscard]] std::string const& name() const noexcept;

 private:
  enum class Share { no, yes };
  enum class Wait { no, yes };
  [[nodiscard]] std::optional<Hold> take(Share share, Wait wait, Deadline deadline,
                                         std::stop_token const& stop) const;

  Client client_;
  std::shared_ptr<detail::LockKeys const> keys_;
  SharedLockOptions options_;
};

}  // namespace tandem
