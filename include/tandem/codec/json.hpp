#pragma once

// Optional: whoever includes this needs nlohmann-json (Debian: nlohmann-json3-dev) and links
// `nlohmann_json::nlohmann_json`. tandem itself neither includes nor links it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>

#include <tandem/core/codec.hpp>

namespace tandem {

/// Writes a T as JSON text, for types that nlohmann-json can convert (`to_json` and `from_json`, or
/// one of its macros). A type takes part by one line:
///
///     struct Price { std::string currency; double amount; };
///     NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Price, currency, amount)  // in the namespace of Price
///     template <>
///     struct tandem::Codec<Price> : tandem::JsonCodec<Price> {};   // in the global namespace
///
/// `nlohmann::json` itself has such a codec already: a map of any documents.
///
/// Reading is strict. After a T was made of the text it is turned to JSON again, and all that the
/// text says must be in there: what a program with an older T does not know, a number that a member
/// cannot hold, an enumerator it has no name for. So nothing is misread, and an `update` by an
/// older program does not lose what a newer one wrote. Members that are missing are refused by
/// `from_json`, or get their defaults where the type says so
/// (NLOHMANN_DEFINE_TYPE_..._WITH_DEFAULT): that is how a newer program reads what an older one
/// wrote.
///
/// Not promised: equal bytes for equal values that have no order of their own (a
/// std::unordered_map): take no such type for keys or with `compare_exchange`. That digits beyond a
/// `double`, or a `float` member, are noticed.
///
/// Shape:   compact JSON in UTF-8, the members of an object by name; numbers in the shortest form
///          that reads back the same.
/// Cost:    writing: the document as nlohmann::json, and its text. Reading: the same, and a second
///          document to compare with; a nlohmann::json is not compared.
/// Errors:  CodecError of encode, for text that is not UTF-8, and for NaN and infinities, which
///          JSON has no words for; of decode, for text that is not wholly JSON, and for JSON that
///          is no T of this program. None says what is there, but names of members.
/// Source:  RFC 8259; nlohmann-json 3.11 documentation, "Arbitrary Type Conversions".
template <class T>
struct JsonCodec {
  static std::string encode(T const& value);
  static T decode(std::string_view bytes);
};

/// Documents of any shape.
template <>
struct Codec<nlohmann::json> : JsonCodec<nlohmann::json> {};

// -- how it is read and compared ------------------------------------------------------------------

namespace detail {

/// nlohmann's text without its number: "[json.exception.type_error.302] type must be ...".
inline std::string json_complaint(nlohmann::json::exception const& error) {
  std::string_view const text = error.what();
  auto const begin = text.find("] ");
  return std::string{begin == text.npos ? text : text.substr(begin + 2)};
}

inline bool json_can_say(nlohmann::json const& document) {
  if (document.is_number_float()) return std::isfinite(document.get_ref<double const&>());
  if (!document.is_structured()) return true;
  return std::all_of(document.begin(), document.end(), json_can_say);
}

inline nlohmann::json json_of(std::string_view bytes) {
  auto const refuse = [&](std::string const& more) -> CodecError {
    return CodecError{"JSON was wanted, something else of length " + std::to_string(bytes.size()) +
                      " is there" + more};
  };
  // nlohmann takes a NUL for the end, whatever comes behind it.
  if (auto const nul = bytes.find('\0'); nul != bytes.npos)
    throw refuse(", wrong at byte " + std::to_string(nul + 1));
  try {
    return nlohmann::json::parse(bytes);
  } catch (nlohmann::json::parse_error const& error) {
    throw refuse(", wrong at byte " + std::to_string(error.byte));
  } catch (nlohmann::json::exception const&) {
    throw refuse(", with a number beyond a double");
  }
}

/// Whether two numbers are one: `was` in the text, `is` in the member that was made of it.
inline bool same_number(nlohmann::json const& was, nlohmann::json const& is) {
  if (was.is_number_float() || is.is_number_float()) {
    auto const real = was.get<double>();
    auto const kept = is.get<double>();
    if (real == kept) return true;
    // A float member keeps less, which is what a float is.
    auto const as_float = static_cast<float>(kept);
    return std::isfinite(kept) && static_cast<double>(as_float) == kept &&
           std::abs(real) <= static_cast<double>(std::numeric_limits<float>::max()) &&
           static_cast<float>(real) == as_float;
  }
  // Not `==`: nlohmann's takes -1 and 2^64 - 1 for equal.
  bool const was_natural = was.is_number_unsigned() || was.get<std::int64_t>() >= 0;
  bool const is_natural = is.is_number_unsigned() || is.get<std::int64_t>() >= 0;
  return was_natural == is_natural && was.get<std::uint64_t>() == is.get<std::uint64_t>();
}

/// Whether all that `was` says is in `is`; if not, `path` is where not.
inline bool json_is_kept(nlohmann::json const& was, nlohmann::json const& is, std::string& path) {
  if (was.is_number() && is.is_number()) return same_number(was, is);
  if (was.is_object() && is.is_object()) {
    for (auto const& [name, value] : was.items()) {
      auto const length = path.size();
      path.append("/").append(name);
      auto const member = is.find(name);
      if (member == is.end() || !json_is_kept(value, *member, path)) return false;
      path.resize(length);
    }
    return true;
  }
  if (was.is_array() && is.is_array()) {
    auto const each_is_kept = [&](nlohmann::json const& a, nlohmann::json const& b) {
      return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](auto const& x, auto const& y) {
        std::string within;
        return json_is_kept(x, y, within);
      });
    };
    if (each_is_kept(was, is)) return true;
    auto was_sorted = was;  // a set of T writes its elements in an order of its own
    auto is_sorted = is;
    std::sort(was_sorted.begin(), was_sorted.end());
    std::sort(is_sorted.begin(), is_sorted.end());
    return each_is_kept(was_sorted, is_sorted);
  }
  return was == is;
}

inline void refuse_unless_kept(nlohmann::json const& was, nlohmann::json const& is) {
  std::string path;
  if (json_is_kept(was, is, path)) return;
  bool const is_readable = path.size() <= 64 && std::all_of(path.begin(), path.end(), [](char c) {
                             return c > ' ' && c <= '~';
                           });
  throw CodecError{"JSON of another type or version is there: " +
                   (path.empty() || !is_readable ? "some of it" : path) +
                   " would be lost or changed"};
}

}  // namespace detail

template <class T>
std::string JsonCodec<T>::encode(T const& value) {
  try {
    auto const write = [](nlohmann::json const& document) {
      if (!detail::json_can_say(document))
        throw CodecError{"JSON has no words for a NaN or an infinity, and one was to be written"};
      return document.dump();
    };
    if constexpr (std::is_same_v<T, nlohmann::json>) {
      return write(value);
    } else {
      return write(nlohmann::json(value));
    }
  } catch (nlohmann::json::exception const&) {  // its words have bytes of the value
    throw CodecError{"JSON is UTF-8, and other text was to be written"};
  }
}

template <class T>
T JsonCodec<T>::decode(std::string_view bytes) {
  auto document = detail::json_of(bytes);
  if constexpr (std::is_same_v<T, nlohmann::json>) {
    return document;
  } else {
    try {
      auto out = document.template get<T>();
      detail::refuse_unless_kept(document, nlohmann::json(out));
      return out;
    } catch (nlohmann::json::exception const& error) {
      throw CodecError{"JSON of another type is there: " + detail::json_complaint(error)};
    }
  }
}

}  // namespace tandem
