#include "core/wire.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/core.h>
#include <sys/socket.h>

#include "core/hiredis.hpp"

namespace tandem::detail {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t read_size = 16 * 1024;
// Of a system call that waits for the server: who waits longer looks up meanwhile.
constexpr auto longest_read = std::chrono::milliseconds{20};
// Far beyond what a server has to say, and little enough for any stack and address space.
constexpr int deepest_reply = 1000;
constexpr std::size_t most_elements = std::size_t{1} << 27;

redisReplyObjectFunctions const* hiredis_own = nullptr;

/// Makes room in the array that an element is about to be put into. False without memory.
///
/// hiredis would allocate the array as long as it is promised to become, before it has seen an
/// element, and go over all of it to free it: twelve bytes of a broken server would cost a
/// gigabyte, and seconds. So an array has the elements that have come.
bool make_room(redisReadTask const* task) {
  if (task->parent == nullptr) return true;
  auto& array = *static_cast<redisReply*>(task->parent->obj);
  auto const index = static_cast<std::size_t>(task->idx);
  constexpr std::size_t least = 16;
  bool const is_full = index == 0 || (index >= least && (index & (index - 1)) == 0);
  if (is_full) {
    auto const capacity =
        std::min(std::max(least, 2 * index), static_cast<std::size_t>(task->parent->elements));
    auto* const memory = hi_realloc(array.element, capacity * sizeof(redisReply*));
    if (memory == nullptr) return false;
    array.element = static_cast<redisReply**>(memory);
  }
  array.element[index] = nullptr;  // until there is one
  array.elements = index + 1;
  return true;
}

/// The same as hiredis' own, after `make_room`.
template <auto member, class... Values>
void* make(redisReadTask const* task, Values... values) {
  return make_room(task) ? (hiredis_own->*member)(task, values...) : nullptr;
}

void* make_array(redisReadTask const* task, std::size_t elements) {
  int depth = 0;  // a reply is freed by recursion: how it is nested must not cost us our stack
  for (auto const* each = task; each != nullptr; each = each->parent) ++depth;
  if (depth > deepest_reply || elements > most_elements || !make_room(task)) return nullptr;
  return hiredis_own->createArray(task, 0);
}

redisReplyObjectFunctions* bounded(redisReplyObjectFunctions const* functions) {
  static auto const original = *functions;
  static auto limited = [] {
    hiredis_own = &original;
    using Functions = redisReplyObjectFunctions;
    auto out = original;
    out.createString = make<&Functions::createString, char*, std::size_t>;
    out.createArray = make_array;
    out.createInteger = make<&Functions::createInteger, long long>;
    out.createDouble = make<&Functions::createDouble, double, char*, std::size_t>;
    out.createNil = make<&Functions::createNil>;
    out.createBool = make<&Functions::createBool, int>;
    return out;
  }();
  return &limited;
}

/// The socket is not hiredis' to close.
void let_go(redisContext* context) noexcept {
  if (context != nullptr) context->fd = REDIS_INVALID_FD;
  redisFree(context);
}

redisContext* adopt(int fd) {
  redisOptions how{};
  how.type = REDIS_CONN_USERFD;
  how.endpoint.fd = fd;
  how.options = REDIS_OPT_NONBLOCK;
  auto* const context = redisConnectWithOptions(&how);
  if (context == nullptr || context->err != 0) {
    let_go(context);
    throw Unreachable{"tandem: out of memory while connecting"};
  }
  context->reader->fn = bounded(context->reader->fn);
  return context;
}

}  // namespace

void Wire::FreeContext::operator()(redisContext* context) const noexcept { let_go(context); }

Wire::Wire(Options const& options, Deadline deadline, Waiting& waiting)
    : options_{options},
      waiting_{waiting},
      socket_{options, deadline, waiting},
      context_{adopt(descriptor())} {
  try {
    if (options_.tls.enabled && options_.unix_socket.empty()) {
      shake_tls_hands(deadline);
    } else if (waiting_.for_nothing_else()) {
      reads_may_wait_ = socket_.let_reads_wait(longest_read);
    }
    introduce(deadline);
  } catch (Error const& fault) {
    if (!fault.poisons_connection()) throw;
    // Nothing of the caller's was sent: for the caller there is no doubt.
    std::string_view why = fault.what();
    constexpr std::string_view ours = "tandem: ";
    if (why.starts_with(ours)) why.remove_prefix(ours.size());
    throw Unreachable{fmt::format("tandem: cannot connect: {}{}", why, last_words())};
  }
}

