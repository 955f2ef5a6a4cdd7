#pragma once

#include <mutex>

namespace tandem::support {

/// Locked by a helper's thread while it does something, and by who forks, so that no fork finds the
/// helper within malloc (child_may_find_malloc_locked). One that serves children who are busy while
/// others are forked would never be seen to rest.
inline std::mutex& helpers_at_work() {
  static std::mutex one;
  return one;
}

}  // namespace tandem::support
