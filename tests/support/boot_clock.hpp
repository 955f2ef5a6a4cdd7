#pragma once

#include <atomic>
#include <cstdint>

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace tandem::support {

// The clock of this program that also runs while the machine sleeps, as a test says. To be included
// by one file of a program.

/// What has passed, more than really has.
inline std::atomic<std::int64_t> extra_nanoseconds = 0;
/// Whether it stands still but for this.
inline std::atomic<bool> stands_still = false;

}  // namespace tandem::support

// The program's own comes before the C library's.
extern "C" int clock_gettime(clockid_t clock, timespec* out) noexcept {
  auto const result = static_cast<int>(::syscall(SYS_clock_gettime, clock, out));
  if (clock == CLOCK_BOOTTIME) {
    constexpr std::int64_t billion = 1'000'000'000;
    auto const time =
        (tandem::support::stands_still ? 1000 * billion : out->tv_sec * billion + out->tv_nsec) +
        tandem::support::extra_nanoseconds;
    *out = {time / billion, time % billion};
  }
  return result;
}
