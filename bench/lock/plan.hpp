#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

namespace bench::lock {

/// How long, and how often.
struct Plan {
  std::chrono::milliseconds window{50};
  int windows = 20;             ///< for each contender in each line of the table
  int windows_at_once = 5;      ///< of each slice in which callers contend
  int callers_to_a_window = 2;  ///< a slice has a window more for so many callers
  std::vector<int> processes{2, 4, 8, 16, 32, 64};
  std::chrono::milliseconds lease{10'000};
  std::chrono::milliseconds idle{
      2000};  ///< for which waiters are listened to while nothing happens

  int kills = 20;                                ///< of a holder of tandem's lock
  std::chrono::milliseconds kill_lease{10'000};  ///< of that holder
  std::chrono::milliseconds patience{30'000};    ///< in which there may be fewer kills
  int short_kills = 5;  ///< of a holder of the other locks, whose waiters wait for
  std::chrono::milliseconds short_lease{1000};  ///< this to end

  /// For so many callers: so long that each has its turn often enough, also when it holds the lock
  /// for a millisecond, that one turn more or less is not unfair; and that one who is unlucky for
  /// long can be so within a slice.
  [[nodiscard]] int windows_of_slice(int callers) const {
    return std::max(windows_at_once, callers / callers_to_a_window);
  }
  [[nodiscard]] int slices() const { return std::max(1, windows / windows_at_once); }

  [[nodiscard]] static Plan quick() {
    Plan out;
    out.windows = 4;
    out.windows_at_once = 2;
    out.callers_to_a_window = 8;
    out.processes = {2, 16};
    out.idle = std::chrono::milliseconds{200};
    out.kills = 2;
    out.kill_lease = std::chrono::milliseconds{300};
    out.short_kills = 1;
    return out;
  }
};

}  // namespace bench::lock