Wire::~Wire() = default;

// -- handshake ------------------------------------------------------------------------------------

void Wire::shake_tls_hands(Deadline deadline) {
  tls_.emplace(options_, descriptor());
  for (;;) {
    auto const step = tls_->shake_hands();
    if (step.over) {
      throw Unreachable{
          fmt::format("tandem: TLS handshake with {}: {}", options_.endpoint(),
                      step.error.empty() ? "the server closed the connection" : step.error)};
    }
    if (step.wait_for == 0) return;
    if (!waiting_.wait(descriptor(), step.wait_for, deadline)) {
      throw Unreachable{fmt::format("tandem: TLS handshake with {}: timeout", options_.endpoint())};
    }
  }
}

void Wire::introduce(Deadline deadline) {
  if (options_.protocol == 2) return introduce_in_resp2(deadline);

  auto const database = std::to_string(options_.database);
  CommandBuffer hello;
  std::size_t const words =
      2 + (options_.password.empty() ? 0U : 3U) + (options_.name.empty() ? 0U : 2U);
  hello.begin(words);
  hello.word("HELLO");
  hello.word("3");
  if (!options_.password.empty()) {
    hello.word("AUTH");
    hello.word(options_.user.empty() ? "default" : options_.user);
    hello.word(options_.password);
  }
  if (!options_.name.empty()) {
    hello.word("SETNAME");
    hello.word(options_.name);
  }
  if (options_.database != 0) hello.add(std::initializer_list<Argument>{"SELECT", database});
  send(hello, deadline);
  auto const greeting = receive_answer(deadline);
  if (options_.database != 0) {
    auto const selected = receive_answer(deadline);
    if (!greeting.is_error()) selected.throw_if_error("SELECT");
  }
  if (!greeting.is_error()) {
    protocol_ = 3;
    return;
  }
  // Redis before 6, proxies without HELLO, an ACL that forbids it: the old words may still be
  // understood. What else the server objects to (a wrong password, LOADING ...) would be no better
  // in them.
  ServerError const refusal{greeting.error_text(), "HELLO"};
  if (refusal.code() != "ERR" && refusal.code() != "NOPROTO" && refusal.code() != "NOPERM")
    throw refusal;
  try {
    introduce_in_resp2(deadline);
  } catch (Error const& fault) {
    if (!fault.poisons_connection()) throw;
    throw Unreachable{fmt::format("{} (after {})", fault.what(), refusal.what())};
  }
}

void Wire::introduce_in_resp2(Deadline deadline) {
  CommandBuffer words;
  if (!options_.password.empty()) {
    if (options_.user.empty()) {
      words.add(std::initializer_list<Argument>{"AUTH", options_.password});
    } else {
      words.add(std::initializer_list<Argument>{"AUTH", options_.user, options_.password});
    }
  }
  words.add(std::initializer_list<Argument>{"SELECT", options_.database});
  if (!options_.name.empty())
    words.add(std::initializer_list<Argument>{"CLIENT", "SETNAME", options_.name});
  send(words, deadline);
  if (!options_.password.empty()) receive_answer(deadline).throw_if_error("AUTH");
  auto const selected = receive_answer(deadline);
  // Database 0 is where every connection begins: who may not SELECT need not.
  bool const needless = options_.database == 0 && selected.error_text().starts_with("NOPERM ");
  if (!needless) selected.throw_if_error("SELECT");
  if (!options_.name.empty()) {
    (void)receive_answer(
        deadline);  // a server that refuses the name still serves: the name is for human eyes
  }
  protocol_ = 2;
}

