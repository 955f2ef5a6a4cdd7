// A library for LD_PRELOAD: a program that it is loaded into (redis-server, python3) has the wall
// clock that a test gives it; see support/shifted_clock.hpp. Monotonic clocks, and so all waiting,
// stay as they are.
//
// Debian's libfaketime does the same for most programs, but redis-server hangs under it: its
// allocator asks for the time before that library is ready.
#include <atomic>
#include <cstdint>
#include <cstdlib>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr std::int64_t billion = 1'000'000'000;

std::int64_t* shared =
    nullptr;  // [0]: nanoseconds to add; [1]: where time stands still, 0: nowhere
std::int64_t lead = 0;

// NOLINTBEGIN(concurrency-mt-unsafe): before the program has begun
__attribute__((constructor)) void begin() {
  char const* const file = std::getenv("TANDEM_CLOCK");
  if (file == nullptr) return;
  int const fd = ::open(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* const memory =
      ::mmap(nullptr, 2 * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (char const* const text = std::getenv("TANDEM_CLOCK_LEAD")) lead = std::atoll(text);
  if (memory != MAP_FAILED) shared = static_cast<std::int64_t*>(memory);
}
// NOLINTEND(concurrency-mt-unsafe)

std::int64_t now() {
  timespec real{};
  ::syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
  auto const there = real.tv_sec * billion + real.tv_nsec;
  if (shared == nullptr) return there;
  auto const still = std::atomic_ref{shared[1]}.load();
  return (still != 0 ? still : there + std::atomic_ref{shared[0]}.load()) + lead;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* out) noexcept {
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) {
    return static_cast<int>(::syscall(SYS_clock_gettime, clock, out));
  }
  auto const time = now();
  out->tv_sec = time / billion;
  out->tv_nsec = time % billion;
  return 0;
}

int gettimeofday(timeval* out, void*) noexcept {
  auto const time = now();
  out->tv_sec = time / billion;
  out->tv_usec = time % billion / 1000;
  return 0;
}

time_t time(time_t* out) noexcept {
  auto const seconds = now() / billion;
  if (out != nullptr) *out = seconds;
  return seconds;
}

}  // extern "C"
