#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>

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
/// paused past its lease goes on, for a moment, where it was. Data outside Redis are safe from it
/// when their keeper refuses a fence lower than one it has seen:
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

  /// Strictly increasing from hold to hold of a lock's name, by whichever process. Not consecutive.
  [[nodiscard]] std::uint64_t fence() const noexcept;

  /// When the hold ends unless it is renewed before. Moves on with each renewal; in the past once
  /// it is lost.
  [[nodiscard]] Deadline valid_until() const noexcept;

  /// Whether the hold can be trusted at this moment. A local answer: no round trip.
  [[nodiscard]] bool held() const noexcept;

  /// Requested the moment the hold can no longer be trusted, by the client's background thread;
  /// callbacks run there and should be brief. Not requested by release(). Starts that thread where
  /// it does not run yet.
  [[nodiscard]] std::stop_token stop_token() const;

  /// Gives the lock back, to the first waiter where there is one; later calls return the first
  /// one's result.
  ///
  /// Cost:    1 round trip, within Options::command_timeout.
  /// Errors:  never throws; a fault is reported to Options::on_error, returned as `unknown`, and
  ///          the release is tried again in the background until the server has answered; for 10 s
  ///          where it refuses.
  Release release() noexcept;

 private:
  friend class Lock;
  explicit Hold(Client client, std::shared_ptr<detail::Lease> lease) noexcept
      : client_{std::move(client)}, lease_{std::move(lease)} {}

  void give_back() noexcept;

  std::optional<Client> client_;
  std::shared_ptr<detail::Lease> lease_;
  std::optional<Release> outcome_{};
};

}  // namespace tandem