/// What the server said before it hung up on us ("ERR max number of clients reached"), for the text
/// of the fault.
std::string Wire::last_words() noexcept try {
  broken_ = false;
  auto const reply = receive_if_here(steady_clock::now() + std::chrono::milliseconds{2});
  broken_ = true;
  return reply && reply->is_error() ? fmt::format(" (it said: {})", reply->error_text())
                                    : std::string{};
} catch (...) {
  broken_ = true;
  return {};
}

// -- sending --------------------------------------------------------------------------------------

void Wire::require_usable() const {
  if (!of_this_process()) {
    throw Unreachable{fmt::format("tandem: this connection to {} belongs to the parent process",
                                  options_.endpoint())};
  }
  if (broken_) {
    throw Unreachable{fmt::format("tandem: this connection to {} is broken after an earlier fault",
                                  options_.endpoint())};
  }
}

void Wire::fail_sending(bool partly_sent, std::string_view why) {
  broken_ = true;
  auto const text = fmt::format("tandem: sending to {}: {}", options_.endpoint(), why);
  if (partly_sent) throw InDoubt{text};
  throw Unreachable{text};
}

void Wire::refuse_unasked() {
  auto const& reader = *context_->reader;
  auto const is_unasked = [](int type) { return type >= 0 && type != REDIS_REPLY_PUSH; };
  bool unasked = false;
  while (!unasked && reader.pos != reader.len) {
    auto const reply = parse();
    if (!reply) break;
    unasked = reply->kind() != ReplyKind::push;
  }
  unasked =
      unasked || (reader.ridx >= 0 && is_unasked(reader.task[0]->type));  // the beginning of one
  if (unasked) fail_receiving("it answered what nobody had asked");
}

void Wire::send(CommandBuffer const& commands, Deadline deadline) {
  require_usable();
  try {
    refuse_unasked();
  } catch (InDoubt const& fault) {
    throw Unreachable{fault.what()};
  }
  auto rest = commands.bytes();
  // A server executes a command once it has read all of it: part of a single one is as good as
  // nothing.
  auto const in_doubt = [&] {
    return commands.count() > 1 && rest.size() < commands.bytes().size();
  };
  while (!rest.empty()) {
    Progress progress;
    try {
      progress = write_some(rest);
    } catch (Error const& fault) {
      fail_sending(in_doubt(), fault.what());
    }
    rest.remove_prefix(progress.bytes);
    if (progress.wait_for != 0 && !waiting_.wait(descriptor(), progress.wait_for, deadline)) {
      fail_sending(in_doubt(), "timeout");
    }
  }
}

std::size_t Wire::send_some(std::string_view bytes) {
  require_usable();
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    auto const progress = write_some(bytes.substr(sent));
    if (progress.wait_for != 0) break;
    sent += progress.bytes;
  }
  return sent;
}

Wire::Progress Wire::write_some(std::string_view bytes) {
  if (tls_) {
    auto const step = tls_->write(bytes.data(), bytes.size());
    if (step.over)
      throw Unreachable{step.error.empty() ? "the server closed the connection" : step.error};
    return {step.bytes, step.wait_for};
  }
  auto const sent = ::send(descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) return {static_cast<std::size_t>(sent), 0};
  if (errno == EAGAIN) return {0, POLLOUT};
  if (errno == EINTR) return {};
  throw Unreachable{std::string{error_text(errno)}};
}

// -- receiving ------------------------------------------------------------------------------------

void Wire::fail_receiving(std::string_view why) {
  broken_ = true;
  throw InDoubt{fmt::format("tandem: waiting for {} to answer: {}", options_.endpoint(), why)};
}

std::optional<Reply> Wire::parse() {
  void* raw = nullptr;
  if (redisReaderGetReply(context_->reader, &raw) != REDIS_OK) {
    fail_receiving(context_->reader->err == REDIS_ERR_OOM
                       ? "its answer is nested too deep, or too large for the memory"
                       : fmt::format("not the Redis protocol ({})", context_->reader->errstr));
  }
  if (raw == nullptr) return std::nullopt;
  return Reply{static_cast<redisReply*>(raw)};
}

bool Wire::can_wait_in_read(Deadline deadline) const noexcept {
  return reads_may_wait_ && deadline - steady_clock::now() >= longest_read;
}

