#include "locking/slot.hpp"

namespace tandem::detail {
namespace {

constexpr unsigned slots = 16'384;
// XMODEM's: x^16 + x^12 + x^5 + 1, the highest bit first, from 0.
constexpr unsigned polynomial = 0x1021;

}  // namespace

std::string_view hash_tag(std::string_view key) noexcept {
  auto const open = key.find('{');
  if (open == std::string_view::npos) return key;
  auto const close = key.find('}', open + 1);
  if (close == std::string_view::npos || close == open + 1) return key;
  return key.substr(open + 1, close - open - 1);
}

unsigned slot_of(std::string_view key) noexcept {
  unsigned crc = 0;
  for (char const each : hash_tag(key)) {
    crc ^= static_cast<unsigned>(static_cast<unsigned char>(each)) << 8U;
    for (int bit = 0; bit < 8; ++bit) {
      bool const carry = (crc & 0x8000U) != 0;
      crc = (crc << 1U) & 0xFFFFU;
      if (carry) crc ^= polynomial;
    }
  }
  return crc % slots;
}

}  // namespace tandem::detail
