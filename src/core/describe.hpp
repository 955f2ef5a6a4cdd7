#pragma once

#include <string>
#include <string_view>

#include <tandem/core/command.hpp>

namespace tandem::detail {

/// What `commands` are, for the text of an error: `GET on k`, `script on orders:42`, `SET on a and 2
/// more`. Never an argument that may be a secret.
[[nodiscard]] std::string describe(CommandBuffer const& commands);

/// A name for the text of an error: no control characters, and the first 64 bytes at most.
[[nodiscard]] std::string printable(std::string_view bytes);
[[nodiscard]] std::string quoted(std::string_view bytes);

}  // namespace tandem::detail
