#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "bare.hpp"

namespace bench::map {

/// How many entries were read at the server by caches so far, or between two moments.
///
/// Told by the server's own counters, which slow nobody: src/lua/cached_map/ asks HGET for each
/// entry that is read, and once for each that is changed, which then also asks HEXISTS. A plain
/// HGET counts as well; what was changed by none counts not.
class Asked {
 public:
  [[nodiscard]] static Asked so_far(Bare& server) {
    auto const info = server.command("INFO", "commandstats");
    std::string_view const text{info->str, info->len};
    return Asked{calls(text, "hget") - calls(text, "hexists")};
  }

  [[nodiscard]] std::int64_t entries() const noexcept { return entries_; }

  friend Asked operator-(Asked after, Asked before) {
    return Asked{after.entries_ - before.entries_};
  }

 private:
  explicit Asked(std::int64_t entries) : entries_{entries} {}

  // cmdstat_hget:calls=1000,usec=...
  static std::int64_t calls(std::string_view text, std::string const& command) {
    auto const sought = "cmdstat_" + command + ":calls=";
    auto const at = text.find(sought);
    return at == std::string_view::npos
               ? 0
               : std::strtoll(std::string{text.substr(at + sought.size(), 20)}.c_str(), nullptr,
                              10);
  }

  std::int64_t entries_;
};

}  // namespace bench::map
