#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include <tandem/core/channel.hpp>

#include "core/wire.hpp"

namespace tandem::detail {

class Pool;

/// A connection of a pool, given back at the end of the scope. A broken one is dropped instead.
class WireLease {
 public:
  WireLease(Pool* pool, std::shared_ptr<Wire> wire) noexcept
      : pool_{pool}, wire_{std::move(wire)} {}
  WireLease(WireLease&& other) noexcept = default;
  WireLease& operator=(WireLease&&) = delete;
  ~WireLease();

  [[nodiscard]] Wire& wire() const noexcept { return *wire_; }

 private:
  Pool* pool_;  // none: the wire belongs to a Connection, which keeps it
  std::shared_ptr<Wire> wire_;
};

/// Connections of one client, at most Options::max_connections, made when they are needed and kept
/// when idle.
///
/// The one used last is used next, so that a client under little load talks over one warm
/// connection.
///
/// Errors:  borrow() throws Unreachable, and the ServerError that refuses a handshake.
/// Threads: safe from several.
class Pool {
 public:
  explicit Pool(Options const& options) : options_{options} {}

  /// An idle connection that is still good, or a new one. While the server refuses, it is tried
  /// again with growing, jittered pauses until Options::connect_timeout or the deadline is over, so
  /// that a restart goes unnoticed.
  [[nodiscard]] WireLease borrow(Deadline deadline);

  void give_back(std::shared_ptr<Wire> wire) noexcept;

 private:
  [[nodiscard]] std::shared_ptr<Wire> take_idle(Deadline deadline);
  [[nodiscard]] std::shared_ptr<Wire> connect(Deadline deadline);
  void forget_one() noexcept;

  Options const& options_;
  CallerWaits waiting_{};
  std::mutex mutex_{};
  std::condition_variable freed_{};
  std::vector<std::shared_ptr<Wire>> idle_{};
  int open_ = 0;
};

}  // namespace tandem::detail
