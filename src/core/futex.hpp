#pragma once

#include <atomic>
#include <cstdint>

#include <tandem/core/options.hpp>

namespace tandem::detail {

// To sleep until a word changes. A C++20 atomic waits without a deadline, a condition variable with
// a mutex that the waker and the woken would fight for.

/// Sleeps while `word` is `value`, at most until then. False at the deadline; true for any other
/// reason, or none.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t value, Deadline deadline) noexcept;

/// Wakes one who sleeps on `word`. The word may be gone by now: another one who sleeps at its
/// address looks and sleeps on.
void futex_wake(std::atomic<std::uint32_t>& word) noexcept;

}  // namespace tandem::detail
