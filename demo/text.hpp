#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace demo {

/// 1234567 as 1,234,567.
[[nodiscard]] std::string grouped(std::int64_t number);

/// In seconds, as 0.97 s.
[[nodiscard]] std::string seconds(std::chrono::nanoseconds time);

/// "1 worker", "2 workers".
[[nodiscard]] std::string counted(std::int64_t number, std::string_view noun);

/// Any bytes as text of one column for each character: what the locale cannot print becomes \x1b
/// and the like.
[[nodiscard]] std::string printable(std::string_view bytes);

/// The first `columns` columns of printable text.
[[nodiscard]] std::string fitted(std::string_view text, std::size_t columns);

}  // namespace demo
