// How requests over a line end that are not answered, and what is known of them then.

#include <algorithm>
#include <new>
#include <utility>

#include <fmt/core.h>

#include "core/line.hpp"

namespace tandem::detail {

// Texts are for people: without the memory for one there is none.

void Line::remember(std::string& place, std::string_view text) noexcept {
  try {
    place = text;
  } catch (std::bad_alloc const&) {
    place.clear();
  }
}

void Line::say_why(std::string& place, std::string_view doing,
                   std::string_view what) const noexcept {
  try {
    auto const* const answer = doing == "waiting for" ? " to answer" : "";
    place = fmt::format("tandem: {} {}{}: {}", doing, options_.endpoint(), answer, what);
  } catch (std::bad_alloc const&) {
    place.clear();
  }
}

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
  say_why(why, doing, "timeout");
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
