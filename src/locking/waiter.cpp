#include "locking/waiter.hpp"

#include <algorithm>
#include <utility>

#include "core/futex.hpp"
#include "locking/lease.hpp"

namespace tandem::detail {

using std::chrono::steady_clock;

Waking::~Waking() {
  if (word_ != nullptr) futex_wake(*word_);
}

Waiter::Waiter(std::shared_ptr<LockKeys const> keys)
    : keys_{std::move(keys)}, thread_{this_thread_number()} {}

Waiter::Woken Waiter::wait(Deadline deadline, std::stop_token const& stop) {
  std::stop_callback const stopped{stop, [this] { (void)change([] {}); }};
  std::unique_lock lock{mutex_};
  for (;;) {
    if (lease_) return Woken::passed;
    if (std::exchange(promoted_, false)) return Woken::promoted;
    if (grant_ != 0) return Woken::granted;
    if (std::exchange(ask_, false)) return Woken::to_ask;
    if (refusal_) return Woken::by_refusal;
    if (stop.stop_requested()) return Woken::by_stop;
    auto const now = steady_clock::now();
    if (now >= deadline) return Woken::by_deadline;
    if (now >= std::min(ask_at_, renew_at_)) {
      ask_at_ = renew_at_ = Deadline::max();
      return Woken::to_ask;
    }
    if (now >= look_at_) {
      look_at_ = Deadline::max();
      return Woken::to_look;
    }
    if (now >= check_at_) {
      check_at_ = Deadline::max();
      return Woken::to_check;
    }
    state_ = asleep;
    auto const until = std::min({deadline, ask_at_, renew_at_, look_at_, check_at_});
    lock.unlock();
    (void)futex_wait(state_, asleep, until);
    lock.lock();
  }
}

/// After that the waiter may return, and be no more: to wake a stale address is harmless.
template <class Change>
Waking Waiter::change(Change&& change) {
  std::lock_guard const guard{mutex_};
  change();
  return state_.exchange(awake) == asleep ? Waking{state_} : Waking{};
}

void Waiter::ask_now() {
  (void)change([&] { ask_ = true; });
}

Waking Waiter::grant(std::uint64_t fence) {
  return change([&] { grant_ = fence; });
}

void Waiter::expect(Deadline ask_at, Deadline look_at) {
  // Said by its own thread before it waits, or by the event thread: then it wakes to see that it
  // may sleep on, for shorter.
  Waking waking;
  std::lock_guard const guard{mutex_};
  bool const sooner = ask_at < ask_at_ || look_at < look_at_;
  ask_at_ = ask_at;
  look_at_ = look_at;
  if (sooner && state_.exchange(awake) == asleep) waking = Waking{state_};
}

void Waiter::ask_by(Deadline when) {
  (void)change([&] { ask_at_ = std::min(ask_at_, when); });
}

void Waiter::renew_at(Deadline when) {
  (void)change([&] { renew_at_ = when; });
}

void Waiter::check_at(Deadline when) {
  (void)change([&] { check_at_ = when; });
}

void Waiter::refuse(ServerError const& error) {
  (void)change([&] { refusal_ = error; });
}

void Waiter::promote() {
  (void)change([&] { promoted_ = true; });
}

void Waiter::pass(std::shared_ptr<Lease> lease) {
  (void)change([&] { lease_ = std::move(lease); });
}

std::optional<ServerError> Waiter::refusal() const {
  std::lock_guard const guard{mutex_};
  return refusal_;
}

std::shared_ptr<Lease> Waiter::take_lease() {
  std::lock_guard const guard{mutex_};
  return std::exchange(lease_, nullptr);
}

std::uint64_t Waiter::take_grant() {
  std::lock_guard const guard{mutex_};
  return std::exchange(grant_, 0);
}

}  // namespace tandem::detail
