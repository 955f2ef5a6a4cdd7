#include "locking/returns.hpp"

#include <algorithm>
#include <utility>

#include "locking/release.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// For how long a server that refuses to take something back is asked again.
constexpr std::chrono::seconds longest_refusal{10};
// Or when the connection is back.
constexpr std::chrono::seconds ask_after{1};

}  // namespace

void LockReturns::give_back(std::shared_ptr<LockKeys const> keys, std::string token,
                            milliseconds length) {
  {
    std::lock_guard const guard{mutex_};
    // One token may hold several locks.
    bool const known = std::any_of(items_.begin(), items_.end(), [&](Item const& each) {
      return each.token == token && each.keys->lock == keys->lock;
    });
    if (known) return;
    items_.push_back({.keys = std::move(keys), .token = std::move(token), .length = length});
  }
  events_.wake();
}

/// In full: a server that comes to it when this client is gone has nobody to ask for the script.
void LockReturns::add(CommandBuffer& out, Item const& item) {
  auto const keys = item.keys->all();
  ReleaseWords const words{*item.keys, item.token};
  add_script(out, item.keys->kind.release, false, keys, words.all());
}

void LockReturns::before_end(Core& core) {
  CommandBuffer commands;
  {
    std::lock_guard const guard{mutex_};
    for (auto const& each : items_) add(commands, each);
  }
  if (commands.count() > 0) (void)core.ask_all(commands, core.deadline());
}

void LockReturns::on_subscribed() {
  std::lock_guard const guard{mutex_};
  for (auto& each : items_) each.next = Deadline::min();
}

Deadline LockReturns::next() {
  std::lock_guard const guard{mutex_};
  auto out = Deadline::max();
  for (auto const& each : items_) out = std::min(out, each.next);
  return out;
}

void LockReturns::serve(Deadline now) {
  std::vector<Item> due;
  {
    std::lock_guard const guard{mutex_};
    for (auto& each : items_) {
      if (now < each.next) continue;
      each.next = Deadline::max();  // until it is answered, or the connection is lost
      due.push_back(each);
    }
  }
  for (auto const& each : due) {
    CommandBuffer command;
    add(command, each);
    bool const sent =
        events_.send(command, [this, token = each.token, lock = each.keys->lock](
                                  ReplyView const* reply) { take_answer(token, lock, reply); });
    if (!sent) take_answer(each.token, each.keys->lock, nullptr);
  }
}

void LockReturns::take_answer(std::string_view token, std::string_view lock,
                              ReplyView const* reply) {
  auto const now = steady_clock::now();
  std::lock_guard const guard{mutex_};
  auto const found = std::find_if(items_.begin(), items_.end(), [&](Item const& each) {
    return each.token == token && each.keys->lock == lock;
  });
  if (found == items_.end()) return;
  if (reply == nullptr) {
    found->next = now + ask_after;
    return;
  }
  // Refused: a server that loads, or follows another, may do it later. Not there: perhaps not yet;
  // what is in doubt went over another connection, and may be read after this.
  bool const refused = reply->is_error();
  auto const length =
      refused ? std::max<milliseconds>(found->length, longest_refusal) : found->length;
  if (found->give_up == Deadline::max()) found->give_up = now + length;
  if ((!refused && reply->as<int>() == 1) || now >= found->give_up) {
    items_.erase(found);
    return;
  }
  found->next = std::min(now + found->pause, found->give_up);
  found->pause *= 2;
}

}  // namespace tandem::detail
