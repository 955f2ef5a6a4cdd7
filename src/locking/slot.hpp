#pragma once

#include <string_view>

namespace tandem::detail {

/// What of a key decides where a cluster keeps it: what stands between its first brace and the next
/// closing one, where that is anything, else the whole key.
[[nodiscard]] std::string_view hash_tag(std::string_view key) noexcept;

/// Which of a cluster's 16,384 slots a key is in. Keys of one script must be in one.
///
/// Source:  Redis cluster specification, "Key distribution model", "Hash tags", appendix A (CRC16).
[[nodiscard]] unsigned slot_of(std::string_view key) noexcept;

}  // namespace tandem::detail
