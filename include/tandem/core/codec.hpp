#pragma once

#include <concepts>
#include <cstddef>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tandem/core/error.hpp>

namespace tandem {

/// How values of type T are written as bytes and read again: what keys and values in Redis go
/// through.
///
/// | T                               | bytes                                                        | example      |
/// |---------------------------------|--------------------------------------------------------------|--------------|
/// | `std::string`                   | the bytes as they are                                        | `caf\xe9`    |
/// | `std::string_view`              | the same; written only, there is nothing to refer to         |              |
/// | integers up to 64 bits          | decimal text, as HINCRBY takes it                            | `-42`        |
/// | `double`, `float`               | the shortest text that reads back as the same number         | `0.1`, `inf` |
/// | `bool`                          | `1` or `0`                                                   | `1`          |
/// | enumerations                    | the underlying number                                        | `3`          |
/// | `std::vector<T>`                | each element's bytes as `<length>:<bytes>,`                  | `1:7,2:10,`  |
/// | `std::optional<T>`              | nothing, or one element as above                             | `1:7,`       |
/// | `std::pair<A, B>`               | two elements as above                                        | `3:EUR,1:5,` |
///
/// The last three nest, and hold any T that has a codec. Stored in Redis since 0.1: none of these
/// forms may change.
///
/// A type of your own takes part by a specialisation with two functions:
///
///     template <>
///     struct tandem::Codec<Price> {  // in the global namespace
///       static std::string encode(Price const&);
///       static Price decode(std::string_view);  // throws CodecError: what was wanted
///     };
///
/// One of several fields can nest pairs, which need no escaping:
///
///     template <>
///     struct tandem::Codec<Result> {
///       using Parts = std::pair<std::string, std::pair<std::int64_t, double>>;
///       static std::string encode(Result const& result) {
///         return Codec<Parts>::encode({result.worker, {result.job, result.seconds}});
///       }
///       static Result decode(std::string_view bytes) {
///         auto const [worker, rest] = Codec<Parts>::decode(bytes);
///         return {worker, rest.first, rest.second};
///       }
///     };
///
/// Equal values must be written as equal bytes where they are keys or are compared
/// (`compare_exchange`).
///
/// There is none for `char` and its wide relatives (a letter or a number?), for `long double` (no
/// portable text) and for pointers.
///
/// Errors:  decode throws CodecError, for text that is not wholly such a number and for numbers
///          that T cannot hold. A NaN is read back as a NaN, not as the same one.
/// Source:  netstrings, D. J. Bernstein 1997, for `<length>:<bytes>,`.
template <class T>
struct Codec;  // "incomplete type": T has no codec; specialise it as above

/// A T can be written.
template <class T>
concept Encodable = requires(T const& value) {
  { Codec<T>::encode(value) } -> std::convertible_to<std::string_view>;
};

/// A T can be read.
template <class T>
concept Decodable = requires(std::string_view bytes) {
  { Codec<T>::decode(bytes) } -> std::convertible_to<T>;
};

// -- numbers --------------------------------------------------------------------------------------

namespace detail {

template <class T, class... Others>
inline constexpr bool is_one_of = (std::is_same_v<T, Others> || ...);

template <class T>
concept Integer = std::integral<T> && sizeof(T) <= sizeof(long long) &&
                  !is_one_of<T, bool, char, wchar_t, char8_t, char16_t, char32_t>;

[[nodiscard]] std::string encode_signed(long long number);
[[nodiscard]] std::string encode_unsigned(unsigned long long number);
[[nodiscard]] std::string encode_real(double number);
[[nodiscard]] std::string encode_real(float number);
[[nodiscard]] long long decode_signed(std::string_view bytes, long long low, long long high);
[[nodiscard]] unsigned long long decode_unsigned(std::string_view bytes, unsigned long long high);
void decode_real(std::string_view bytes, double& number);
void decode_real(std::string_view bytes, float& number);

/// `Number` is any integral type here: an enumeration may be made of char or bool.
template <class Number>
struct IntegerCodec {
  static std::string encode(Number number) {
    if constexpr (std::is_signed_v<Number>) {
      return encode_signed(number);
    } else {
      return encode_unsigned(number);
    }
  }
  static Number decode(std::string_view bytes) {
    using Limits = std::numeric_limits<Number>;
    if constexpr (std::is_signed_v<Number>) {
      return static_cast<Number>(decode_signed(bytes, Limits::min(), Limits::max()));
    } else {
      return static_cast<Number>(decode_unsigned(bytes, Limits::max()));
    }
  }
};

}  // namespace detail

template <detail::Integer T>
struct Codec<T> : detail::IntegerCodec<T> {};

template <>
struct Codec<bool> : detail::IntegerCodec<bool> {};

template <class T>
requires std::is_enum_v<T>
struct Codec<T> {
  static std::string encode(T value) {
    return Number::encode(static_cast<std::underlying_type_t<T>>(value));
  }
  static T decode(std::string_view bytes) { return static_cast<T>(Number::decode(bytes)); }

