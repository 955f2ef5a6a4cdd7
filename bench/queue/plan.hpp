#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace bench::queue {

/// How long, and how often.
struct Plan {
  std::chrono::milliseconds window{50};
  int windows = 20;                    ///< for each contender in each line of the tables
  std::vector<int> processes{1, 8};    ///< that push, or that work
  static constexpr int at_once = 100;  ///< of a batch

  int flow_slices = 25;  ///< in which workers wait for what another process pushes
  std::chrono::milliseconds flow{200};
  std::chrono::milliseconds idle{15'000};
  int workers = 8;              ///< that are idle, and that do what is given to the load
  std::int64_t load = 100'000;  ///< jobs
  int loads = 3;                ///< so often

  [[nodiscard]] static Plan quick() {
    Plan out;
    out.windows = 4;
    out.flow_slices = 4;
    out.idle = std::chrono::milliseconds{2000};
    out.load = 4000;
    out.loads = 2;
    return out;
  }
};

}  // namespace bench::queue
