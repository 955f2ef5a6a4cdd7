#pragma once

#include <array>
#include <string>
#include <string_view>

#include "core/companion_key.hpp"
#include "locking/kind.hpp"

namespace tandem::detail {

/// The keys of one lock, and how the server keeps it.
struct LockKeys {
  LockKeys(std::string_view name, LockKind const& its_kind)
      : kind{its_kind},
        lock{name},
        waiters{companion_key(name, "waiters")},
        state{companion_key(name, "state")} {}

  [[nodiscard]] std::array<std::string_view, 3> all() const noexcept {
    return {lock, waiters, state};
  }

  LockKind const& kind;
  std::string lock;
  std::string waiters;
  std::string state;
  std::string site;  // the name and how it is locked: threads meet where these are the same
};

}  // namespace tandem::detail
