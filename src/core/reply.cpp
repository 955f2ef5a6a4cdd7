#include "tandem/core/reply.hpp"

#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include <fmt/core.h>

#include "core/hiredis.hpp"

namespace tandem {
namespace {

std::string_view name(ReplyKind kind) {
  switch (kind) {
    case ReplyKind::nil:
      return "nil";
    case ReplyKind::status:
      return "a status";
    case ReplyKind::error:
      return "an error";
    case ReplyKind::integer:
      return "an integer";
    case ReplyKind::real:
      return "a real number";
    case ReplyKind::boolean:
      return "a boolean";
    case ReplyKind::text:
      return "text";
    case ReplyKind::array:
      return "an array";
    case ReplyKind::map:
      return "a map";
    case ReplyKind::set:
      return "a set";
    case ReplyKind::push:
      return "a push";
  }
  return "unknown";
}

std::string_view bytes(redisReply const& reply) { return {reply.str, reply.len}; }

template <class Number>
std::optional<Number> parse(std::string_view digits) {
  Number value{};
  auto const* const end = digits.data() + digits.size();
  auto const result = std::from_chars(digits.data(), end, value);
  if (digits.empty() || result.ec != std::errc{} || result.ptr != end) return std::nullopt;
  return value;
}

}  // namespace

void detail::FreeReply::operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }

ReplyKind ReplyView::kind() const noexcept {
  switch (raw_->type) {
    case REDIS_REPLY_NIL:
      return ReplyKind::nil;
    case REDIS_REPLY_STATUS:
      return ReplyKind::status;
    case REDIS_REPLY_ERROR:
      return ReplyKind::error;
    case REDIS_REPLY_INTEGER:
      return ReplyKind::integer;
    case REDIS_REPLY_DOUBLE:
      return ReplyKind::real;
    case REDIS_REPLY_BOOL:
      return ReplyKind::boolean;
    case REDIS_REPLY_ARRAY:
    case REDIS_REPLY_ATTR:
      return ReplyKind::array;
    case REDIS_REPLY_MAP:
      return ReplyKind::map;
    case REDIS_REPLY_SET:
      return ReplyKind::set;
    case REDIS_REPLY_PUSH:
      return ReplyKind::push;
    default:  // bulk and verbatim strings, big numbers: all of them bytes
      return ReplyKind::text;
  }
}

std::size_t ReplyView::size() const noexcept {
  switch (kind()) {
    case ReplyKind::array:
    case ReplyKind::map:
    case ReplyKind::set:
    case ReplyKind::push:
      return raw_->elements;
    default:
      return 0;
  }
}

ReplyView ReplyView::operator[](std::size_t index) const {
  throw_if_error();
  if (index >= size()) refuse(fmt::format("element {}", index));
  return ReplyView{raw_->element[index]};
}

std::vector<Reply> Reply::take_elements() && {
  auto const count = elements(false);
  std::vector<Reply> out;
  out.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    out.emplace_back(std::exchange(owned_->element[i], nullptr));
  return out;
}

std::string_view ReplyView::error_text() const noexcept {
  return is_error() ? bytes(*raw_) : std::string_view{};
}

void ReplyView::throw_if_error(std::string_view doing) const {
  if (is_error()) throw ServerError{bytes(*raw_), doing};
}

void ReplyView::refuse(std::string_view wanted) const {
  throw_if_error();
  auto there = std::string{name(kind())};
  if (kind() == ReplyKind::text || kind() == ReplyKind::status)
    there += fmt::format(" of {} bytes", raw_->len);
  if (size() > 0) there += fmt::format(" of {} elements", size());
  throw ShapeError{fmt::format("tandem: {} was asked for, the reply is {}", wanted, there)};
}

std::string_view ReplyView::text() const {
  if (kind() != ReplyKind::text && kind() != ReplyKind::status) refuse("text");
  return bytes(*raw_);
}

long long ReplyView::integer(long long low, long long high) const {
  std::optional<long long> value;
  if (kind() == ReplyKind::integer) value = raw_->integer;
  if (kind() == ReplyKind::text) value = parse<long long>(bytes(*raw_));
  if (!value || *value < low || *value > high)
    refuse(fmt::format("an integer from {} to {}", low, high));
  return *value;
}

unsigned long long ReplyView::unsigned_integer(unsigned long long high) const {
  std::optional<unsigned long long> value;
  if (kind() == ReplyKind::integer && raw_->integer >= 0)
    value = static_cast<unsigned long long>(raw_->integer);
  if (kind() == ReplyKind::text) value = parse<unsigned long long>(bytes(*raw_));
  if (!value || *value > high) refuse(fmt::format("an integer from 0 to {}", high));
  return *value;
}

double ReplyView::real(double most) const {
  std::optional<double> value;
  if (kind() == ReplyKind::real) value = raw_->dval;
  if (kind() == ReplyKind::integer) value = static_cast<double>(raw_->integer);
  if (kind() == ReplyKind::text) value = parse<double>(bytes(*raw_));
  if (!value || (std::isfinite(*value) && std::abs(*value) > most)) refuse("a real number");
  return *value;
}

bool ReplyView::boolean() const {
  bool const is_number = kind() == ReplyKind::integer || kind() == ReplyKind::boolean;
  if (!is_number || (raw_->integer != 0 && raw_->integer != 1)) refuse("a boolean");
  return raw_->integer == 1;
}

std::size_t ReplyView::elements(bool pairs) const {
  switch (kind()) {
    case ReplyKind::array:
    case ReplyKind::map:
    case ReplyKind::set:
    case ReplyKind::push:
      break;
    default:
      refuse(pairs ? "pairs" : "an array");
  }
  if (pairs && !holds_pairs_as_arrays() && raw_->elements % 2 != 0) refuse("pairs");
  return raw_->elements;
}

bool ReplyView::holds_pairs_as_arrays() const noexcept {
  if (kind() == ReplyKind::map || size() == 0) return false;
  return ReplyView{raw_->element[0]}.kind() == ReplyKind::array;
}

}  // namespace tandem
