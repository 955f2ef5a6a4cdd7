#include "core/line.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <exception>
#include <utility>

#include <fmt/core.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A C++20 atomic waits without a deadline, a condition variable with a mutex that the waker and the
// woken would fight for.
void futex_wake(std::atomic<std::uint32_t>& word) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

/// False at the deadline; true for any other reason.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t value, Deadline deadline) noexcept {
  timespec until{};
  timespec const* timeout = nullptr;
  if (deadline != Deadline::max()) {  // the steady clock is CLOCK_MONOTONIC
    auto const since_boot = std::max(deadline.time_since_epoch(), Deadline::duration::zero());
    auto const nanoseconds = std::chrono::nanoseconds{since_boot}.count();
    until.tv_sec = static_cast<time_t>(nanoseconds / 1'000'000'000);
    until.tv_nsec = static_cast<long>(nanoseconds % 1'000'000'000);
    timeout = &until;
  }
  auto const result = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, value, timeout,
                                nullptr, FUTEX_BITSET_MATCH_ANY);
  return result == 0 || errno != ETIMEDOUT;
}

}  // namespace

// -- a caller's thread ----------------------------------------------------------------------------

void Call::wake(State state) noexcept {
  // The moment it is done its caller may return, and `this` is gone: waking a stale address is
  // harmless.
  if (state_.exchange(state, std::memory_order_acq_rel) == asleep) futex_wake(state_);
}

bool Call::sleep(Deadline deadline) noexcept {
  for (;;) {
    std::uint32_t expected = running;
    if (!state_.compare_exchange_strong(expected, asleep, std::memory_order_acq_rel) &&
        expected != asleep) {
      return true;
    }
    if (!futex_wait(state_, asleep, deadline)) {
      expected = asleep;  // who wakes it from here on need not
      return !state_.compare_exchange_strong(expected, running, std::memory_order_acq_rel);
    }
  }
}

void Call::sleep_until_done() noexcept {
  for (auto state = state_.load(std::memory_order_acquire); state != done;
       state = state_.load(std::memory_order_acquire)) {
    if (state != asleep && !state_.compare_exchange_strong(state, asleep)) continue;
    (void)futex_wait(state_, asleep, Deadline::max());
  }
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
  start(bytes, call, steady_clock::now(), deadline);
  await(call, deadline);
  // It may have been given the reader's role in the moment in which it no longer needed it.
  if (call.was_told_to_lead_) hand_on_reading(call);
}

bool Line::usable() noexcept {
  std::lock_guard const guard{mutex_};
  if (broken_) return false;
  if (pending_.empty()) {
    if (reader_ != nullptr || writing_) return true;
    broken_ = !wire_->is_quiet();
  } else {
    // A gap that is not filled in time: the server, or the network, has forgotten us. A little less
    // than the timeout, so that the call after the one that waited in vain is spared.
    auto const& oldest = pending_.front();
    auto const patience = options_.command_timeout - options_.command_timeout / 10;
    broken_ = oldest.request == nullptr && steady_clock::now() - oldest.since >= patience;
  }
  if (broken_) {
    why_broken_ =
        fmt::format("tandem: sending to {}: it has hung up, or fell silent", options_.endpoint());
  }
  return !broken_;
}

// -- writing --------------------------------------------------------------------------------------

void Line::start(std::string_view bytes, Request& request, Deadline now, Deadline deadline) {
  {
    std::unique_lock lock{mutex_};
    if (broken_) {
      auto const why = why_broken_;
      lock.unlock();
      return finish(request, Request::Fate::not_executed, why);
    }
    auto const commands = request.replies_.size();
    Slot const slot{&request, bytes.size(), commands, commands, now};
    if (writing_ || blocked_) {
      outbox_.append(bytes);
      queued_.push(slot);
      return;
    }
    pending_.push(slot);
    unsent_ = bytes.size();
    writing_ = sending_ = true;
  }
  write(bytes, deadline);
}

/// With the writer's role: `rest`, and what others leave meanwhile. What the socket does not take
/// until `deadline` is left to who reads.
void Line::write(std::string_view rest, Deadline deadline) {
  for (;;) {
    std::size_t sent = 0;
    try {
      sent = wire_->write_some(rest).bytes;
    } catch (std::exception const& fault) {
      return stop_writing(fault.what());
    }
    rest.remove_prefix(sent);
    {
      std::lock_guard const guard{mutex_};
      if (!over_) unsent_ -= sent;
      if (rest.empty() || broken_) {
        batch_.clear();
        if (outbox_.empty() || broken_) {
          writing_ = sending_ = false;
          return;
        }
        batch_.swap(outbox_);
        for (auto const& slot : queued_.all()) pending_.push(slot);
        queued_.clear();
        unsent_ = batch_.size();
        rest = batch_;
        continue;
      }
      sending_ = sent > 0;
    }
    if (sent > 0) continue;
    pollfd socket{wire_->descriptor(), POLLOUT, 0};
    bool const ready = poll_until(&socket, 1, deadline);
    std::string left{ready ? std::string_view{} : rest};
    std::lock_guard const guard{mutex_};
    sending_ = ready && !broken_;  // what was given up meanwhile must not go out any more
    if (sending_) continue;
    if (broken_) {
      batch_.clear();
      writing_ = false;
      return;
    }
    batch_ = std::move(left);
    blocked_ = true;
    writing_ = false;
    return;
  }
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
    {
      std::lock_guard const guard{mutex_};
      if (reader_ == nullptr && !over_) reader_ = &call;
      leads = reader_ == &call;
    }
    if (leads) {
      read_for_all(call, deadline);
      hand_on_reading(call);
      if (!call.is_done()) return withdraw(call);
    } else if (!call.sleep(deadline)) {
      return withdraw(call);
    }
  }
}

