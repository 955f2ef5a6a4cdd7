#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <tandem/core/error.hpp>

namespace tandem {

/// The moment, on the steady clock, by which something must be over.
using Deadline = std::chrono::steady_clock::time_point;

namespace detail {

/// So long from now; for ever where that would lie beyond the end of time, now for less than
/// nothing.
template <class Rep, class Period>
[[nodiscard]] Deadline deadline_in(std::chrono::duration<Rep, Period> wait) {
  using Seconds = std::chrono::duration<double>;
  auto const now = std::chrono::steady_clock::now();
  if (Seconds{wait} >= Seconds{Deadline::max() - now}) return Deadline::max();
  if (Seconds{wait} <= Seconds::zero()) return now;
  return now + std::chrono::ceil<Deadline::duration>(wait);
}

/// The same moment, of any clock.
template <class Clock, class Duration>
[[nodiscard]] Deadline deadline_at(std::chrono::time_point<Clock, Duration> moment) {
  using Seconds = std::chrono::duration<double>;  // whose range is that of every clock
  return deadline_in(Seconds{moment.time_since_epoch()} - Seconds{Clock::now().time_since_epoch()});
}

}  // namespace detail

/// How a `rediss://` connection proves the server, and itself.
struct TlsOptions {
  bool enabled = false;
  std::string ca_file{};  ///< PEM file of the authorities to trust; empty: the system's own
  std::string
      certificate_file{};     ///< PEM file of our own certificate, where the server asks for one
  std::string key_file{};     ///< PEM file of its key
  std::string server_name{};  ///< the name the certificate must bear; empty: `Options::host`
  bool verify = true;         ///< false accepts any certificate: for experiments only
};

/// Where the server is, who we are, and how long anything may take.
///
/// Every field has a default that works against a server on the same machine. Fields are checked
/// when a `Connection` or `Client` is made of them, which throws `std::invalid_argument` before any
/// I/O.
///
/// Units:   timeouts are from 1 ms to 24 hours. There is no infinite timeout; ask for a large one
///          instead.
struct Options {
  std::string host = "localhost";
  std::uint16_t port = 6379;
  std::string unix_socket{};  ///< when set, `host`, `port` and `tls` are not used
  TlsOptions tls{};

  std::string user{};      ///< empty: the server's `default` user
  std::string password{};  ///< empty: no AUTH is sent
  int database = 0;        ///< SELECT, 0 or more
  std::string name{};  ///< CLIENT SETNAME: shown by CLIENT LIST and by a lock's owner; no spaces

  /// For all attempts to connect that one call makes, pauses included; each is looking up the name,
  /// connecting, the handshakes. Then the call throws Unreachable, or a little earlier when there is
  /// no time for another attempt. Restarts that take longer are ridden out with a larger one, and
  /// with a larger `command_timeout`.
  std::chrono::milliseconds connect_timeout{1000};
  /// For one call as a whole: waiting for a connection, connecting, sending, the answer and any
  /// repetition.
  std::chrono::milliseconds command_timeout{2000};

  int protocol =
      3;  ///< 3: RESP3, falling back to RESP2 where HELLO is unknown or forbidden; 2: RESP2 only

  /// Connections a `Client` may have open at once for what needs one of its own: transactions, and
  /// commands that block (BLPOP, XREAD ...). Further callers wait within their deadline. Everything
  /// else shares one connection beside them, and background work another.
  int max_connections = 64;

  /// Told of faults that no call can throw: a lock lost at its release, a destructor that could not
  /// reach the server. Called on the thread that noticed, with no internal lock held; what it
  /// throws is swallowed. Empty: one line on standard error.
  std::function<void(Error const&)> on_error{};

  /// Told, in one line, when the server may break a promise of tandem's: it may evict locks, saves
  /// nothing, denies a command ... (see `Inspection`). The server is looked at whenever a `Client`
  /// connects, and the line told when it is another than before. Called on the thread whose call
  /// connected, with no internal lock held; what it throws is swallowed. Empty: nobody looks.
  ///
  /// Cost:    1 round trip for each time the client connects.
  std::function<void(std::string const& line)> on_warning{};

  /// Such a server is refused: a `Client` connects in its constructor, which throws UnsafeServer,
  /// and so does a call that would have to connect to one later. What goes on in the background
  /// (renewals) has a connection that is not looked at. URL: `strict=yes`.
  ///
  /// Cost:    1 round trip for each connection.
  bool strict = false;

  /// Reads a URL. Throws std::invalid_argument saying what was given and what is accepted.
  ///
  ///     redis://[[user]:password@]host[:port][/database][?option=value&...]
  ///     rediss://...                                     the same through TLS
  ///     unix:///path/to/socket[?option=value&...]
  ///     unix://[user]:password@/path/to/socket[?...]
  ///
  /// Options: `db`, `name`, `protocol` (2 or 3), `connect_timeout` and `command_timeout`
  /// (milliseconds, or with a unit: `500ms`, `2s`), `strict` (yes or no), and for rediss `ca`,
  /// `cert`, `key`, `server_name`, `verify` (yes or no). User, password, path and values are percent-decoded. An
  /// IPv6 address stands in brackets: redis://[::1]:6379.
  [[nodiscard]] static Options from_url(std::string_view url);

  /// Throws std::invalid_argument when a field has a value that cannot work.
  void check() const;

  /// Where the server is, without any secret: `unix:///run/redis.sock`, `redis://localhost:6379`.
  [[nodiscard]] std::string endpoint() const;

  /// Hands `error` to `on_error`, or writes the line on standard error. Never throws.
  void report(Error const& error) const noexcept;

  /// Hands `line` to `on_warning`, if there is one. Never throws.
  void warn(std::string const& line) const noexcept;
};

}  // namespace tandem
