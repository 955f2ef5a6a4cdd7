#pragma once

#include <string>
#include <string_view>

namespace tandem::detail {

/// How src/lua/shared_map/entry.lua marks a value that says when it ends. What a field that begins
/// like that says now, only a script can tell, by the server's clock.
inline constexpr std::string_view end_mark = "\1until ";

[[nodiscard]] inline bool says_its_end(std::string_view stored) noexcept {
  return stored.starts_with(end_mark);
}

/// A value as it lies in a field that has no end: itself, but for one that begins like the mark.
class Stored {
 public:
  explicit Stored(std::string_view value) : bytes_{value} {
    if (!says_its_end(value)) return;
    marked_.append(end_mark).append("0 ").append(value);
    bytes_ = marked_;
  }
  Stored(Stored const&) = delete;
  Stored& operator=(Stored const&) = delete;

  [[nodiscard]] std::string_view bytes() const noexcept { return bytes_; }

 private:
  std::string marked_{};
  std::string_view bytes_;
};

}  // namespace tandem::detail
