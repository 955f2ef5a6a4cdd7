#pragma once

namespace bench {

/// How many callers there are, and in how many processes.
struct Shape {
  int processes;
  int threads = 1;  ///< of each process

  [[nodiscard]] int callers() const { return processes * threads; }
};

}  // namespace bench
