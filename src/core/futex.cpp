#include "core/futex.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tandem::detail {

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

void futex_wake(std::atomic<std::uint32_t>& word) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace tandem::detail
