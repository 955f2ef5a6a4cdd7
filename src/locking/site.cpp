#include "locking/site.hpp"

#include <utility>

namespace tandem::detail {

/// Whether another hold of it is worth having: there is a fence for it, and renewals go well.
bool Site::may_keep(Lease const& lease, Deadline now) const {
  return lease.renew && lease.trusted(now) && lease.holds + 1 < Lease::most_holds &&
         lease.valid_until.load() - now >= lease.term.load() / 3;
}

bool Site::is_held_by(std::uint64_t thread, Deadline now) const {
  return lease_ && !idle_ && lease_->thread == thread && lease_->trusted(now);
}

bool Site::may_take_idle(Deadline now) const { return lease_ && idle_ && may_keep(*lease_, now); }

std::shared_ptr<Lease> Site::take_idle(Deadline now) {
  std::lock_guard const guard{mutex_};
  if (!may_take_idle(now)) return nullptr;
  idle_ = false;
  lease_->begin_next_hold(this_thread_number());
  return lease_;
}

Site::Entry Site::enter(Deadline now, Waiter* waiter) {
  std::lock_guard const guard{mutex_};
  if (closed_) return {Entry::As::gone, nullptr};
  if (lease_ && !lease_->trusted(now)) {
    lease_.reset();
    idle_ = false;
  }
  if (lease_ && idle_) {
    if (!may_take_idle(now)) {
      someone_is_first_ = true;
      return {Entry::As::first, end_idle()};
    }
    idle_ = false;
    lease_->begin_next_hold(this_thread_number());
    return {Entry::As::holder, lease_};
  }
  if (!lease_ && !someone_is_first_) {
    someone_is_first_ = true;
    return {Entry::As::first, nullptr};
  }
  if (waiter != nullptr) {
    line_.push_back(waiter);
    waiter->expect(lease_ ? lease_->valid_until.load() : Deadline::max(), Deadline::max());
  }
  return {Entry::As::occupied, nullptr};
}

std::shared_ptr<Lease> Site::enter_again(Deadline now) {
  std::lock_guard const guard{mutex_};
  if (!is_held_by(this_thread_number(), now)) return nullptr;
  ++lease_->reentries;
  return lease_;
}

bool Site::look_again(Deadline now, Waiter& waiter) {
  std::lock_guard const guard{mutex_};
  if (lease_ && !lease_->trusted(now)) lease_.reset();
  bool const first = !lease_ && !someone_is_first_ && !line_.empty() && line_.front() == &waiter;
  if (first) {
    line_.pop_front();
    someone_is_first_ = true;
    return true;
  }
  waiter.expect(lease_ ? lease_->valid_until.load() : Deadline::max(), Deadline::max());
  return false;
}

void Site::lost(Lease const& lease) {
  std::lock_guard const guard{mutex_};
  if (lease_.get() == &lease && !line_.empty()) line_.front()->ask_now();
}

bool Site::leave_line(Waiter& waiter) {
  std::lock_guard const guard{mutex_};
  return std::erase(line_, &waiter) > 0;
}

void Site::occupy(std::shared_ptr<Lease> const& lease, Deadline now, bool asked_for) {
  std::lock_guard const guard{mutex_};
  lease->site = shared_from_this();
  lease->thread = this_thread_number();
  lease_ = lease;
  idle_ = false;
  someone_is_first_ = false;
  wanted_ = asked_for;
  wanted_since_ = now;
  passes_ = 0;
  for (auto* const each : line_) each->expect(lease->valid_until.load(), Deadline::max());
}

bool Site::go_on(std::string token) {
  std::lock_guard const guard{mutex_};
  if (line_.empty()) {
    someone_is_first_ = false;
    return false;
  }
  token_ = std::move(token);
  someone_is_first_ = true;
  auto& next = *line_.front();
  line_.pop_front();
  next.promote();
  return true;
}

std::string Site::take_token() {
  std::lock_guard const guard{mutex_};
  return std::exchange(token_, {});
}

Site::Parting Site::leave(Lease& lease, Deadline now) {
  std::lock_guard const guard{mutex_};
  bool const here = lease_.get() == &lease;
  if (lease.reentries > 0) {
    --lease.reentries;
    return here && lease.trusted(now) ? Parting::still_inside : Parting::lost;
  }
  if (!here) return Parting::not_here;
  bool const bounded =
      wanted_ && (passes_ >= bounds_.passes || now - wanted_since_ >= bounds_.time);
  bool const keep = may_keep(lease, now);
  if (keep && !bounded && !line_.empty()) {
    ++passes_;
    auto& next = *line_.front();
    lease_->begin_next_hold(next.thread());
    line_.pop_front();
    next.pass(lease_);
    return Parting::passed_on;
  }
  if (keep && !wanted_ && line_.empty() && bounds_.linger.count() > 0) {
    idle_ = true;
    idle_until_ = now + bounds_.linger;
    return Parting::kept;
  }
  lease_.reset();
  someone_is_first_ = true;
  return Parting::to_be_given_back;
}

std::shared_ptr<Lease> Site::end_idle() {
  idle_ = false;
  lease_->over = true;
  return std::exchange(lease_, nullptr);
}

std::shared_ptr<Lease> Site::revoke() {
  std::lock_guard const guard{mutex_};
  if (!lease_) return nullptr;
  if (idle_) return end_idle();
  if (!std::exchange(wanted_, true)) {
    wanted_since_ = std::chrono::steady_clock::now();
    passes_ = 0;
  }
  return nullptr;
}

std::shared_ptr<Lease> Site::revoke_idle(Deadline now, std::optional<Deadline>& next) {
  std::lock_guard const guard{mutex_};
  if (!lease_) return nullptr;
  if (idle_ && now >= idle_until_) return end_idle();
  next = idle_ ? idle_until_ : now + bounds_.linger;
  return nullptr;
}

bool Site::holds(std::string_view token) const {
  std::lock_guard const guard{mutex_};
  return lease_ && lease_->token == token;
}

std::shared_ptr<Lease> Site::held_by(std::uint64_t thread) const {
  std::lock_guard const guard{mutex_};
  bool const held = is_held_by(thread, std::chrono::steady_clock::now()) && lease_->renew;
  return held ? lease_ : nullptr;
}

bool Site::close_if_unused() {
  std::lock_guard const guard{mutex_};
  closed_ = closed_ || (!lease_ && !someone_is_first_ && line_.empty());
  return closed_;
}

}  // namespace tandem::detail
