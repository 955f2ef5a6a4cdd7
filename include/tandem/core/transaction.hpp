#pragma once

#include <span>
#include <string_view>
#include <vector>

#include <tandem/core/channel.hpp>

namespace tandem {

/// What is to be written all in one go, and reads on the way to it.
///
/// Made by `transaction()` of a `Client` or `Connection`, or by `Hold::commit`, and passed to its
/// function. Within transaction() it is one try of an optimistic transaction: written if nothing
/// read has changed, so the function may run several times. Within commit() it is written if the
/// lock is still held, and the function runs once.
///
/// Cost:    within transaction() 2 round trips for a try that reads with one command and queues any
///          number: WATCH with the first read, and MULTI ... EXEC. Each further read is one more,
///          and so is the first MULTI on a connection. Within commit() 1, and 1 for each read.
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

  /// Adds a command to be executed with all others queued: only if no watched key has changed, or
  /// only while the lock is held.
  template <class... Words>
  void queue(Words const&... words) {
    Argument const list[] = {Argument(words)...};
    queue_words(list);
  }
  /// The same, of as many words as there are.
  virtual void queue_words(std::span<Argument const> words) = 0;

 protected:
  Transaction() = default;
  ~Transaction() = default;

 private:
  virtual Reply read_words(std::span<Argument const> words) = 0;
};

namespace detail {

/// Calls `body(context, transaction)` between WATCH and MULTI until EXEC succeeds or the deadline
/// has passed. Returns the replies of the queued commands. See Conversation::transaction.
std::vector<Reply> run_transaction(Channel& channel, std::span<std::string_view const> keys,
                                   Deadline deadline,
                                   void (*body)(void* context, Transaction& transaction),
                                   void* context);

}  // namespace detail
}  // namespace tandem
