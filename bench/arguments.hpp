#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// The command line of a benchmark: options that are taken out one by one, by name.
///
///     Arguments arguments{argc, argv};
///     auto const json = arguments.text("--json").value_or("");
///     bool const quick = arguments.flag("--quick");
///     arguments.expect_no_more();
///
/// Errors: std::invalid_argument, saying which word is wrong.
class Arguments {
 public:
  Arguments(int argc, char** argv) : words_(argv + 1, argv + argc) {}

  /// Whether the option is there; it takes no value.
  [[nodiscard]] bool flag(std::string_view name) { return std::erase(words_, name) > 0; }

  /// The word after the option, where the option is there.
  [[nodiscard]] std::optional<std::string> text(std::string_view name) {
    auto const found = std::find(words_.begin(), words_.end(), name);
    if (found == words_.end()) return std::nullopt;
    if (found + 1 == words_.end())
      throw std::invalid_argument{std::string{name} + " takes a value"};
    auto out = *(found + 1);
    words_.erase(found, found + 2);
    return out;
  }

  /// The same for a number that is at least 1.
  [[nodiscard]] std::optional<int> number(std::string_view name) {
    auto const word = text(name);
    if (!word) return std::nullopt;
    int out = 0;
    auto const* const end = word->data() + word->size();
    auto const read = std::from_chars(word->data(), end, out);
    if (read.ec != std::errc{} || read.ptr != end || out < 1) {
      throw std::invalid_argument{std::string{name} + " takes a whole number, not '" + *word + "'"};
    }
    return out;
  }

  /// Refuses what nobody has asked for.
  void expect_no_more() const {
    if (!words_.empty()) throw std::invalid_argument{"unknown argument '" + words_.front() + "'"};
  }

 private:
  std::vector<std::string> words_;
};

}  // namespace bench
