#pragma once

#include <optional>
#include <string>
#include <vector>

#include <tandem/owner.hpp>

#include "core/core.hpp"
#include "locking/keys.hpp"

namespace tandem::detail {

/// Who holds a lock of `lock_kind`; empty when nobody does.
[[nodiscard]] std::optional<Owner> owner_of(Core& core, LockKeys const& keys);
/// Of lock/owner's answer.
[[nodiscard]] std::optional<Owner> read_owner(Reply const& reply);

/// Who holds, of `permits_kind`, those first whose leases end first.
[[nodiscard]] std::vector<Owner> holders_of(Core& core, LockKeys const& keys, std::size_t most);
/// Of permits/holders' answer.
[[nodiscard]] std::vector<Owner> read_holders(Reply const& reply);

/// Who waits, of any kind.
[[nodiscard]] std::vector<LockWaiter> waiters_of(Core& core, LockKeys const& keys,
                                                 std::size_t most);

}  // namespace tandem::detail
