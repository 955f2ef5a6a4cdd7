#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tandem::detail {

/// What a lock's token says about the process that made it; the value of a lock's key is a token.
///
///     <client>/<number>[k|s]/<pid>/<start>/<place>/<host>/<client name>
///
/// `place` is own_place(). Where /proc does not tell, `start` and `place` are "-", and nobody
/// concludes anything from the pid.
struct Identity {
  std::string_view client;  ///< names the channel on which it is spoken to
  std::string_view start;   ///< of the process, in clock ticks since boot
  std::string_view place;
  std::string_view host;
  std::string_view name;  ///< Options::name
  int pid = 0;

  /// Empty for a stranger's value.
  [[nodiscard]] static std::optional<Identity> of(std::string_view token) noexcept;
};

enum class TokenKind {
  plain,
  kept,   ///< `k`: its process may keep the lock when nobody there holds it; it is to be told when
          ///< another one wants it
  shared  ///< `s`: others who share may hold at the same time
};

[[nodiscard]] bool is_shared(std::string_view token) noexcept;

/// What follows `<client>/<number>` in all tokens of this process, which runs in `place`.
[[nodiscard]] std::string own_identity(std::string_view place, std::string_view client_name);

}  // namespace tandem::detail
