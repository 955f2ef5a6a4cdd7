#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace tandem::testing {

/// The PEM files of a server that also speaks TLS.
struct RedisServerTls {
  std::string certificate;
  std::string key;
  std::string ca{};  // when set, a client that shows a certificate must have it from this authority
};

/// How a private server is started; the defaults give an empty one that nobody else can reach.
struct RedisServerOptions {
  /// More settings, as on its command line: {"--requirepass", "x"}.
  std::vector<std::string> arguments{};
  /// Also listens on a free port of 127.0.0.1.
  bool tcp = false;
  /// Also listens with TLS, on a free port of its own.
  std::optional<RedisServerTls> tls{};
  /// What it acknowledged outlives kill() and restart(); not the object.
  bool persistent = false;
  /// Name or path of the program; empty: $TANDEM_REDIS_SERVER (a Valkey, say), else redis-server.
  std::string binary{};
  /// From its start to its first answer.
  std::chrono::milliseconds start_deadline{10'000};
};

/// A redis-server of one's own, on a Unix socket in a fresh folder, for as long as the object
/// lives.
///
///     tandem::testing::RedisServer server;  // of the redis-server in $PATH
///     tandem::Client redis{server.url() + "?command_timeout=300ms"};
///     server.pause();  // from now on calls time out
///
/// Take it in tests and demonstrations. It never touches the machine's own server or port 6379, two
/// objects share nothing, and a new one answers in some ten milliseconds.
///
/// Guarantee: server and folder are gone when the destructor returns, and soon after its owner ends
/// in any other way, kill -9 included. The owner is the process that made the object: neither the
/// end of the thread that made it nor that of a forked child takes the server down, and no forked
/// child that lives on keeps it. The server inherits no descriptor and no signal setting of its
/// owner, and a wait(2) for "any child" in the owner does not see it.
///
/// Not promised: that the folder goes when owner and supervisor are both killed by -9 (the server
/// still does); that it outlives an exec of the owner. Linux only; before 5.3 the death of the
/// owner may be noticed a tenth of a second late.
///
/// |               | pause   | resume  | kill   | restart |
/// |---------------|---------|---------|--------|---------|
/// | running       | paused  | running | killed | running |
/// | paused        | paused  | running | killed | running |
/// | killed, ended | throws  | throws  | killed | running |
///
/// Shape:   $TMPDIR/tandem-redis-<16 hex digits>/ with redis.sock, redis.log and the data; in /tmp
///          when $TMPDIR will not do for a socket or in a URL.
/// Cost:    two processes: the server, and a supervisor that is a copy-on-write image of the owner.
/// Errors:  std::runtime_error with the end of the server's log when it cannot be started, ends
///          while starting or does not answer in time; or when there is no such binary.
///          std::logic_error when a forked child asks for what only the owner may do.
/// Threads: const members from any thread, the others from one at a time. A moved-from object can
///          only be assigned to and destroyed.
/// Source:  pidfd_open(2), clone(2) without an exit signal, prctl(2) PR_SET_CHILD_SUBREAPER.
class RedisServer {
 public:
  /// Returns when the server has answered a PING.
  ///
  /// Errors: std::invalid_argument for a start_deadline that is not positive; else as the class
  ///         says.
  explicit RedisServer(RedisServerOptions const& options = {});
  RedisServer(RedisServer&&) noexcept;
  RedisServer& operator=(RedisServer&&) noexcept;
  ~RedisServer();

  /// unix:///path/redis.sock, as tandem::Client takes it; has no password in it.
  [[nodiscard]] std::string url() const;
  [[nodiscard]] std::string socket_path() const;
  [[nodiscard]] std::string folder() const;

  /// Zero without `tcp` and `tls`. The port stays this server's own while it is down.
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::uint16_t tls_port() const;

  /// Zero when it does not run: killed, or ended by itself.
  [[nodiscard]] pid_t pid() const;

  /// All that the server wrote since the object was made, over restarts.
  [[nodiscard]] std::string log() const;

  /// Stops it in its tracks (SIGSTOP): connections stand, nothing is answered. Returns when it
  /// stands.
  void pause();
  void resume();

  /// Ends it by SIGKILL, paused or not. Returns when it and the savers it forked are gone.
  void kill();

  /// Starts it on the same socket, ports and options, after a kill() if it runs; empty unless
  /// `persistent`.
  void restart();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tandem::testing
