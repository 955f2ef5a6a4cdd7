#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/scratch_folder.hpp"
#include "support/sockets.hpp"

namespace tandem::support {

/// The wall clock of all programs that are started, by exec, while the object lives: a
/// redis-server's TIME, say. What is set here they see at once. This process and its forked
/// children keep their own.
///
///     ShiftedClock clock;
///     testing::RedisServer server;                       // after it
///     clock.stand_still_at(sys_days{2026y/11/23} + 6h);
///
/// A program with TANDEM_CLOCK_LEAD in its environment has a clock that leads by so many
/// nanoseconds.
class ShiftedClock {
 public:
  // NOLINTBEGIN(concurrency-mt-unsafe): no other thread reads the environment
  ShiftedClock() {
    auto const file = folder_.path("clock");
    Descriptor const fd{required(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600), "open")};
    required(::ftruncate(fd.get(), 2 * sizeof *shared_), "ftruncate");
    void* const memory =
        ::mmap(nullptr, 2 * sizeof *shared_, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    required(memory == MAP_FAILED ? -1 : 0, "mmap");
    shared_ = static_cast<std::int64_t*>(memory);
    ::setenv("TANDEM_CLOCK", file.c_str(), 1);
    ::setenv("LD_PRELOAD", TANDEM_SHIFTED_CLOCK, 1);  // the path of the library, from CMake
  }
  ShiftedClock(ShiftedClock const&) = delete;
  ShiftedClock& operator=(ShiftedClock const&) = delete;
  ~ShiftedClock() {
    ::unsetenv("LD_PRELOAD");
    ::unsetenv("TANDEM_CLOCK");
    ::munmap(shared_, 2 * sizeof *shared_);
  }
  // NOLINTEND(concurrency-mt-unsafe)

  /// From now on it is `time` there, until another is set.
  void stand_still_at(std::chrono::sys_time<std::chrono::nanoseconds> time) {
    std::atomic_ref{shared_[1]} = time.time_since_epoch().count();
  }

  /// It is `time` there now, and goes on.
  void go_on_from(std::chrono::sys_time<std::chrono::nanoseconds> time) {
    std::chrono::nanoseconds const shift = time - std::chrono::system_clock::now();
    std::atomic_ref{shared_[0]} = shift.count();
    std::atomic_ref{shared_[1]} = std::int64_t{0};
  }

 private:
  ScratchFolder folder_{};
  std::int64_t* shared_ = nullptr;
};

}  // namespace tandem::support
