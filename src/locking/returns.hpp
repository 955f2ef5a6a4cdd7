#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/core.hpp"
#include "locking/keys.hpp"

namespace tandem::detail {

/// What is given back to the server in the background: what a caller could not, what is idle, and
/// what a dead process held.
///
/// Threads: give_back and before_end from any; the rest on the event thread.
class LockReturns {
 public:
  explicit LockReturns(Events& events) : events_{events} {}

  /// Releases what `token` holds, or takes it out of the queue, as soon as the server can be reached;
  /// asks again and again, ever more seldom, for `length` after the first answer, for what is in
  /// doubt may be executed after it.
  void give_back(std::shared_ptr<LockKeys const> keys, std::string token,
                 std::chrono::milliseconds length);

  /// The last attempt, in one round trip: nobody will ask again. Throws what keeps it from the server.
  void before_end(Core& core);

  void on_subscribed();
  void serve(Deadline now);
  [[nodiscard]] Deadline next();

 private:
  struct Item {
    std::shared_ptr<LockKeys const> keys;
    std::string token;
    std::chrono::milliseconds length;
    Deadline next{};
    Deadline give_up = Deadline::max();
    std::chrono::milliseconds pause{50};
  };

  static void add(CommandBuffer& out, Item const& item);
  void take_answer(std::string_view token, std::string_view lock, ReplyView const* reply);

  Events& events_;
  std::mutex mutex_{};
  std::vector<Item> items_{};
};

}  // namespace tandem::detail
