#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "log_file.hpp"

namespace demo {

/// How often each key was seen.
using Tally = std::map<std::string, std::int64_t, std::less<>>;

/// What is counted in a line: its day and action where it begins as the dpkg log's do (2026-11-23
/// 15:00:00 install ...), each of its words otherwise.
///
/// At most `most` different keys, the commonest of a sample taken all over the file; whatever else
/// comes counts as `others`. So a file of any size and content costs a bounded number of updates
/// and gives a table worth reading.
class Keys {
 public:
  static constexpr std::size_t most = 100;
  static constexpr std::string_view others = "(all others)";  // no word has a space in it
  static constexpr std::string_view blank = "(blank line)";

  explicit Keys(LogFile const& log);

  /// A tally in which every key was seen 0 times: what `count` adds to.
  [[nodiscard]] Tally const& none() const noexcept { return none_; }

  void count(std::string_view line, Tally& tally) const;

 private:
  Tally none_{};
};

/// The whole file counted by one process in one loop: what the shared tally must be equal to.
struct PlainCount {
  Tally tally{};
  std::int64_t lines = 0;
};
[[nodiscard]] PlainCount count_alone(LogFile const& log, Keys const& keys);

}  // namespace demo
