#pragma once

#include <span>
#include <string_view>
#include <vector>

#include <tandem/core/channel.hpp>

namespace tandem {

class Transaction;

namespace detail {
class Wire;

/// Calls `body(context, transaction)` between WATCH and MULTI until EXEC succeeds or the deadline
/// has passed. Returns the replies of the queued commands. See Conversation::transaction.
std::vector<Reply> run_transaction(Channel& channel, std::span<std::string_view const> keys,
                                   Deadline deadline,
                                   void (*body)(void* context, Transaction& transaction),
                                   void* context);
}  // namespace detail

/// One try of an optimistic transaction: what is read, and what is to be written if nothing read
/// has changed.
///
/// Made by `transaction()` of a `Client` or `Connection` and passed to its function, which may run
/// several times.
///
/// Cost:    2 round trips for a try that reads with one command and queues any number: WATCH with
///          the first read, and MULTI ... EXEC. Each further read is one more, and so is the first
///          MULTI on a connection.
/// Threads: one at a time; it does not outlive the function's call.
class Transaction {
 public:
  Transaction(Transaction const&) = delete;
  Transaction& operator=(Transaction const&) = delete;

  /// Asks the server now, after WATCH and before MULTI. Read here whatever the decision depends on.
  /// Throws ServerError, and faults that the transaction() around it repeats.
  template <class... Words>
  [[nodiscard]] Reply read(Words const&... words) {
    Argument const list[] = {Argument(words)...};
    return read_words(list);
  }

  /// Adds a command to be executed by EXEC: with all others queued, and only if no watched key has
  /// changed.
  template <class... Words>
  void queue(Words const&... words) {
    Argument const list[] = {Argument(words)...};
    queued_.add(list);
  }

 private:
  friend std::vector<Reply> detail::run_transaction(detail::Channel&,
                                                    std::span<std::string_view const>, Deadline,
                                                    void (*)(void*, Transaction&), void*);

  Transaction(detail::Wire& wire, std::span<std::string_view const> keys, Deadline deadline)
      : wire_{wire}, keys_{keys}, deadline_{deadline} {}

  Reply read_words(std::span<Argument const> words);
  void watch();
  void unwatch() noexcept;
  void begin();
  /// EXEC's replies, or nothing when a watched key has changed.
  bool commit(std::vector<Reply>& replies);

  detail::Wire& wire_;
  std::span<std::string_view const> keys_;
  Deadline deadline_;
  CommandBuffer queued_{};
  bool watching_ = false;
  bool begun_ = false;  // MULTI has been said and accepted
};

}  // namespace tandem
