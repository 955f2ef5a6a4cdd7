#pragma once

#include <array>
#include <span>
#include <string_view>

#include <tandem/hold.hpp>

#include "core/core.hpp"
#include "locking/lease.hpp"

namespace tandem::detail {

/// The arguments of a kind's script `release`; refers to the token's text.
class ReleaseWords {
 public:
  explicit ReleaseWords(Lease const& lease);
  /// Of a token that waits, or whose hold nobody asks about any more.
  ReleaseWords(LockKeys const& keys, std::string_view token, unsigned yield_to_foreign = 0,
               std::chrono::milliseconds yield_for = {});

  [[nodiscard]] std::span<Argument const> all() const noexcept {
    return std::span{words_}.first(count_);
  }

 private:
  std::array<Argument, 5> words_;
  std::size_t count_;
};

/// Gives `lease` back to the server: one command. Throws as Channel::run does.
[[nodiscard]] Release release(Core& core, Lease const& lease);

}  // namespace tandem::detail
