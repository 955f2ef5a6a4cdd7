#pragma once

#include <chrono>
#include <vector>

namespace bench::counter {

/// How long, and how often.
struct Plan {
  std::chrono::milliseconds window{50};
  int windows = 20;                    ///< for each contender in each line of the table
  std::vector<int> callers{2, 8, 16};  ///< as so many processes, and as threads of one

  int rounds = 1000;             ///< of slices of adds that never leave their process
  int adds_in_a_slice = 20'000;  ///< of each thread, in these
  int flush_intervals = 20;      ///< in which flushes are counted

  [[nodiscard]] static Plan quick() {
    Plan out;
    out.windows = 4;
    out.callers = {16};
    out.rounds = 100;
    out.flush_intervals = 5;
    return out;
  }
};

}  // namespace bench::counter
