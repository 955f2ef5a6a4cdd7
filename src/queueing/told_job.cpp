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

ToldJob told_job(std::string_view text) {
  ToldJob out;
  auto& job = out.job;
  auto const priority = take_word(text);
  auto const entry = take_word(text);
  auto const delivery = take_word(text);
  job.ticket = fmt::format("{} {} {}", priority, entry, delivery);
  job.delivery = number_in(delivery);
  job.pushed_at = moment_in(take_word(text));
  std::size_t const queue_length = number_in(take_word(text));
  std::size_t const id_length = number_in(take_word(text));
  auto const take = [&text](std::size_t length) {
    auto const part = text.substr(0, length);
    text.remove_prefix(part.size());
    return part;
  };
  out.queue = take(queue_length);
  auto const id = take(id_length);
  job.id = id.empty() ? entry : id;
  job.bytes = text;
  return out;
}

}  // namespace tandem::detail
