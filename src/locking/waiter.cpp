#include "locking/waiter.hpp"

#include <algorithm>
#include <utility>

namespace tandem::detail {

using std::chrono::steady_clock;

Waiter::Woken Waiter::wait(Deadline deadline, std::stop_token const& stop) {
  std::unique_lock lock{mutex_};
  for (;;) {
    if (lease_) return Woken::passed;
    if (std::exchange(promoted_, false)) return Woken::promoted;
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
    auto const until = std::min({deadline, ask_at_, renew_at_, look_at_, check_at_});
    changed_.wait_until(lock, stop, until, [&] {
      return ask_ || promoted_ || lease_ || refusal_ ||
             std::min({ask_at_, look_at_, check_at_}) < until;
    });
  }
}

template <class Change>
void Waiter::change(Change&& change) {
  // Notified before it is unlocked: after that the waiter may return, and be no more.
  std::lock_guard const guard{mutex_};
  change();
  changed_.notify_all();
}

void Waiter::ask_now() {
  change([&] { ask_ = true; });
}

void Waiter::expect(Deadline ask_at, Deadline look_at) {
  // Said by its own thread before it waits, or by the event thread: then it wakes to see that it
  // may sleep on, for shorter.
  std::lock_guard const guard{mutex_};
  bool const sooner = ask_at < ask_at_ || look_at < look_at_;
  ask_at_ = ask_at;
  look_at_ = look_at;
  if (sooner) changed_.notify_all();
}

void Waiter::ask_by(Deadline when) {
  change([&] { ask_at_ = std::min(ask_at_, when); });
}

void Waiter::renew_at(Deadline when) {
  change([&] { renew_at_ = when; });
}

void Waiter::check_at(Deadline when) {
  change([&] { check_at_ = when; });
}

void Waiter::refuse(ServerError const& error) {
  change([&] { refusal_ = error; });
}

void Waiter::promote() {
  change([&] { promoted_ = true; });
}

void Waiter::pass(std::shared_ptr<Lease> lease) {
  change([&] { lease_ = std::move(lease); });
}

std::optional<ServerError> Waiter::refusal() const {
  std::lock_guard const guard{mutex_};
  return refusal_;
}

std::shared_ptr<Lease> Waiter::take_lease() {
  std::lock_guard const guard{mutex_};
  return std::exchange(lease_, nullptr);
}

}  // namespace tandem::detail
