#pragma once

#include <charconv>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::support {

/// A command as a client sent it.
struct RespCommand {
  std::vector<std::string> words;
  std::string bytes;

  [[nodiscard]] std::string const& name() const { return words.front(); }
};

/// Cuts the stream of a client's bytes into commands.
class RespCommands {
 public:
  void feed(std::string_view bytes) { buffer_ += bytes; }

  /// The next command that is here as a whole.
  std::optional<RespCommand> next() {
    std::size_t at = 0;
    auto const count = number_after('*', at);
    if (!count) return std::nullopt;
    RespCommand out;
    for (std::size_t i = 0; i < *count; ++i) {
      auto const length = number_after('$', at);
      if (!length || buffer_.size() < at + *length + 2) return std::nullopt;
      out.words.push_back(buffer_.substr(at, *length));
      at += *length + 2;
    }
    out.bytes = buffer_.substr(0, at);
    buffer_.erase(0, at);
    return out;
  }

 private:
  std::optional<std::size_t> number_after(char mark, std::size_t& at) const {
    auto const end = buffer_.find("\r\n", at);
    if (at >= buffer_.size() || buffer_[at] != mark || end == std::string::npos)
      return std::nullopt;
    std::size_t value = 0;
    std::from_chars(buffer_.data() + at + 1, buffer_.data() + end, value);
    at = end + 2;
    return value;
  }

  std::string buffer_{};
};

}  // namespace tandem::support
