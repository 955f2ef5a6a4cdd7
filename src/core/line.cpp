#include "core/line.hpp"

#include <algorithm>
#include <exception>

#include <fmt/core.h>

namespace tandem::detail {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A server that answered so shortly ago is taken to be there still: looking costs a system call.
constexpr auto just_now = microseconds{10};

// Who posts more than this waits until it is less.
constexpr std::size_t most_under_way = 10'000;
constexpr std::size_t most_unsent = 1 << 20;

// For how long a reader waits without looking up.
constexpr auto slice = milliseconds{20};

// For how long the attendant reads in one go.
constexpr auto one_sitting = milliseconds{2};

}  // namespace

void Line::Slots::make_room(std::size_t count) {
  auto const needed = slots_.size() + count;
  if (needed > slots_.capacity()) slots_.reserve(std::max(needed, 2 * slots_.capacity()));
}

void Line::Slots::pop() noexcept {
  ++first_;
  if (first_ == slots_.size()) {
    clear();
  } else if (first_ >= 64 && first_ * 2 >= slots_.size()) {
    slots_.erase(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

// -- the whole of a call --------------------------------------------------------------------------

void Line::exchange(std::string_view bytes, Call& call, Deadline deadline) {
  start(bytes, call, deadline);
  await(call, deadline);
  // It may have been given the reader's role in the moment in which it no longer needed it.
  if (call.was_made_reader_) hand_on_reading(call);
}

bool Line::post(std::string_view bytes, Request& request) {
  {
    std::lock_guard const guard{mutex_};
    if (broken_ || pending_.size() + queued_.size() > most_under_way ||
        outbox_.size() + unsent_ > most_unsent) {
      return false;
    }
  }
  start(bytes, request, Deadline::min());
  {
    std::lock_guard const guard{mutex_};
    if (reader_ != nullptr || (pending_.empty() && queued_.empty())) return true;
    if (std::exchange(attended_, true)) return true;
  }
  call_attendant_();
  return true;
}

bool Line::usable() noexcept {
  Ended ended;
  {
    std::lock_guard const guard{mutex_};
    if (broken_) return false;
    auto const now = steady_clock::now();
    if (pending_.empty()) {
      if (reader_ != nullptr || writing_) return true;
      broken_ = !wire_->is_quiet(now - heard_at_ >= just_now);
    } else {
      broken_ = is_overdue(now);
    }
    if (!broken_) return true;
    say_why(why_broken_, "sending to", "it has hung up, or fell silent");
    // Who is writing ends what it did not send; else that is for us.
    writing_ ? forget_queued(ended) : forget_unsent(ended);
  }
  ended.tell(why_broken_);
  return false;
}

bool Line::has_posts() noexcept {
  std::lock_guard const guard{mutex_};
  auto const is_post = [](Slot const& slot) {
    return slot.request != nullptr && !slot.request->is_awaited();
  };
  auto const sent = pending_.all();
  auto const unsent = queued_.all();
  return std::any_of(sent.begin(), sent.end(), is_post) ||
         std::any_of(unsent.begin(), unsent.end(), is_post);
}

/// A reply that no caller waits for any more and that is as late as this will not come: the server,
/// or the network, has forgotten us. A little less than the whole timeout, so that the call after
/// the one that waited in vain is spared.
milliseconds Line::patience() const noexcept {
  return options_.command_timeout - options_.command_timeout / 10;
}

/// Late is what did not come although nothing else did; what lies here unread is not late.
bool Line::is_overdue(Deadline now) noexcept {
  if (pending_.empty() || pending_.front().is_awaited()) return false;
  return now - std::max(pending_.front().since, heard_at_) >= patience() && !wire_->has_unread();
}

// -- reading --------------------------------------------------------------------------------------

void Line::await(Call& call, Deadline deadline) {
  while (!call.is_done()) {
    bool leads = false;
    auto until = deadline;
    {
      std::lock_guard const guard{mutex_};
      if (reader_ == nullptr && !over_) reader_ = &call;
      leads = reader_ == &call;
      if (is_held()) until = std::min(until, held_until_);
    }
    if (leads) {
      read_for_all(call, deadline);
      if (!call.is_done()) withdraw(call);
      hand_on_reading(call);
    } else if (!call.sleep(until)) {
      if (steady_clock::now() >= deadline) return withdraw(call);
      write_what_is_held();
    }
  }
}

/// With the reader's role: until `call` is done, or its deadline.
void Line::read_for_all(Call const& call, Deadline deadline) {
  try {
    for (bool late = false, more = false;;) {
      deliver();
      if (call.is_done() || late) return;
      auto const now = steady_clock::now();
      late = now >= deadline;
      bool blocked = false;
      bool held = false;
      bool held_too_long = false;
      auto until = deadline;
      {
        std::lock_guard const guard{mutex_};
        blocked = blocked_;
        held_too_long = is_held() && now >= held_until_;
        // Of several one has a caller that is not reading, and looks after them.
        held = is_held() && queued_.size() == 1;
        if (held) until = std::min(until, held_until_);
      }
      if (held_too_long) write_what_is_held();
      if (more || late || held_too_long) {
        more = wire_->read_what_is_here();
      } else if (blocked || held) {
        more = wait_for_room_too(blocked, until);
      } else {
        more = wire_->read_patiently(deadline);
      }
    }
  } catch (std::exception const& fault) {  // the network's, the server's, or out of memory
    give_up(fault.what());
  }
}

/// By who reads while words are to go out, `blocked` for want of room in the socket or held until
/// then. Whether more is to be read.
bool Line::wait_for_room_too(bool blocked, Deadline until) {
  pollfd socket{wire_->descriptor(), static_cast<short>(blocked ? POLLIN | POLLOUT : POLLIN), 0};
  // In slices: another thread may end the call, or the words, that are waited for.
  (void)poll_until(&socket, 1, std::min(until, steady_clock::now() + slice));
  if ((socket.revents & POLLOUT) != 0) write_what_was_left();
  return (socket.revents & ~POLLOUT) != 0 && wire_->read_what_is_here();
}

/// Gives each reply that is here to who asked for it.
void Line::deliver() {
  while (auto reply = wire_->parse_answer()) heard_.push_back(std::move(*reply));
  if (heard_.empty()) return;
  auto const now = steady_clock::now();
  Ended ended;
  bool unasked = false;
  bool held_no_longer = false;
  {
    std::lock_guard const guard{mutex_};
    for (auto& reply : heard_) {
      if (pending_.empty()) {
        unasked = true;
        break;
      }
      auto& slot = pending_.front();
      if (slot.request != nullptr)
        slot.request->replies_[slot.request->taken_++] = std::move(reply);
      if (--slot.unanswered > 0) continue;
      ended.add(slot.request, Request::Fate::answered);
      if (slot.ends_a_write) --unanswered_;
      pending_.pop();
    }
    unasked = unasked || (pending_.empty() && wire_->has_unasked());
    crowd_ -= crowd_ / 8;  // and so forgets those who left
    held_no_longer = is_held() && !is_better_held();
    heard_at_ = now;
  }
  heard_.clear();
  if (held_no_longer) write_what_is_held();
  ended.tell({});
  if (unasked) {
    throw InDoubt{fmt::format("tandem: waiting for {} to answer: it answered what nobody had asked",
                              options_.endpoint())};
  }
}

void Line::hand_on_reading(Call const& from) noexcept {
  {
    std::lock_guard const guard{mutex_};
    if (reader_ != &from) return;
    reader_ = nullptr;
    if (pending_.empty() && queued_.empty()) return;
    // Who came last has the longest to wait: it will have the most to hand out before its own.
    for (auto* const slots : {&queued_, &pending_}) {
      auto const all = slots->all();
      auto const found = std::find_if(all.rbegin(), all.rend(), [&](Slot const& slot) {
        return slot.request != &from && slot.is_awaited();
      });
      if (found == all.rend()) continue;
      reader_ = static_cast<Call const*>(found->request);
      return found->request->lead();
    }
    if (&from == &attendant_ || std::exchange(attended_, true)) return;
  }
  call_attendant_();
}

// -- the attendant --------------------------------------------------------------------------------

pollfd Line::unattended() noexcept {
  std::lock_guard const guard{mutex_};
  attended_ = reader_ == nullptr && !over_ && !(pending_.empty() && queued_.empty());
  if (!attended_) return {-1, 0, 0};
  return {wire_->descriptor(), static_cast<short>(blocked_ ? POLLIN | POLLOUT : POLLIN), 0};
}

void Line::attend() noexcept {
  {
    std::lock_guard const guard{mutex_};
    if (reader_ != nullptr || over_ || (pending_.empty() && queued_.empty())) return;
    reader_ = &attendant_;
  }
  try {
    write_what_was_left();
    auto const enough = steady_clock::now() + one_sitting;
    for (bool more = true; more && steady_clock::now() < enough;) {
      more = wire_->read_what_is_here();
      deliver();
    }
  } catch (std::exception const& fault) {
    give_up(fault.what());
  }
  hand_on_reading(attendant_);
}

Line::Health Line::examine(Deadline now, milliseconds long_silence) noexcept {
  {
    std::lock_guard const guard{mutex_};
    Health const good{false, now + long_silence};
    if (over_ || reader_ != nullptr) return good;
    if (pending_.empty() && queued_.empty()) {
      auto const again = last_word_ + long_silence;
      if (broken_ || now < again) return {false, broken_ ? good.look_again : again};
      return {true, good.look_again};
    }
    if (pending_.empty() || pending_.front().is_awaited()) return good;
    if (!is_overdue(now)) {
      auto const late = std::max(pending_.front().since, heard_at_) + patience();
      return {false, std::max(late, now + one_sitting)};
    }
  }
  give_up(fmt::format("tandem: waiting for {} to answer: timeout", options_.endpoint()));
  return {false, now + long_silence};
}

}  // namespace tandem::detail
