#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace tandem {

/// A Lua script that the server runs atomically, by its SHA1 (EVALSHA) and in full (EVAL) where the
/// server has forgotten it: after a restart, a failover or SCRIPT FLUSH a call costs one more round
/// trip and never fails.
///
///     static tandem::Script const take{"return redis.call('DECR', KEYS[1])"};
///     long long left = redis.run(take, {"stock:apple"}).as<long long>();
///
/// A source that has the line `-- retry: safe` promises that running it twice with the same
/// arguments leaves the same state and answers the same: a `Client` repeats such a script, within
/// the call's deadline, when the connection broke before the answer came. Any other script is sent
/// once, and doubt is thrown as `InDoubt`.
///
/// The source is referred to, not copied: give it a literal. Cost: SHA1 is taken once, at
/// construction.
class Script {
 public:
  explicit Script(char const* source) : Script{std::string_view{source}} {}
  explicit Script(std::string_view source);
  explicit Script(std::string&&) = delete;  // would leave the script with a dead source

  /// For sources whose SHA1 is known when they are compiled. `sha1` is 40 lower-case hexadecimal
  /// digits.
  constexpr Script(std::string_view source, std::string_view sha1) noexcept
      : source_{source}, repeatable_{says_that_it_is(source)} {
    for (std::size_t i = 0; i < sha1_.size(); ++i) sha1_[i] = sha1[i];
  }

  [[nodiscard]] constexpr std::string_view source() const noexcept { return source_; }
  [[nodiscard]] constexpr std::string_view sha1() const noexcept {
    return {sha1_.data(), sha1_.size()};
  }
  [[nodiscard]] constexpr bool repeatable() const noexcept { return repeatable_; }

 private:
  static constexpr bool says_that_it_is(std::string_view source) noexcept {
    return source.starts_with("-- retry: safe\n") ||
           source.find("\n-- retry: safe\n") != std::string_view::npos;
  }

  std::string_view source_;
  bool repeatable_;
  std::array<char, 40> sha1_{};
};

}  // namespace tandem