/// With the reader's role: until `call` is done, or its deadline.
void Line::read_for_all(Call const& call, Deadline deadline) {
  try {
    for (bool late = false, more = false;;) {
      deliver();
      if (call.is_done() || late) return;
      short events = POLLIN;
      {
        std::lock_guard const guard{mutex_};
        if (blocked_) events = POLLIN | POLLOUT;
      }
      pollfd socket{wire_->descriptor(), events, 0};
      // In slices: a writer may leave us its rest meanwhile.
      auto const now = steady_clock::now();
      auto const until = more ? Deadline::min() : std::min(deadline, now + milliseconds{20});
      (void)poll_until(&socket, 1, until);
      late = now >= deadline;
      if ((socket.revents & POLLOUT) != 0) write_what_was_left();
      if (more || (socket.revents & ~POLLOUT) != 0) more = wire_->read_what_is_here();
    }
  } catch (std::exception const& fault) {  // the network's, the server's, or out of memory
    give_up(fault.what());
  }
}

/// Gives each reply that is here to who asked for it.
void Line::deliver() {
  while (auto reply = wire_->parse_answer()) heard_.push_back(std::move(*reply));
  if (heard_.empty()) return;
  bool unasked = false;
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
      if (slot.request != nullptr) ended_.push_back(slot.request);
      pending_.pop();
    }
  }
  heard_.clear();
  for (auto* const request : ended_) finish(*request, Request::Fate::answered, {});
  ended_.clear();
  if (unasked) {
    throw InDoubt{fmt::format("tandem: waiting for {} to answer: it answered what nobody had asked",
                              options_.endpoint())};
  }
}

void Line::hand_on_reading(Call const& from) noexcept {
  std::lock_guard const guard{mutex_};
  if (reader_ != &from) return;
  reader_ = nullptr;
  // Who came last has the longest to wait: it will have the most to hand out before its own.
  for (auto* const slots : {&queued_, &pending_}) {
    auto const all = slots->all();
    auto const found = std::find_if(all.rbegin(), all.rend(), [&](Slot const& slot) {
      return slot.request != nullptr && slot.request != &from && slot.request->can_lead();
    });
    if (found == all.rend()) continue;
    reader_ = static_cast<Call const*>(found->request);
    return found->request->lead();
  }
}

// -- ends -----------------------------------------------------------------------------------------

void Line::finish(Request& request, Request::Fate fate, std::string const& why) noexcept {
  request.fate_ = fate;
  if (fate != Request::Fate::answered) request.why_ = why;
  request.finished();
}

/// At its deadline: what was not sent is not; what was leaves a gap for its reply.
void Line::withdraw(Call& call) {
  {
    std::unique_lock lock{mutex_};
    std::size_t before = 0;
    for (auto& slot : queued_.all()) {
      if (slot.request == &call) {
        outbox_.erase(before, slot.bytes);
        queued_.erase(&slot);
        lock.unlock();
        return finish(call, Request::Fate::not_executed,
                      fmt::format("tandem: sending to {}: timeout", options_.endpoint()));
      }
      before += slot.bytes;
    }
    for (auto& slot : pending_.all()) {
      if (slot.request != &call) continue;
      slot.request = nullptr;
      lock.unlock();
      return finish(call, Request::Fate::in_doubt,
                    fmt::format("tandem: waiting for {} to answer: timeout", options_.endpoint()));
    }
  }
  call.sleep_until_done();  // it was answered just now, or failed
}

/// The connection can be read no more: whatever was sent is in doubt.
void Line::give_up(std::string const& why) noexcept {
  std::vector<std::pair<Request*, Request::Fate>> ends;
  {
    std::lock_guard const guard{mutex_};
    if (!std::exchange(broken_, true)) why_broken_ = why;
    over_ = true;
    // Of what is being sent this very moment nobody knows how much is out.
    if (sending_) unsent_ = 0;
    auto const pending = pending_.all();
    for (auto slot = pending.rbegin(); slot != pending.rend(); ++slot) {
      auto const missing = std::min(unsent_, slot->bytes);
      unsent_ -= missing;
      if (slot->request == nullptr) continue;
      ends.emplace_back(slot->request, slot->may_be_executed_without(missing)
                                           ? Request::Fate::in_doubt
                                           : Request::Fate::not_executed);
    }
    for (auto const& slot : queued_.all()) {
      ends.emplace_back(slot.request, Request::Fate::not_executed);
    }
    pending_.clear();
    queued_.clear();
    outbox_.clear();
    blocked_ = false;
    reader_ = nullptr;
  }
  wire_->hang_up();  // a writer that waits for the socket
  for (auto const& [request, fate] : ends) finish(*request, fate, why);
}

/// The connection can be written to no more. What it has said before may still be read.
void Line::stop_writing(std::string const& why) noexcept {
  std::vector<Request*> unsent;
  {
    std::lock_guard const guard{mutex_};
    if (!std::exchange(broken_, true)) why_broken_ = why;
    while (!pending_.empty() && unsent_ > 0) {
      auto const pending = pending_.all();
      auto const& last = pending.back();
      auto const missing = std::min(unsent_, last.bytes);
      if (last.may_be_executed_without(missing)) break;
      unsent_ -= missing;
      if (last.request != nullptr) unsent.push_back(last.request);
      pending_.erase(&last);
    }
    unsent_ = 0;
    for (auto const& slot : queued_.all()) unsent.push_back(slot.request);
    queued_.clear();
    outbox_.clear();
    batch_.clear();
    writing_ = sending_ = false;
  }
  for (auto* const request : unsent) finish(*request, Request::Fate::not_executed, why);
}

}  // namespace tandem::detail
