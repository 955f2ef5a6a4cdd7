#include "text.hpp"

#include <algorithm>
#include <cwchar>
#include <cwctype>

#include <fmt/format.h>

namespace demo {

std::string grouped(std::int64_t number) {
  auto digits = std::to_string(number);
  auto const first = number < 0 ? 1 : 0;
  for (auto place = std::ssize(digits) - 3; place > first; place -= 3)
    digits.insert(digits.begin() + place, ',');
  return digits;
}

std::string seconds(std::chrono::nanoseconds time) {
  return fmt::format("{:.2f} s", std::chrono::duration<double>{time}.count());
}

std::string counted(std::int64_t number, std::string_view noun) {
  return fmt::format("{} {}{}", grouped(number), noun, number == 1 ? "" : "s");
}

std::string printable(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    wchar_t character = 0;
    std::mbstate_t state{};
    // NOLINTNEXTLINE(concurrency-mt-unsafe): it is not, with a state of our own
    auto length = std::mbrtowc(&character, bytes.data(), bytes.size(), &state);
    auto const known = length != 0 && length <= bytes.size();  // 0: a NUL; huge: no such character
    if (known && ::wcwidth(character) == 1) {
      text += bytes.substr(0, length);
    } else {
      length = 1;
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes.front()));
    }
    bytes.remove_prefix(length);
  }
  return text;
}

std::string fitted(std::string_view text, std::size_t columns) {
  auto const begins_character = [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  };
  std::size_t length = 0;
  for (std::size_t taken = 0; length < text.size(); ++length) {
    if (begins_character(text[length]) && taken++ == columns) break;
  }
  return std::string{text.substr(0, length)};
}

}  // namespace demo
