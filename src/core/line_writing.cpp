// How a line writes: what goes out at once, what is held back, and what is left to others.

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "core/line.hpp"

namespace tandem::detail {
namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

// Words are held back while the server has enough to do: what is said meanwhile goes out together.
// Where few talk there is nothing to be gained, and a wake-up to be lost; a crowd of callers waits
// for each other earlier. ARCHITECTURE.md has the figures.
constexpr std::size_t enough_writes = 2;
constexpr std::size_t enough_commands = 6;
constexpr std::size_t many_commands = 8;
constexpr std::size_t a_crowd = 12;
constexpr std::size_t enough_for_a_crowd = 4;
// No longer than this for a reply that would let them go: on a slow network, a small part of it.
constexpr auto longest_hold = microseconds{300};

// When a program that began with a few commands turns out to be one that stays.
constexpr auto settling = std::chrono::seconds{1};

}  // namespace

void Line::start(std::string_view bytes, Request& request, Deadline deadline) {
  auto const now = steady_clock::now();
  if (now - made_ > settling) settled_.store(true, std::memory_order_relaxed);
  Ended ended;
  std::string why;
  {
    std::lock_guard const guard{mutex_};
    try {
      if (!broken_ && !accept(bytes, request, now)) return;
    } catch (std::bad_alloc const&) {
      why = "out of memory";  // short enough to need none
    }
    if (broken_ || !why.empty()) {
      if (why.empty()) why = why_broken_;
      ended.add(&request, Request::Fate::not_executed);
    } else {
      if (!queued_.empty()) {
        take_outbox();
        bytes = batch_;
      }
      writing_ = sending_ = true;
    }
  }
  if (!why.empty()) return ended.tell(why);
  write(bytes, deadline);
}

/// Whether it is for the caller to write: `bytes`, or what is queued, `bytes` at its end. Else they
/// are left to somebody else. Throws std::bad_alloc, having changed nothing.
bool Line::accept(std::string_view bytes, Request& request, Deadline now) {
  pending_.make_room(queued_.size() + 1);
  queued_.make_room(1);
  auto const commands = request.replies_.size();
  Slot const slot{&request, bytes.size(), commands, commands, now};
  if (writing_ || blocked_ || !queued_.empty() || is_better_held()) {
    outbox_.append(bytes);
    if (queued_.empty()) held_until_ = now + longest_hold;
    queued_.push(slot);
  } else {
    pending_.push(slot);
    pending_.back().ends_a_write = true;
    ++unanswered_;
    unsent_ = bytes.size();
  }
  last_word_ = now;
  crowd_ = std::max(crowd_, pending_.size() + queued_.size());
  return queued_.empty() || !(writing_ || blocked_ || is_better_held());
}

bool Line::is_better_held() const noexcept {
  auto const commands = pending_.size();
  if (crowd_ >= a_crowd) return commands >= enough_for_a_crowd;
  return commands >= many_commands || (commands >= enough_commands && unanswered_ >= enough_writes);
}

/// Whether there are words that nobody is about to write.
bool Line::is_held() const noexcept {
  return !queued_.empty() && !writing_ && !blocked_ && !broken_;
}

/// There is room for it in `pending_` since it was accepted.
void Line::take_outbox() noexcept {
  batch_.clear();
  for (auto const& slot : queued_.all()) pending_.push(slot);
  queued_.clear();
  batch_.swap(outbox_);
  pending_.back().ends_a_write = true;
  ++unanswered_;
  unsent_ = batch_.size();
}

/// With the writer's role: `rest`, and what others leave meanwhile. What the socket does not take
/// until `deadline`, or of the others' at once, is left to who reads.
void Line::write(std::string_view rest, Deadline deadline) {
  for (;;) {
    std::size_t sent = 0;
    try {
      sent = wire_->write_some(rest).bytes;
    } catch (std::exception const& fault) {
      return stop_writing(fault.what());
    }
    rest.remove_prefix(sent);
    bool over = false;
    {
      std::lock_guard const guard{mutex_};
      if (!over_) unsent_ -= sent;
      over = broken_;
      if (rest.empty() && !over) {
        if (outbox_.empty()) {
          batch_.clear();
          writing_ = sending_ = false;
          return;
        }
        take_outbox();
        rest = batch_;
        deadline = Deadline::min();  // our own reply may be here
        continue;
      }
      sending_ = sent > 0 && !over;
    }
    if (over) return stop_writing(why_broken_);
    if (sent > 0) continue;
    pollfd socket{wire_->descriptor(), POLLOUT, 0};
    bool const ready = poll_until(&socket, 1, deadline);
    {
      std::lock_guard const guard{mutex_};
      over = broken_;  // what was given up meanwhile must not go out any more
      sending_ = ready && !over;
    }
    if (over) return stop_writing(why_broken_);
    if (!ready) return leave_to_reader(rest);
  }
}

/// Gives up the writer's role with `rest` unsent.
void Line::leave_to_reader(std::string_view rest) {
  try {
    std::string left{rest};  // a part of batch_, or of the caller's words
    std::lock_guard const guard{mutex_};
    if (!broken_) {
      batch_ = std::move(left);
      blocked_ = true;
      attended_ = false;  // who attends does not wait for room yet
      writing_ = false;
      return;
    }
  } catch (std::bad_alloc const&) {  // as if the socket had failed
  }
  stop_writing("tandem: out of memory, or given up while words were left to send");
}

void Line::write_what_is_held() noexcept {
  {
    std::lock_guard const guard{mutex_};
    if (!is_held()) return;
    take_outbox();
    writing_ = sending_ = true;
  }
  write(batch_, Deadline::min());
}

/// By who reads: goes on with what a writer had no time for.
void Line::write_what_was_left() {
  {
    std::lock_guard const guard{mutex_};
    if (!std::exchange(blocked_, false)) return;
    writing_ = sending_ = true;
  }
  write(batch_, Deadline::min());
}

}  // namespace tandem::detail
