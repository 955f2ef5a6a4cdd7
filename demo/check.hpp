#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "shared.hpp"
#include "tally.hpp"

namespace demo {

/// How one worker was killed: on purpose, while it held the lock.
struct Killing {
  int worker = 0;
  pid_t pid = 0;
  std::uint64_t fence = 0;
  Moment moment{};
};

/// What is known of a run: all that the workers have left in Redis, and what was done to them.
struct Record {
  std::map<std::string, Count> tally{};
  std::map<std::int64_t, Finished> finished{};
  std::map<std::uint64_t, Holding> holdings{};
  std::map<std::int64_t, std::int64_t>
      periods{};  ///< the second in which each began -> lines in it
  std::optional<Killing> killing{};

  /// Reads again what is in Redis now.
  void read(Shared const& shared);

  [[nodiscard]] std::int64_t lines() const;

  /// The `most` keys that were seen most often.
  [[nodiscard]] std::vector<std::pair<std::int64_t, std::string>> commonest(std::size_t most) const;

  /// The first hold after the one whose holder was killed: its fence, and what was done under it.
  using Hold = std::pair<std::uint64_t const, Holding>;
  [[nodiscard]] std::optional<Hold> successor() const;
};

/// Every number of `record` that is not as it must be, one sentence each. Empty: all agree.
[[nodiscard]] std::vector<std::string> disagreements(Record const& record,
                                                     PlainCount const& expected,
                                                     std::int64_t chunks);

}  // namespace demo
