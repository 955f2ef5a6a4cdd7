#include "tandem/core/codec.hpp"

#include <charconv>
#include <system_error>

#include <fmt/core.h>

namespace tandem::detail {
namespace {

template <class Number>
std::string to_text(Number number) {
  char text[32];  // the longest double in its shortest form takes 24 characters
  return {text, std::to_chars(text, text + sizeof text, number).ptr};
}

/// Whether all of `bytes` is one number that a Number can hold.
template <class Number>
bool parse(std::string_view bytes, Number& number) {
  auto const* const end = bytes.data() + bytes.size();
  auto const result = std::from_chars(bytes.data(), end, number);
  return !bytes.empty() && result.ec == std::errc{} && result.ptr == end;
}

/// The text never has the bytes themselves in it: they may be a secret, or a megabyte.
[[noreturn]] void refuse_bytes(std::string_view bytes, std::string_view wanted) {
  throw CodecError{
      fmt::format("{} was wanted, something else of length {} is there", wanted, bytes.size())};
}

}  // namespace

std::string encode_signed(long long number) { return to_text(number); }
std::string encode_unsigned(unsigned long long number) { return to_text(number); }
std::string encode_real(double number) { return to_text(number); }
std::string encode_real(float number) { return to_text(number); }

long long decode_signed(std::string_view bytes, long long low, long long high) {
  long long number = 0;
  if (!parse(bytes, number) || number < low || number > high) {
    refuse_bytes(bytes, fmt::format("an integer from {} to {}", low, high));
  }
  return number;
}

unsigned long long decode_unsigned(std::string_view bytes, unsigned long long high) {
  unsigned long long number = 0;
  if (!parse(bytes, number) || number > high)
    refuse_bytes(bytes, fmt::format("an integer from 0 to {}", high));
  return number;
}

void decode_real(std::string_view bytes, double& number) {
  if (!parse(bytes, number)) refuse_bytes(bytes, "a double");
}

void decode_real(std::string_view bytes, float& number) {
  if (!parse(bytes, number)) refuse_bytes(bytes, "a float");
}

// -- parts ----------------------------------------------------------------------------------------

void append_part(std::string& out, std::string_view bytes) {
  out += to_text(bytes.size());
  out += ':';
  out += bytes;
  out += ',';
}

std::string_view PartReader::take() {
  ++taken_;
  auto const colon = rest_.find(':');
  std::size_t length = 0;
  bool const has_length = colon != std::string_view::npos && parse(rest_.substr(0, colon), length);
  // One spelling for each length, so that equal values are equal bytes.
  bool const is_canonical = has_length && (colon == 1 || rest_.front() != '0');
  auto const behind = has_length ? rest_.size() - colon - 1 : 0;
  if (!is_canonical || length >= behind || rest_[colon + 1 + length] != ',') {
    refuse(CodecError{fmt::format(
        "<length>:<bytes>, was wanted, something else of length {} is there", rest_.size())});
  }
  auto const part = rest_.substr(colon + 1, length);
  rest_.remove_prefix(colon + 1 + length + 1);
  return part;
}

void PartReader::refuse(CodecError const& error) const {
  throw CodecError{fmt::format("part {}: {}", taken_, error.what())};
}

void PartReader::finish() const {
  if (!at_end()) {
    throw CodecError{fmt::format("{} was wanted, {} more bytes are there",
                                 taken_ == 1 ? "1 part" : "2 parts", rest_.size())};
  }
}

}  // namespace tandem::detail
