#pragma once

#include <chrono>
#include <vector>

namespace bench::map {

/// How long, and how often.
struct Plan {
  std::chrono::milliseconds window{50};
  int windows = 20;                    ///< for each contender in each line of the tables
  std::vector<int> callers{2, 8, 16};  ///< as so many processes, and as threads of one

  std::vector<int> readers{1, 2, 4, 16};  ///< threads that read within the process
  int rounds = 300;                       ///< of slices in which they do
  std::chrono::milliseconds read_slice{4};

  std::vector<int> mixed{1, 2, 8, 16};  ///< processes of which each reads and changes
  int news_slices = 40;                 ///< in which a reader elsewhere waits for changes

  [[nodiscard]] static Plan quick() {
    Plan out;
    out.windows = 4;
    out.callers = {16};
    out.rounds = 50;
    out.mixed = {8};
    out.news_slices = 6;
    return out;
  }
};

}  // namespace bench::map
