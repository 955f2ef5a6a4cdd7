#pragma once

#include <memory>
#include <string_view>

#include <tandem/lock.hpp>

#include "locking/keys.hpp"
#include "locking/terms.hpp"

namespace tandem::detail {

[[nodiscard]] LockTerms terms_of(LockOptions const& options);

/// Of a lock of `lock_kind`. Threads meet where the noun, the name and the options are the same.
[[nodiscard]] std::shared_ptr<LockKeys const> keys_of(std::string_view noun, std::string_view name,
                                                      LockOptions const& options);

/// Throws std::invalid_argument, which names the lock, for an empty name or an option out of range.
void require_sane(std::string_view noun, std::string_view name, LockOptions const& options);

}  // namespace tandem::detail
