#include "core/request.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tandem::detail {
namespace {

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

}  // namespace tandem::detail
