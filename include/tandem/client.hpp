#pragma once

#include <span>
#include <string_view>

#include <tandem/core/conversation.hpp>
#include <tandem/core/inspection.hpp>

namespace tandem {

namespace detail {
class Core;
}

/// What every primitive is built with: a server, and the connections to it that this process
/// shares.
///
///     tandem::Client redis{"redis://localhost:6379"};
///     tandem::Lock lock{redis, "orders:42"};
///
/// A cheap handle: copies share one core, which lives until its last handle, primitive and hold are
/// gone. Nothing is opened before the first call. All threads share one connection: what they say at
/// the same time goes out together, and one of those who wait reads for all. Transactions, and
/// commands that block (BLPOP, XREAD BLOCK ...), have connections of their own. A connection is dropped
/// after any fault and made anew; while the server is away a call tries again, with growing jittered
/// pauses, for Options::connect_timeout, so that a restart goes unnoticed and an absence is reported
/// in time.
///
/// Processes: after a fork the child's first call opens connections of its own; the parent's are
/// closed in the child. Descriptors are close-on-exec, and no write raises SIGPIPE. A background
/// thread is started by the first feature that needs one (`post`; a lock that is renewed, waited
/// for, watched by its stop_token or given back after a fault), or by the first call after a second:
/// from then on a connection that nobody uses is asked every 5 s (PING) whether it still answers,
/// and one that does not is given up before a call has to find out.
///
/// Not promised: that a slow command does not delay what other threads say after it. What would
/// change the connection for all of them (SELECT, WATCH, SUBSCRIBE, CLIENT REPLY, MULTI without its
/// EXEC in the same pipeline ...) throws std::invalid_argument: there are options, `transaction`
/// and the primitives for it, and `Connection`.
///
/// Errors:  the constructor throws std::invalid_argument before any I/O; with Options::strict also
///          Unreachable and UnsafeServer.
/// Threads: safe from several, also the same handle.
class Client : public Conversation {
 public:
  /// `url` as in Options::from_url.
  explicit Client(std::string_view url);
  explicit Client(Options options);

  /// Sends one command whose reply nobody waits for. It leaves at once, or together with others when
  /// the next reply comes, in the order in which this thread says it; what comes of it is read in the
  /// background.
  ///
  ///     redis.post("INCR", "page:views");
  ///
  /// When it fails after all, Options::on_error is told: with a ServerError when the server refused
  /// it, Unreachable when it was not executed, InDoubt when it may have been. It is never sent
  /// twice. A `command` that follows is answered after all that was posted before it on this thread;
  /// the end of the client waits for the answers, for at most Options::command_timeout.
  ///
  /// Waits only to connect, and when 10,000 commands or 1 MiB are under way already.
  ///
  /// Cost:    1 command; no round trip of its own, and at most one write. Starts the background
  ///          thread.
  /// Errors:  Unreachable when there is no connection to send it over, or no room until
  ///          Options::command_timeout; std::invalid_argument for a command that may block (BLPOP,
  ///          XREAD BLOCK ...) or would change the connection.
  template <class... Words>
  void post(Words const&... words) {
    Argument const list[] = {Argument(words)...};
    post_words(list);
  }

  /// The same for a number of words that is known only at run time.
  void post_words(std::span<Argument const> words);

  /// Looks at the server: what it is, and what about it endangers what is kept there (evicted locks,
  /// nothing saved, commands that are denied).
  ///
  ///     for (auto const& danger : redis.inspect("orders:42").dangers) log(danger);
  ///
  /// Permissions are tried on `key`, which is not touched: give one as your own are named where a
  /// user's permissions are by key.
  ///
  /// To be told without asking: Options::on_warning, Options::strict.
  ///
  /// Cost:    1 round trip: TIME, INFO, CONFIG GET save, ACL WHOAMI, EVAL. What of it is denied is
  ///          said among the notes.
  /// Errors:  Unreachable.
  [[nodiscard]] Inspection inspect(std::string_view key = "tandem");

  /// For primitives: the core that this handle shares.
  [[nodiscard]] detail::Core& core() const noexcept;
};

}  // namespace tandem
