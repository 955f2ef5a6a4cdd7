#pragma once

#include <string_view>

#include <tandem/core/conversation.hpp>

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
/// commands that block (BLPOP, XREAD ...), have connections of their own. A connection is dropped
/// after any fault and made anew; while the server is away a call tries again, with growing jittered
/// pauses, for Options::connect_timeout, so that a restart goes unnoticed and an absence is reported
/// in time.
///
/// Processes: after a fork the child's first call opens connections of its own; the parent's are
/// closed in the child. Descriptors are close-on-exec, and no write raises SIGPIPE. A background
/// thread is started by the first feature that needs one (a lock that is renewed, waited for,
/// watched by its stop_token or given back after a fault).
///
/// Not promised: that a slow command does not delay what other threads say after it. State that
/// belongs to a connection (SELECT, MULTI, WATCH, SUBSCRIBE, CLIENT REPLY ...) must not be set by
/// `command`: it would be set for all threads. There are options, `transaction` and the primitives
/// for it.
///
/// Errors:  the constructor throws std::invalid_argument before any I/O.
/// Threads: safe from several, also the same handle.
class Client : public Conversation {
 public:
  /// `url` as in Options::from_url.
  explicit Client(std::string_view url);
  explicit Client(Options options);

  /// For primitives: the core that this handle shares.
  [[nodiscard]] detail::Core& core() const noexcept;
};

}  // namespace tandem
