#include "caching/told_change.hpp"

#include <charconv>
#include <string>
#include <system_error>

namespace tandem::detail {

std::optional<ToldChange> ToldChange::read(std::string_view text) {
  auto const end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  auto header = text.substr(0, end);
  auto body = text.substr(end + 1);
  auto const word = [&header] {
    auto const space = header.find(' ');
    auto const out = header.substr(0, space);
    header.remove_prefix(space == std::string_view::npos ? header.size() : space + 1);
    return out;
  };
  bool whole = true;
  auto const number = [&whole](std::string_view digits) {
    std::uint64_t out = 0;
    auto const [rest, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    whole = whole && fault == std::errc{} && rest == digits.data() + digits.size();
    return out;
  };
  auto const take = [&](std::uint64_t size) {
    whole = whole && size <= body.size();
    if (!whole) return std::string_view{};
    auto const out = body.substr(0, size);
    body.remove_prefix(size);
    return out;
  };
  ToldChange out;
  out.writer = word();
  out.number = number(word());
  out.ends = word() != "-1";
  auto const field = number(word());
  auto const before = word();
  auto const now = word();
  out.change.field = take(field);
  out.carried = before != "+" && now != "+";
  if (out.carried && before != "-") out.change.before = take(number(before));
  if (out.carried && now != "-") out.change.now = take(number(now));
  return whole && body.empty() ? std::optional{out} : std::nullopt;
}

}  // namespace tandem::detail
