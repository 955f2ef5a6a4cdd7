#pragma once

#include <optional>
#include <string>

namespace demo {

/// What the user asked for.
struct Arguments {
  std::string file{};                  ///< empty: the machine's own dpkg log
  std::optional<std::string> redis{};  ///< none: a private server
  int workers = 8;
  bool help = false;

  /// Throws Refused, saying what was given and what is accepted.
  [[nodiscard]] static Arguments from(int argc, char const* const* argv);
};

extern char const* const help_text;

}  // namespace demo
