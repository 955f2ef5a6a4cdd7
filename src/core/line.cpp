#include "core/line.hpp"

#include <algorithm>
#include <exception>
#include <new>

#include <fmt/core.h>

namespace tandem::detail {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
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

// A server that answered so shortly ago is taken to be there still: looking costs a system call.
constexpr auto just_now = microseconds{10};

// Who posts more than this waits until it is less.
constexpr std::size_t most_under_way = 10'000;
constexpr std::size_t most_unsent = 1 << 20;

// When a program that began with a few commands turns out to be one that stays.
constexpr auto settling = std::chrono::seconds{1};

// For how long a reader waits without looking up.
constexpr auto slice = milliseconds{20};

// For how long the attendant reads in one go.
constexpr auto one_sitting = milliseconds{2};

// Text for people: without the memory for it there is none.
void remember(std::string& place, std::string const& why) noexcept {
  try {
    place = why;
  } catch (std::bad_alloc const&) {
    place.clear();
  }
}
void remember(std::string& place, Options const& options, std::string_view doing,
              std::string_view what) noexcept {
  try {
    auto const answer = doing == "waiting for" ? " to answer" : "";
    place = fmt::format("tandem: {} {}{}: {}", doing, options.endpoint(), answer, what);
  } catch (std::bad_alloc const&) {
    place.clear();
  }
}

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
    remember(why_broken_, options_, "sending to", "it has hung up, or fell silent");
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

// -- writing --------------------------------------------------------------------------------------

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

// -- ends -----------------------------------------------------------------------------------------

Line::~Line() {
  give_up(fmt::format("tandem: waiting for {} to answer: its connection was given up",
                      options_.endpoint()));
}

void Line::Ended::add(Request* request, Request::Fate fate) noexcept {
  if (request == nullptr) return;
  request->fate_ = fate;
  (last_ == nullptr ? first_ : last_->next_ended_) = request;
  last_ = request;
}

void Line::Ended::tell(std::string const& why) const noexcept {
  for (auto* each = first_; each != nullptr;) {
    auto* const next = each->next_ended_;
    if (each->fate_ != Request::Fate::answered) remember(each->why_, why);
    each->finished();  // and may be gone
    each = next;
  }
}

/// What is not sent will not be.
void Line::forget_queued(Ended& ended) noexcept {
  for (auto const& slot : queued_.all()) ended.add(slot.request, Request::Fate::not_executed);
  queued_.clear();
  outbox_.clear();
}

/// The same, and what was about to be sent.
void Line::forget_unsent(Ended& ended) noexcept {
  while (!pending_.empty() && unsent_ > 0) {
    auto const& last = pending_.back();
    auto const missing = std::min(unsent_, last.bytes);
    if (last.may_be_executed_without(missing)) break;
    unsent_ -= missing;
    ended.add(last.request, Request::Fate::not_executed);
    pending_.erase(&last);
  }
  unsent_ = 0;
  blocked_ = false;
  batch_.clear();
  forget_queued(ended);
}

/// At its deadline: what was not sent is not; what was leaves a gap for its reply.
void Line::withdraw(Call& call) {
  Ended ended;
  bool found = false;
  std::string_view doing = "sending to";
  {
    std::lock_guard const guard{mutex_};
    std::size_t before = 0;
    for (auto& slot : queued_.all()) {
      if (slot.request == &call) {
        outbox_.erase(before, slot.bytes);
        queued_.erase(&slot);
        ended.add(&call, Request::Fate::not_executed);
        found = true;
        break;
      }
      before += slot.bytes;
    }
    for (auto& slot : pending_.all()) {
      if (slot.request != &call) continue;
      slot.request = nullptr;
      ended.add(&call, Request::Fate::in_doubt);
      found = true;
      doing = "waiting for";
      break;
    }
  }
  if (!found) return call.sleep_until_done();  // another thread is about to end it
  std::string why;
  remember(why, options_, doing, "timeout");
  ended.tell(why);
}

/// The connection can be read no more: whatever was sent is in doubt.
void Line::give_up(std::string const& why) noexcept {
  Ended ended;
  {
    std::lock_guard const guard{mutex_};
    if (!std::exchange(broken_, true)) remember(why_broken_, why);
    over_ = true;
    // Of what is being sent this very moment nobody knows how much is out.
    if (sending_) unsent_ = 0;
    auto const pending = pending_.all();
    for (auto slot = pending.rbegin(); slot != pending.rend(); ++slot) {
      auto const missing = std::min(unsent_, slot->bytes);
      unsent_ -= missing;
      ended.add(slot->request, slot->may_be_executed_without(missing)
                                   ? Request::Fate::in_doubt
                                   : Request::Fate::not_executed);
    }
    pending_.clear();
    forget_queued(ended);
    blocked_ = false;
    reader_ = nullptr;
  }
  wire_->hang_up();  // a writer that waits for the socket
  ended.tell(why);
}

/// The connection can be written to no more. What it has said before may still be read.
void Line::stop_writing(std::string const& why) noexcept {
  Ended ended;
  {
    std::lock_guard const guard{mutex_};
    if (!std::exchange(broken_, true)) remember(why_broken_, why);
    forget_unsent(ended);
    writing_ = sending_ = false;
  }
  ended.tell(why);
}

}  // namespace tandem::detail
