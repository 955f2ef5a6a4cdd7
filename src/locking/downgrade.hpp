#pragma once

#include <memory>

#include "core/core.hpp"
#include "locking/lease.hpp"

namespace tandem::detail {

/// Ends `alone`, of permits_kind, and gives the shared lease that follows it on the server: one
/// command. Throws LockLost where it is not held any more, and as Channel::run does; what was held
/// is then given back in the background.
[[nodiscard]] std::shared_ptr<Lease> downgrade(Core& core, std::shared_ptr<Lease> const& alone);

}  // namespace tandem::detail
