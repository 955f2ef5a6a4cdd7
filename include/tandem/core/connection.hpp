#pragma once

#include <string_view>

#include <tandem/core/conversation.hpp>

namespace tandem {

/// One socket to one server: the thin RAII wrapper over a hiredis context.
///
///     tandem::Connection wire{"redis://localhost"};
///     wire.command("SET", "k", "v");
///     std::string v = wire.command("GET", "k").as<std::string>();
///
/// Connects when constructed, closes when destroyed. After the first fault that
/// `poisons_connection()` it is finished: a late reply must not answer the next question, so every
/// further call throws Unreachable; make a new one. A program that wants to survive restarts, or to
/// share one object between threads, takes a `Client`.
///
/// Not promised: anything in the child of a fork. There the connection is closed, and the parent's
/// goes on.
///
/// Units:   the constructor takes at most Options::connect_timeout, each call at most
///          Options::command_timeout.
/// Errors:  the constructor throws std::invalid_argument before any I/O; Unreachable; ServerError
///          for a refused password or database.
/// Threads: one at a time.
class Connection : public Conversation {
 public:
  /// `url` as in Options::from_url.
  explicit Connection(std::string_view url);
  explicit Connection(Options options);

  Connection(Connection const&) = delete;
  Connection& operator=(Connection const&) = delete;
  Connection(Connection&&) noexcept = default;
  Connection& operator=(Connection&&) noexcept = default;
  ~Connection() = default;

  /// False after a fault that finished it, and in the child of a fork. A local answer: no round
  /// trip.
  [[nodiscard]] bool usable() const noexcept;

  /// The version of the Redis protocol agreed on: 3, or 2 where the server knows no HELLO.
  [[nodiscard]] int protocol() const noexcept;
};

}  // namespace tandem
