#include "core/describe.hpp"

#include <charconv>
#include <cstddef>
#include <string_view>

#include <fmt/core.h>
#include <strings.h>

namespace tandem::detail {
namespace {

constexpr std::size_t longest_name = 64;

/// Takes the words of a command out of the bytes that go over the wire.
class Words {
 public:
  explicit Words(std::string_view commands) : rest_{commands} { count_ = number(); }

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  std::string_view next() {
    auto const size = number();
    auto const word = rest_.substr(0, size);
    rest_.remove_prefix(size + 2);
    return word;
  }

 private:
  /// After `*` or `$`, and the end of line behind it.
  std::size_t number() {
    std::size_t out = 0;
    auto const end = rest_.find('\r');
    std::from_chars(rest_.data() + 1, rest_.data() + end, out);
    rest_.remove_prefix(end + 2);
    return out;
  }

  std::string_view rest_;
  std::size_t count_ = 0;
};

bool is(std::string_view name, std::string_view other) {
  return name.size() == other.size() && ::strncasecmp(name.data(), other.data(), name.size()) == 0;
}

}  // namespace

std::string printable(std::string_view bytes) {
  std::string out;
  for (char const letter : bytes.substr(0, longest_name)) {
    auto const code = static_cast<unsigned char>(letter);
    bool const plain = code >= 0x20 && code != 0x7f;  // what is beyond ASCII may be UTF-8
    out += plain ? std::string(1, letter) : fmt::format("\\x{:02x}", code);
  }
  if (bytes.size() > longest_name) out += "...";
  return out;
}

std::string quoted(std::string_view bytes) { return fmt::format("\"{}\"", printable(bytes)); }

std::string describe(CommandBuffer const& commands) {
  if (commands.count() == 0) return "nothing";
  Words words{commands.bytes()};
  auto const name = words.next();
  auto out = printable(name);
  if (is(name, "EVALSHA") || is(name, "EVAL") || is(name, "EVALSHA_RO") || is(name, "EVAL_RO")) {
    out = "script";
    (void)words.next();
    if (words.count() > 3 && words.next() != "0") out += " on " + printable(words.next());
  } else if (words.count() > 1 && !is(name, "AUTH")) {  // whose first word may be a password
    out += " on " + printable(words.next());
  }
  if (commands.count() > 1) out += fmt::format(" and {} more", commands.count() - 1);
  return out;
}

}  // namespace tandem::detail
