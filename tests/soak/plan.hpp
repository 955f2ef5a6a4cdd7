#pragma once

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace tandem::soak {

/// For how long everything fails, and in which order.
struct Plan {
  std::chrono::seconds length{600};
  unsigned seed = std::random_device{}();
};

inline bool read(std::string_view text, unsigned& number) {
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

/// None where the words are not those of usage().
inline std::optional<Plan> plan_of(std::vector<std::string> const& words) {
  Plan out;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    unsigned number = 0;
    if (i + 1 == words.size() || !read(words[i + 1], number)) return std::nullopt;
    if (words[i] == "--minutes") {
      out.length = std::chrono::minutes{number};
    } else if (words[i] == "--seconds") {
      out.length = std::chrono::seconds{number};
    } else if (words[i] == "--seed") {
      out.seed = number;
    } else {
      return std::nullopt;
    }
  }
  return out;
}

inline int usage(char const* program) {
  std::fprintf(stderr, "usage: %s [--minutes N | --seconds N] [--seed N]\n", program);
  return 2;
}

}  // namespace tandem::soak
