#pragma once

#include <chrono>

#include "client/slice.hpp"

namespace bench {

/// A library in use by a fixed number of callers, who are at work in slices and idle between them.
class Contender {
 public:
  Contender() = default;
  Contender(Contender const&) = delete;
  Contender& operator=(Contender const&) = delete;
  virtual ~Contender() = default;

  /// Lets every caller say command after command for that long. Returns when all are idle again.
  virtual Slice run(std::chrono::milliseconds window) = 0;

  /// The same with system calls counted, at whatever price in time; without them where that cannot
  /// be done here.
  virtual Slice run_counted(std::chrono::milliseconds window) = 0;
};

}  // namespace bench
