#pragma once

#include <sched.h>
#include <sys/types.h>

#include "support/sockets.hpp"

namespace bench {

/// Until the end of the scope this thread, what it starts meanwhile, and the server share one core.
///
/// Where a thread and its server wake each other in turn, the kernel puts them now on one core and
/// now on two, which changes the round trip more than any library does. On one core it is what both
/// have to do, and a difference of a few per cent can be seen.
class OneCore {
 public:
  /// `server`: a process that has one thread at work.
  explicit OneCore(pid_t server) : server_{server} {
    using tandem::support::required;
    required(::sched_getaffinity(0, sizeof before_, &before_), "sched_getaffinity");
    int core = 0;
    while (!CPU_ISSET(core, &before_)) ++core;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    required(::sched_setaffinity(0, sizeof one, &one), "sched_setaffinity");
    required(::sched_setaffinity(server_, sizeof one, &one), "sched_setaffinity");
  }
  OneCore(OneCore const&) = delete;
  OneCore& operator=(OneCore const&) = delete;
  ~OneCore() {
    ::sched_setaffinity(0, sizeof before_, &before_);
    ::sched_setaffinity(server_, sizeof before_, &before_);
  }

 private:
  pid_t server_;
  cpu_set_t before_{};
};

}  // namespace bench
