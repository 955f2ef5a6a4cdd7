#include "core/request.hpp"

#include "core/futex.hpp"

namespace tandem::detail {

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