Wire::Progress Wire::read_some(int flags) {
  char buffer[read_size];
  Progress progress;
  if (tls_) {
    auto const step = tls_->read(buffer, sizeof buffer);
    if (step.over)
      fail_receiving(step.error.empty() ? "the server closed the connection" : step.error);
    progress = {step.bytes, step.wait_for};
  } else {
    auto const got = ::recv(descriptor(), buffer, sizeof buffer, flags);
    if (got == 0) fail_receiving("the server closed the connection");
    if (got < 0 && errno != EAGAIN && errno != EINTR) fail_receiving(error_text(errno));
    if (got > 0) progress.bytes = static_cast<std::size_t>(got);
    if (got < 0 && errno == EAGAIN) progress.wait_for = POLLIN;
  }
  if (progress.bytes > 0 && redisReaderFeed(context_->reader, buffer, progress.bytes) != REDIS_OK) {
    fail_receiving("out of memory");
  }
  return progress;
}

Reply Wire::receive(Deadline deadline) {
  require_usable();
  for (bool late = false;;) {
    if (auto reply = parse()) return std::move(*reply);
    if (late) fail_receiving("timeout");
    if (can_wait_in_read(deadline)) {
      (void)read_some(0);
      continue;
    }
    auto const progress = read_some(MSG_DONTWAIT);
    // A stream of bytes that never ends must not outlast the deadline either.
    late = progress.wait_for == 0 ? steady_clock::now() >= deadline
                                  : !waiting_.wait(descriptor(), progress.wait_for, deadline);
  }
}

Reply Wire::receive_answer(Deadline deadline) {
  for (;;) {
    auto reply = receive(deadline);
    if (reply.kind() != ReplyKind::push) return reply;
    if (steady_clock::now() >= deadline) fail_receiving("timeout");
  }
}

std::optional<Reply> Wire::receive_if_here(Deadline enough) {
  require_usable();
  for (bool late = false;;) {
    if (auto reply = parse()) return reply;
    if (late || read_some(MSG_DONTWAIT).wait_for != 0) return std::nullopt;
    late = steady_clock::now() >= enough;
  }
}

bool Wire::read_what_is_here() {
  for (int i = 0; i < 64; ++i) {
    auto const progress = read_some(MSG_DONTWAIT);
    if (progress.wait_for != 0) return false;
    // A buffer that is not full is the end of what is here.
    if (tls_ ? !tls_->has_more() : progress.bytes > 0 && progress.bytes < read_size) return false;
  }
  return true;
}

bool Wire::read_patiently(Deadline deadline) {
  if (can_wait_in_read(deadline)) return read_some(0).bytes == read_size;
  (void)waiting_.wait(descriptor(), POLLIN, std::min(deadline, steady_clock::now() + longest_read));
  return read_what_is_here();
}

std::optional<Reply> Wire::parse_answer() {
  for (;;) {
    auto reply = parse();
    if (!reply || reply->kind() != ReplyKind::push) return reply;
  }
}

void Wire::hang_up() noexcept { ::shutdown(descriptor(), SHUT_RDWR); }

bool Wire::has_unasked() noexcept {
  try {
    refuse_unasked();
    return false;
  } catch (...) {
    return true;
  }
}

bool Wire::is_quiet(bool look) noexcept {
  if (broken() || (tls_ && tls_->has_more())) return false;
  if (has_unasked()) return false;  // it may have been read already, behind the last answer
  if (!look) return true;
  char byte = 0;
  // An idle command connection has nothing to read: end of file or bytes nobody asked for both
  // disqualify it.
  return ::recv(descriptor(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

bool Wire::has_unread() noexcept {
  char byte = 0;
  return (tls_ && tls_->has_more()) || ::recv(descriptor(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

std::vector<Reply> exchange(Wire& wire, CommandBuffer const& commands, Deadline deadline) {
  wire.send(commands, deadline);
  std::vector<Reply> replies;
  replies.reserve(commands.count());
  while (replies.size() < commands.count()) replies.push_back(wire.receive_answer(deadline));
  return replies;
}

}  // namespace tandem::detail
