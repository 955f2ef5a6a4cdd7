#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/core/command.hpp>
#include <tandem/core/options.hpp>
#include <tandem/core/reply.hpp>

#include "core/fork.hpp"
#include "core/socket.hpp"
#include "core/tls.hpp"

struct redisContext;

namespace tandem::detail {

/// One conversation with the server: a hiredis context over a socket of ours, its handshake done.
///
/// hiredis parses replies; connecting, reading and writing are ours, so that every step ends at its
/// deadline, no write raises SIGPIPE, and a push is never taken for a reply. Any fault breaks the
/// wire for good: a late answer must not meet the next question (a Line has its own way there). The child of a fork finds its
/// wires broken and their sockets closed.
///
/// Errors:  Unreachable before anything of a command could have been executed, InDoubt after;
///          construction also throws the ServerError that refused the handshake (WRONGPASS, NOAUTH
///          ...).
/// Threads: one at a time.
class Wire {
 public:
  /// Connects, and introduces itself: HELLO (or AUTH where that is unknown), the client's name,
  /// SELECT. One round trip with RESP3, two otherwise. `waiting` must outlive the wire.
  Wire(Options const& options, Deadline deadline, Waiting& waiting);
  ~Wire();
  Wire(Wire const&) = delete;
  Wire& operator=(Wire const&) = delete;

  void send(CommandBuffer const& commands, Deadline deadline);

  /// Sends as much of `bytes` as the socket takes without waiting; how much that was. Throws
  /// Unreachable.
  [[nodiscard]] std::size_t send_some(std::string_view bytes);

  /// The next reply, pushes included.
  [[nodiscard]] Reply receive(Deadline deadline);
  /// The next reply that is no push; pushes on the way are dropped.
  [[nodiscard]] Reply receive_answer(Deadline deadline);
  /// The next reply if it is here already, without waiting; what is here is read until `enough`.
  /// Throws InDoubt when the server closed the connection.
  [[nodiscard]] std::optional<Reply> receive_if_here(Deadline enough);

  // One thread may write with `write_some` while another reads with `read_what_is_here` and
  // `parse_answer`, as a Line does. No deadline is kept in these.
  struct Progress {
    std::size_t bytes = 0;
    short wait_for = 0;
  };
  /// One write of what the socket takes. Throws Unreachable when none of `bytes` was taken.
  Progress write_some(std::string_view bytes);
  /// Reads without waiting; whether there may be more. Throws InDoubt when the connection is over.
  [[nodiscard]] bool read_what_is_here();
  /// The same, and waits for something to be here: in one system call instead of two, until the
  /// deadline or for a moment (`longest_read`). What is here may be nothing yet.
  [[nodiscard]] bool read_patiently(Deadline deadline);
  /// The next reply of those that were read, pushes apart. Throws InDoubt.
  [[nodiscard]] std::optional<Reply> parse_answer();
  /// Ends the conversation, for who reads and who writes.
  void hang_up() noexcept;

  /// Whether an idle wire can be used: not broken, and the server has neither closed it nor said
  /// anything unasked. Without `look` only what was read already is considered, and no system call
  /// made.
  [[nodiscard]] bool is_quiet(bool look = true) noexcept;
  /// Whether an answer, or the beginning of one, was read although none is to come.
  [[nodiscard]] bool has_unasked() noexcept;
  /// Whether something of the server's is here that was not read yet. Its end is nothing.
  [[nodiscard]] bool has_unread() noexcept;

  [[nodiscard]] bool broken() const noexcept { return broken_ || !of_this_process(); }
  void break_off() noexcept { broken_ = true; }
  [[nodiscard]] bool of_this_process() const noexcept { return generation_ == fork_generation(); }
  [[nodiscard]] int descriptor() const noexcept { return socket_.descriptor(); }
  [[nodiscard]] int protocol() const noexcept { return protocol_; }

  /// Whether this server has been seen to accept MULTI, on this wire.
  [[nodiscard]] bool takes_multi() const noexcept { return takes_multi_; }
  void note_that_it_takes_multi() noexcept { takes_multi_ = true; }

 private:
  struct FreeContext {
    void operator()(redisContext* context) const noexcept;
  };
  void shake_tls_hands(Deadline deadline);
  void introduce(Deadline deadline);
  void introduce_in_resp2(Deadline deadline);
  [[nodiscard]] std::string last_words() noexcept;
  void require_usable() const;
  void refuse_unasked();
  Progress read_some(int flags);
  [[nodiscard]] bool can_wait_in_read(Deadline deadline) const noexcept;
  std::optional<Reply> parse();
  [[noreturn]] void fail_sending(bool partly_sent, std::string_view why);
  [[noreturn]] void fail_receiving(std::string_view why);

  Options const& options_;
  Waiting& waiting_;
  Socket socket_;
  std::unique_ptr<redisContext, FreeContext> context_;
  std::optional<Tls> tls_{};
  unsigned generation_ = fork_generation();
  int protocol_ = 2;
  bool broken_ = false;
  bool takes_multi_ = false;
  bool reads_may_wait_ = false;
};

/// Sends `commands` and receives the answer to each.
[[nodiscard]] std::vector<Reply> exchange(Wire& wire, CommandBuffer const& commands,
                                          Deadline deadline);

}  // namespace tandem::detail
