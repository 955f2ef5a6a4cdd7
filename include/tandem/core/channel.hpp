#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <tandem/core/command.hpp>
#include <tandem/core/options.hpp>
#include <tandem/core/reply.hpp>
#include <tandem/core/script.hpp>

namespace tandem {

namespace detail {

class WireLease;  // src/core/pool.hpp: a connection borrowed for several exchanges

/// Whether a command may be sent again when its answer was lost: only where twice is the same as
/// once.
enum class Repeat { never, safe };

/// What an earlier try left open: the request may have been executed, whatever became of the tries
/// after it.
using Doubt = std::optional<InDoubt>;

/// Carries commands to the server and replies back: a `Connection` by its one socket, a `Client` by
/// any of its own.
///
/// What is said goes through here and knows nothing of sockets; what carries it knows nothing of
/// what is said.
class Channel {
 public:
  Channel() = default;
  Channel(Channel const&) = delete;
  Channel& operator=(Channel const&) = delete;
  virtual ~Channel() = default;

  [[nodiscard]] virtual Options const& options() const noexcept = 0;

  /// Sends the one command in `command` and returns its reply, an error reply included.
  /// Throws Unreachable or InDoubt; always InDoubt where `doubt` is left and the answer is a fault
  /// or an error, except that the server does not know a script: it is asked again, with the same
  /// `doubt`.
  [[nodiscard]] virtual Reply ask(CommandBuffer const& command, Deadline deadline, Repeat repeat,
                                  Doubt& doubt) = 0;
  [[nodiscard]] Reply ask(CommandBuffer const& command, Deadline deadline, Repeat repeat) {
    Doubt none;
    return ask(command, deadline, repeat, none);
  }

  /// Sends all of `commands` in one go; their replies in order. Throws Unreachable or InDoubt.
  [[nodiscard]] virtual std::vector<Reply> ask_all(CommandBuffer const& commands,
                                                   Deadline deadline) = 0;

  /// A connection for a conversation of several exchanges (WATCH ... EXEC). Throws Unreachable.
  [[nodiscard]] virtual WireLease borrow(Deadline deadline) = 0;

  /// Runs `script` by its SHA1, in full where the server does not know it. Throws also ServerError.
  [[nodiscard]] Reply run(Script const& script, std::span<std::string_view const> keys,
                          std::span<Argument const> arguments, Deadline deadline);

  /// When a call that begins now must be over: Options::command_timeout from now.
  [[nodiscard]] Deadline deadline() const noexcept {
    return std::chrono::steady_clock::now() + options().command_timeout;
  }
};

/// Appends EVALSHA (`by_sha1`) or EVAL of `script` to `out`.
void add_script(CommandBuffer& out, Script const& script, bool by_sha1,
                std::span<std::string_view const> keys, std::span<Argument const> arguments);

/// Whether `reply` is the server's word that it does not know a script's SHA1.
[[nodiscard]] bool is_unknown_script(ReplyView reply);

}  // namespace detail
}  // namespace tandem
