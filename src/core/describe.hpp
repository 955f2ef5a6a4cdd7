#pragma once

#include <string>

#include <tandem/core/command.hpp>

namespace tandem::detail {

/// What `commands` are, for the text of an error: `GET on k`, `script on orders:42`, `SET on a and 2
/// more`. Never an argument that may be a secret.
[[nodiscard]] std::string describe(CommandBuffer const& commands);

}  // namespace tandem::detail
