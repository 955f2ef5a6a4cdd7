#include "tandem/core/transaction.hpp"

#include <optional>
#include <string>

#include "core/backoff.hpp"
#include "core/pool.hpp"
#include "core/wire.hpp"

namespace tandem {
namespace {

using std::chrono::steady_clock;

std::string describe(std::span<std::string_view const> keys) {
  std::string out = "transaction";
  for (std::size_t i = 0; i < keys.size(); ++i) out.append(i == 0 ? " on " : ", ").append(keys[i]);
  return out;
}

void add_watch(CommandBuffer& out, std::span<std::string_view const> keys) {
  if (keys.empty()) return;
  out.begin(1 + keys.size());
  out.word("WATCH");
  for (auto const key : keys) out.word(key);
}

/// One try.
class Watched final : public Transaction {
 public:
  Watched(detail::Wire& wire, std::span<std::string_view const> keys, Deadline deadline)
      : wire_{wire}, keys_{keys}, deadline_{deadline} {}

  [[nodiscard]] bool is_empty() const noexcept { return queued_.count() == 0; }
  void watch();
  void unwatch() noexcept;
  void begin();
  /// EXEC's replies, or nothing when a watched key has changed.
  bool commit(std::vector<Reply>& replies);

 private:
  Reply read_words(std::span<Argument const> words) override;
  void queue_words(std::span<Argument const> words) override { queued_.add(words); }

  detail::Wire& wire_;
  std::span<std::string_view const> keys_;
  Deadline deadline_;
  CommandBuffer queued_{};
  bool watching_ = false;
  bool begun_ = false;  // MULTI has been said and accepted
};

Reply Watched::read_words(std::span<Argument const> words) {
  bool const first = !watching_ && !keys_.empty();
  CommandBuffer commands;
  if (first) add_watch(commands, keys_);
  commands.add(words);
  wire_.send(commands, deadline_);
  if (first) {
    auto const watched = wire_.receive_answer(deadline_);
    watching_ = true;
    auto reply = wire_.receive_answer(deadline_);
    watched.throw_if_error("WATCH");
    reply.throw_if_error(words.front().bytes());
    return reply;
  }
  auto reply = wire_.receive_answer(deadline_);
  reply.throw_if_error(words.front().bytes());
  return reply;
}

void Watched::watch() {
  if (watching_ || keys_.empty()) return;
  CommandBuffer command;
  add_watch(command, keys_);
  wire_.send(command, deadline_);
  wire_.receive_answer(deadline_).throw_if_error("WATCH");
  watching_ = true;
}

void Watched::unwatch() noexcept {
  if (!watching_ || wire_.broken()) return;
  try {
    CommandBuffer command;
    command.add(std::initializer_list<Argument>{"UNWATCH"});
    wire_.send(command, deadline_);
    (void)wire_.receive_answer(deadline_);
  } catch (Error const&) {
    // The wire is broken now, and with it goes what it watched.
  }
}

void Watched::begin() {
  // After a MULTI that is refused (an ACL, a proxy) the rest would be executed as it comes, watched
  // or not. A server that takes one takes the next, so that only the first on each connection is
  // waited for.
  if (wire_.takes_multi()) return;
  CommandBuffer command;
  command.add(std::initializer_list<Argument>{"MULTI"});
  wire_.send(command, deadline_);
  wire_.receive_answer(deadline_).throw_if_error("MULTI");
  wire_.note_that_it_takes_multi();
  begun_ = true;
}

bool Watched::commit(std::vector<Reply>& replies) {
  CommandBuffer commands;
  if (!begun_) commands.add(std::initializer_list<Argument>{"MULTI"});
  commands.append(queued_);
  commands.add(std::initializer_list<Argument>{"EXEC"});
  try {
    wire_.send(commands, deadline_);
  } catch (InDoubt const& fault) {
    // Without all of it no EXEC, and without EXEC nothing happened.
    throw Unreachable{fault.what()};
  }
  std::optional<ServerError> rejected;
  if (!begun_) {
    auto const begun = wire_.receive_answer(deadline_);
    if (begun.is_error())
      rejected.emplace(begun.error_text(),
                       describe(keys_) + " (it was executed one by one): MULTI");
  }
  for (std::size_t i = 0; i < queued_.count(); ++i) {
    auto const queued = wire_.receive_answer(deadline_);
    if (queued.is_error() && !rejected) rejected.emplace(queued.error_text(), describe(keys_));
  }
  auto executed = wire_.receive_answer(deadline_);
  if (rejected) throw *rejected;  // EXECABORT: none was executed
  executed.throw_if_error(describe(keys_));
  if (executed.is_nil()) return false;
  for (std::size_t i = 0; i < executed.size(); ++i) {
    executed[i].throw_if_error(describe(keys_) + " (its other commands were applied)");
  }
  replies = std::move(executed).take_elements();
  return true;
}

}  // namespace

std::vector<Reply> detail::run_transaction(Channel& channel, std::span<std::string_view const> keys,
                                           Deadline deadline, void (*body)(void*, Transaction&),
                                           void* context) {
  Backoff backoff{std::chrono::milliseconds{1}, std::chrono::milliseconds{250}};
  for (;;) {
    auto const begun = steady_clock::now();
    auto lease = channel.borrow(deadline);
    Watched transaction{lease.wire(), keys, deadline};
    bool committing = false;
    try {
      body(context, transaction);
      if (transaction.is_empty()) {
        transaction.unwatch();
        return {};
      }
      if (steady_clock::now() >= deadline)
        throw Unreachable{"tandem: " + describe(keys) + ": not sent before the deadline"};
      transaction.watch();
      transaction.begin();
      committing = true;
      std::vector<Reply> replies;
      if (transaction.commit(replies)) return replies;
    } catch (Error const& fault) {
      // A wire that is whole has nothing to do with it: the server said no, or the fault is of
      // something else in the body.
      if (!fault.poisons_connection() || !lease.wire().broken()) {
        transaction.unwatch();
        throw;
      }
      // Until EXEC has left nothing can have been applied: begin again on a fresh connection, while
      // there is time.
      if (committing && fault.in_doubt()) throw;
      auto const again = steady_clock::now() + backoff.pause();
      if (again >= deadline) throw Unreachable{fault.what()};
      poll_until(nullptr, 0, again);
      continue;
    } catch (...) {
      transaction.unwatch();
      throw;
    }
    // A try that does not end before the deadline would end in doubt.
    auto const now = steady_clock::now();
    if (now + (now - begun) >= deadline) {
      throw Conflict{"tandem: " + describe(keys) +
                     ": others kept changing the keys until the deadline"};
    }
  }
}

}  // namespace tandem
