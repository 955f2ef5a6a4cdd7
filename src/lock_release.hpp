#pragma once

#include <tandem/hold.hpp>

#include "core/core.hpp"
#include "lock_lease.hpp"

namespace tandem::detail {

/// Gives `lease` back to the server: one command. Throws as Channel::run does.
[[nodiscard]] Release release(Core& core, Lease const& lease);

}  // namespace tandem::detail
