#pragma once

#include <span>
#include <string_view>

#include <tandem/core/inspection.hpp>
#include <tandem/core/options.hpp>

#include "core/wire.hpp"

namespace tandem::detail {

/// Asks `wire`'s server, which nobody else talks to at the time, and reads its replies. Throws
/// Unreachable: nothing of a caller's was sent.
[[nodiscard]] Inspection inspect(Wire& wire, Options const& options, std::string_view key,
                                 Deadline deadline);

/// The same, for Options::strict. Throws also UnsafeServer.
void require_safe(Wire& wire, Options const& options, Deadline deadline);

/// The commands that tandem sends, also inside scripts, each with arguments.
[[nodiscard]] std::span<char const* const> commands_in_use() noexcept;

}  // namespace tandem::detail
