#pragma once

#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "process.hpp"

namespace bench {

/// A line of JSON from a program of this benchmark, as far as these programs need any: numbers, and
/// lists of numbers, by names that occur once.
///
/// Errors: std::runtime_error that quotes the line.
class Answer {
 public:
  /// Hears the next line of a program, which may also be "sorry: " and why it cannot go on.
  static Answer from(Process& process) {
    auto line = process.hear();
    if (!line) throw std::runtime_error{"it ended without a word"};
    constexpr std::string_view sorry = "sorry: ";
    if (line->starts_with(sorry)) throw std::runtime_error{line->substr(sorry.size())};
    return Answer{std::move(*line)};
  }

  explicit Answer(std::string line) : line_{std::move(line)} {}

  [[nodiscard]] std::string const& text() const noexcept { return line_; }

  [[nodiscard]] bool has(std::string_view name) const {
    return line_.find(quoted(name)) != std::string::npos;
  }
  [[nodiscard]] double number(std::string_view name) const {
    return std::strtod(after(name), nullptr);
  }

  template <class Number>
  [[nodiscard]] std::vector<Number> numbers(std::string_view name) const {
    std::vector<Number> out;
    char const* at = after(name);
    if (*at++ != '[') throw std::runtime_error{"not a list: " + line_};
    for (char* end = nullptr; *at != ']'; at = *end == ',' ? end + 1 : end) {
      out.push_back(static_cast<Number>(std::strtod(at, &end)));
      if (end == at) throw std::runtime_error{"not a list of numbers: " + line_};
    }
    return out;
  }

 private:
  static std::string quoted(std::string_view name) { return "\"" + std::string{name} + "\":"; }

  [[nodiscard]] char const* after(std::string_view name) const {
    auto const sought = quoted(name);
    auto const at = line_.find(sought);
    if (at == std::string::npos) throw std::runtime_error{"no " + sought + " in: " + line_};
    auto const start = line_.find_first_not_of(' ', at + sought.size());
    return line_.c_str() + (start == std::string::npos ? line_.size() : start);
  }

  std::string line_;
};

}  // namespace bench
