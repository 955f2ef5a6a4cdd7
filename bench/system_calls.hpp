#pragma once

#include <cstdint>
#include <string_view>

namespace bench {

/// How often the kernel was called to move bytes, and to wait for them.
struct SystemCalls {
  std::int64_t transfers = 0;  ///< read, write, send, recv and their kin
  std::int64_t waits = 0;      ///< poll, select, epoll_wait and their kin
  std::int64_t looks = 0;  ///< transfers that only look (MSG_PEEK); counted in this process only

  /// Those of all threads of this process, by way of libc: the program brings its own `read`,
  /// `send` and so on, which count and then do what libc's do. Each thread has a counter of its
  /// own, so that counting costs a nanosecond and is done in the timed slices too.
  ///
  /// Not promised: calls that libc makes inside itself (stdio's, say), or that go round libc.
  [[nodiscard]] static SystemCalls so_far();

  /// Those of the calling thread.
  [[nodiscard]] static SystemCalls of_this_thread();

  /// Counts `times` calls of that name, unless they neither move bytes nor wait for them.
  void add(std::string_view name, std::int64_t times);

  SystemCalls& operator+=(SystemCalls const& more) {
    transfers += more.transfers;
    waits += more.waits;
    looks += more.looks;
    return *this;
  }
  friend SystemCalls operator-(SystemCalls const& after, SystemCalls const& before) {
    return {after.transfers - before.transfers, after.waits - before.waits,
            after.looks - before.looks};
  }
};

}  // namespace bench
