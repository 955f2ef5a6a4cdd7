#pragma once

#include <array>
#include <string>
#include <string_view>

#include "locking/kind.hpp"

namespace tandem::detail {

/// A key beside the key `name`, in its slot: the name's own hash tag where it has one, else the
/// whole name as the tag.
///
/// Source:  Redis cluster specification, "Hash tags". A name with a closing but no whole tag cannot
///          be wrapped in one; its keys work on a single server only.
[[nodiscard]] inline std::string companion_key(std::string_view name, std::string_view part) {
  auto const open = name.find('{');
  auto const close = open == std::string_view::npos ? open : name.find('}', open + 1);
  bool const tagged = close != std::string_view::npos && close > open + 1;
  std::string out;
  out.reserve(name.size() + part.size() + 3);
  if (!tagged) out += '{';
  out += name;
  if (!tagged) out += '}';
  return out.append(":").append(part);
}

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
