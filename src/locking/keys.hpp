#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "locking/kind.hpp"

namespace tandem::detail {

/// The keys of one lock, or of several that are held as one, and how the server keeps them.
struct LockKeys {
  LockKeys(std::string_view name, LockKind const& its_kind, std::string its_site = {});
  /// Several of lock_kind as one of multi_kind, in the order in which everybody takes them; one at
  /// least.
  explicit LockKeys(std::vector<std::shared_ptr<LockKeys const>> its_parts);
  LockKeys(LockKeys const&) = delete;
  LockKeys& operator=(LockKeys const&) = delete;

  /// Of the scripts that acquire and release.
  [[nodiscard]] std::span<std::string_view const> all() const noexcept { return all_; }
  /// Those that hold a token: of the script that renews.
  [[nodiscard]] std::span<std::string_view const> locks() const noexcept { return locks_; }
  /// Of the script that commits.
  [[nodiscard]] std::vector<std::string_view> to_commit() const;

  [[nodiscard]] bool several() const noexcept { return !parts.empty(); }
  /// `lock "x"`, `locks "x", "y" and 3 more`.
  [[nodiscard]] std::string in_words() const;

  LockKind const& kind;
  std::string lock;  // of several: this one and the next two are the first one's
  std::string waiters;
  std::string state;
  std::string site;  // the name and how it is locked: threads meet where these are the same
  std::vector<std::shared_ptr<LockKeys const>> parts{};  // of several: each alone

 private:
  std::vector<std::string_view> all_{};
  std::vector<std::string_view> locks_{};
};

}  // namespace tandem::detail
