#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <tandem/core/cached_hash.hpp>

namespace tandem::detail {

/// What src/lua/cached_map/change.lua tells.
struct ToldChange {
  std::string_view writer;
  std::uint64_t number = 0;
  bool ends = false;     // the entry, by itself
  bool carried = false;  // what it was and what it is; else only that it is another now
  CacheChange change{};

  /// Refers to `text`. None when that is none of ours.
  [[nodiscard]] static std::optional<ToldChange> read(std::string_view text);
};

}  // namespace tandem::detail
