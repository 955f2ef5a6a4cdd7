#pragma once

#include <cstdint>

#include <sys/resource.h>

namespace bench {

/// What all threads of this process have used so far, or between two moments; or its children that
/// have ended.
struct Usage {
  double cpu_microseconds = 0;  ///< user and system
  std::int64_t switches = 0;    ///< context switches, voluntary or not

  [[nodiscard]] static Usage so_far(int who = RUSAGE_SELF) {
    rusage usage{};
    ::getrusage(who, &usage);
    auto const microseconds = [](timeval const& time) {
      return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
    };
    return {microseconds(usage.ru_utime) + microseconds(usage.ru_stime),
            usage.ru_nvcsw + usage.ru_nivcsw};
  }

  friend Usage operator-(Usage const& after, Usage const& before) {
    return {after.cpu_microseconds - before.cpu_microseconds, after.switches - before.switches};
  }
};

}  // namespace bench
