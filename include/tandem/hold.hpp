#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <tandem/client.hpp>

namespace tandem {

namespace detail {
struct Lease;
}

/// What giving a lock back found.
enum class Release {
  released,    ///< it was ours until now, and is the next waiter's or free
  expired,     ///< its lease had ended before, and nobody holds it
  taken_over,  ///< its lease had ended before, and somebody else holds it
  unknown,  ///< the server did not answer in time, or refused: the lease ends by itself. Also the
            ///< answer of a hold that was moved from, or that is the parent process's
};

/// The proof that a lock is held: one acquisition, from its grant to its release.
///
/// Ownership is this object and no thread's: it may be moved to another thread or coroutine and be
/// released there. Its destructor gives the lock back; what the destructor finds lost, or could not
/// do, goes to Options::on_error.
///
/// A lease ends when the server says so, and this object ends it earlier: validity is counted on
/// the steady clock from before the request was sent, less a margin for the clocks' different
/// speeds (1 % and 1 ms). So no two holds of a lock are ever valid at once by their own
/// `valid_until`, whatever the network does.
///
/// Not promised: that a section of code stops by itself when the hold is lost. A process that is
/// paused past its lease goes on, for a moment, where it was. Data in Redis are safe from it when
/// they are written by `commit`, or by what takes a hold (`SharedMap::set`, `Counter::add`); data
/// elsewhere, when their keeper refuses a fence lower than one it has seen:
///
///     second 0   A acquires, fence 7, and is paused by its machine
///     second 10  the lease ends; B acquires, fence 8, writes
///     second 12  A goes on and writes with 7: the keeper has seen 8 and refuses
///
/// Moved from, it is not held, its fence is 0, and its destructor does nothing.
///
/// Processes: in the child of a fork an inherited hold is not held, and releases nothing: it is the
/// parent's.
/// Threads: every member but release(), assignment and destruction is safe from several.
class [[nodiscard]] Hold {
 public:
  Hold(Hold&& other) noexcept;
  Hold& operator=(Hold&& other) noexcept;  ///< gives back what it held before
  Hold(Hold const&) = delete;
  Hold& operator=(Hold const&) = delete;
  ~Hold();

  /// Strictly increasing from hold to hold of a lock's name, by whichever process. Not consecutive;
  /// some 2^62, so it fits a signed 64-bit integer, and loses its last bits in a double: the fences
  /// of two processes still differ there, those of two threads of one process may not.
  [[nodiscard]] std::uint64_t fence() const noexcept;

  /// When the hold ends unless it is renewed before. Moves on with each renewal; in the past once
  /// it is lost.
  [[nodiscard]] Deadline valid_until() const noexcept;

  /// Whether the hold can be trusted at this moment. A local answer: no round trip.
  [[nodiscard]] bool held() const noexcept;

  /// Requested the moment the hold can no longer be trusted, by the client's background thread;
  /// callbacks run there and should be brief. Not requested by release(). Starts that thread where
  /// it does not run yet. Ask for it before the release.
  [[nodiscard]] std::stop_token stop_token() const;

  /// Applies what `body` queues if and only if the lock is still held by this hold at that moment:
  /// one script, executed as one. Reads within `body` are asked at once, each in a round trip. The
  /// commands go to the server of the lock.
  ///
  ///     hold.commit([](tandem::Transaction& tx) {
  ///         tx.queue("HSET", "order:42", "state", "paid");
  ///         tx.queue("RPUSH", "ledger", "42 paid");
  ///     });
  ///
  /// A lost reply is resolved by asking again: what was applied is not applied twice. The keys may
  /// be any; on a cluster they must share the lock's slot.
  ///
  /// Cost:    1 round trip, 1 command.
  /// Errors:  LockLost, and nothing was applied. ServerError when a command was refused: nothing was
  ///          applied, except that an error saying so came after others had been, as with EXEC.
  ///          Unreachable: nothing was applied. InDoubt. std::invalid_argument for a command of more
  ///          than 7,000 words, or one that scripts may not run by its nature (MULTI, SUBSCRIBE).
  template <class Body>
  void commit(Body&& body) const {
    (void)execute(body);
  }

  /// For primitives: the same; the reply to the last command, where that is a number or a text.
  template <class Body>
  Reply execute(Body&& body) const {
    using Plain = std::remove_reference_t<Body>;
    return execute_with([](void* context, Transaction& tx) { (*static_cast<Plain*>(context))(tx); },
                        const_cast<void*>(static_cast<void const*>(std::addressof(body))));
  }

  /// Gives the lock back, to the first waiter where there is one; later calls return the first
  /// one's result.
  ///
  /// Cost:    1 round trip, within Options::command_timeout. None where the lock goes to another
  ///          thread of this process, or is kept (`LockOptions::linger`).
  /// Errors:  never throws; a fault is reported to Options::on_error, returned as `unknown`, and
  ///          the release is tried again in the background until the server has answered; for 10 s
  ///          where it refuses.
  Release release() noexcept;

 private:
  friend class Lock;
  friend class MultiLock;
  friend class RecursiveLock;
  friend class Semaphore;
  friend class SharedLock;
  /// `lease` is held for this hold, and stays so until its release.
  Hold(Client client, std::shared_ptr<detail::Lease> lease) noexcept;

  void give_back() noexcept;
  Reply execute_with(void (*body)(void* context, Transaction& transaction), void* context) const;

  std::optional<Client> client_;
  std::shared_ptr<detail::Lease> lease_;
  std::uint64_t fence_ = 0;
  std::optional<Release> outcome_{};
};

}  // namespace tandem