 private:
  using Number = detail::IntegerCodec<std::underlying_type_t<T>>;
};

template <class T>
requires detail::is_one_of<T, double, float>
struct Codec<T> {
  static std::string encode(T number) { return detail::encode_real(number); }
  static T decode(std::string_view bytes) {
    T number{};
    detail::decode_real(bytes, number);
    return number;
  }
};

// -- text -----------------------------------------------------------------------------------------

template <>
struct Codec<std::string> {
  static std::string encode(std::string const& text) { return text; }
  static std::string decode(std::string_view bytes) { return std::string{bytes}; }
};

template <>
struct Codec<std::string_view> {
  static std::string encode(std::string_view text) { return std::string{text}; }
};

// -- what holds other values ----------------------------------------------------------------------

namespace detail {

/// Appends `<length>:<bytes>,`.
void append_part(std::string& out, std::string_view bytes);

/// Takes bytes apart that append_part put together.
class PartReader {
 public:
  explicit PartReader(std::string_view bytes) noexcept : rest_{bytes} {}

  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

  /// The next part as a T. Throws CodecError.
  template <class T>
  [[nodiscard]] T next() {
    auto const bytes = take();
    try {
      return Codec<T>::decode(bytes);
    } catch (CodecError const& error) {
      refuse(error);
    }
  }

  /// Throws CodecError when anything is left.
  void finish() const;

 private:
  std::string_view take();
  [[noreturn]] void refuse(CodecError const& error) const;

  std::string_view rest_;
  std::size_t taken_ = 0;
};

}  // namespace detail

template <Encodable T>
struct Codec<std::vector<T>> {
  static std::string encode(std::vector<T> const& values) {
    std::string out;
    for (auto const& value : values) detail::append_part(out, Codec<T>::encode(value));
    return out;
  }
  static std::vector<T> decode(std::string_view bytes) requires Decodable<T> {
    std::vector<T> out;
    for (detail::PartReader parts{bytes}; !parts.at_end();) out.push_back(parts.next<T>());
    return out;
  }
};

template <Encodable T>
struct Codec<std::optional<T>> {
  static std::string encode(std::optional<T> const& value) {
    std::string out;
    if (value) detail::append_part(out, Codec<T>::encode(*value));
    return out;
  }
  static std::optional<T> decode(std::string_view bytes) requires Decodable<T> {
    detail::PartReader parts{bytes};
    if (parts.at_end()) return std::nullopt;
    std::optional<T> out{parts.next<T>()};
    parts.finish();
    return out;
  }
};

template <Encodable A, Encodable B>
struct Codec<std::pair<A, B>> {
  static std::string encode(std::pair<A, B> const& value) {
    std::string out;
    detail::append_part(out, Codec<A>::encode(value.first));
    detail::append_part(out, Codec<B>::encode(value.second));
    return out;
  }
  static std::pair<A, B> decode(std::string_view bytes) requires Decodable<A> && Decodable<B> {
    detail::PartReader parts{bytes};
    auto first = parts.next<A>();
    auto second = parts.next<B>();
    parts.finish();
    return {std::move(first), std::move(second)};
  }
};

// -- what types take that hold values --------------------------------------------------------------

namespace detail {

/// How a T is passed to a function: text as a view, so that literals and parts of strings need no
/// copy.
template <class T>
using Passed =
    std::conditional_t<is_one_of<T, std::string, std::string_view>, std::string_view, T const&>;

/// What a T is when it is read and kept.
template <class T>
using Kept = std::conditional_t<std::is_same_v<T, std::string_view>, std::string, T>;

template <class T>
auto encoded(Passed<T> value) {
  if constexpr (std::is_same_v<Passed<T>, std::string_view>) {
    return value;  // 16 MiB need not be copied to be sent
  } else {
    return Codec<T>::encode(value);
  }
}

/// What update() takes: a function from std::optional<V> to V, or to std::optional<V>.
template <class F, class V>
concept ChangeOf = std::invocable<F&, std::optional<V>> &&
    (std::same_as<std::invoke_result_t<F&, std::optional<V>>, std::optional<V>> ||
     std::convertible_to<std::invoke_result_t<F&, std::optional<V>>, V>);

template <class Range, class K>
concept KeysOf = requires(Range& range) {
  { *std::begin(range) } -> std::convertible_to<Passed<K>>;
  std::end(range);
};

template <class Range, class K, class V>
concept EntriesOf = requires(Range& range) {
  { (*std::begin(range)).first } -> std::convertible_to<Passed<K>>;
  { (*std::begin(range)).second } -> std::convertible_to<Passed<V>>;
  std::end(range);
};

}  // namespace detail

}  // namespace tandem
