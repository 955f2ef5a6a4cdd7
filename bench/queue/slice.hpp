#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace bench::queue {

/// What is done with jobs, and how many at once.
struct Operation {
  std::string verb;
  int at_once;

  static constexpr auto push = "push";
  static constexpr auto work = "work";  ///< take, and say that it is done

  /// As a worker is told, and as it is shown.
  [[nodiscard]] std::string told() const { return fmt::format("{} {}", verb, at_once); }
  [[nodiscard]] std::string text() const { return at_once == 1 ? verb : told(); }
};

/// What all processes of one contender did in one slice of time.
struct Slice {
  std::int64_t jobs = 0;             ///< by calls that began in the slice
  double in_window = 0;              ///< of these, those done in it
  std::vector<std::int64_t> took{};  ///< nanoseconds of each call
  double cpu_microseconds = 0;       ///< of all its processes
  double server_microseconds = 0;    ///< of the server's
  bool dry = false;                  ///< a worker found nothing to do: that is no slice
};

}  // namespace bench::queue
