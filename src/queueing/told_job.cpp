#include "queueing/told_job.hpp"

#include <charconv>
#include <cstdint>

#include <fmt/core.h>

namespace tandem::detail {
namespace {

template <class Number>
Number number_of(std::string_view digits) noexcept {
  Number out = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), out);
  return out;
}

}  // namespace

std::string_view take_word(std::string_view& text) {
  auto const end = text.find(' ');
  auto const out = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return out;
}

unsigned number_in(std::string_view digits) noexcept { return number_of<unsigned>(digits); }

std::chrono::sys_time<std::chrono::milliseconds> moment_in(std::string_view digits) noexcept {
  return std::chrono::sys_time<std::chrono::milliseconds>{
      std::chrono::milliseconds{number_of<std::int64_t>(digits)}};
}

GivenJob told_job(std::string_view text) {
  GivenJob out;
  auto const priority = take_word(text);
  auto const entry = take_word(text);
  auto const delivery = take_word(text);
  out.ticket = fmt::format("{} {} {}", priority, entry, delivery);
  out.delivery = number_in(delivery);
  out.pushed_at = moment_in(take_word(text));
  auto const length = std::min<std::size_t>(number_in(take_word(text)), text.size());
  out.id = length == 0 ? entry : text.substr(0, length);
  out.bytes = text.substr(length);
  return out;
}

}  // namespace tandem::detail
