// Codec: any bytes are refused by a CodecError, or are a value that is read back from what it is
// written as.
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tandem/core/codec.hpp>

#include "target.hpp"

namespace {

using tandem::Codec;
using tandem::CodecError;
using tandem::fuzz::require;

enum class Color : std::uint8_t {};

// `canonical`: one spelling for each value, so that what was read is written as it was.
template <class T>
void check(std::string_view bytes, bool canonical = false) {
  std::optional<T> value;
  try {
    value.emplace(Codec<T>::decode(bytes));
  } catch (CodecError const&) {
    return;
  }
  auto const written = Codec<T>::encode(*value);
  // Written again it is the same, to the byte: a NaN is no other NaN here.
  require(Codec<T>::encode(Codec<T>::decode(written)) == written, "what is written reads back");
  if (canonical) require(written == bytes, "equal values are equal bytes");
}

}  // namespace

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  auto const bytes = tandem::fuzz::text_of(data, size);
  check<std::string>(bytes, true);
  check<bool>(bytes);
  check<Color>(bytes);
  check<std::int8_t>(bytes);
  check<std::uint16_t>(bytes);
  check<std::int64_t>(bytes);
  check<std::uint64_t>(bytes);
  check<float>(bytes);
  check<double>(bytes);
  check<std::vector<std::string>>(bytes, true);
  check<std::optional<std::string>>(bytes, true);
  check<std::pair<std::string, std::string>>(bytes, true);
  check<std::vector<std::optional<std::pair<std::string, std::vector<std::string>>>>>(bytes, true);
  check<std::vector<std::int64_t>>(bytes);
  check<std::pair<double, std::optional<bool>>>(bytes);
  check<std::vector<std::vector<std::uint32_t>>>(bytes);
  return 0;
}
