#pragma once

// Optional: whoever includes this needs msgpack-cxx (Debian: libmsgpack-cxx-dev) and links
// `msgpackc-cxx`. tandem itself neither includes nor links it.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <msgpack.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tandem/core/codec.hpp>

namespace tandem {

/// Writes a T as MessagePack, for types that msgpack-cxx can convert (MSGPACK_DEFINE and the like).
/// A type takes part by one line:
///
///     struct Price {
///       std::string currency;
///       double amount;
///       MSGPACK_DEFINE_MAP(currency, amount)
///     };
///     template <>
///     struct tandem::Codec<Price> : tandem::MsgpackCodec<Price> {};  // in the global namespace
///
/// Reading is strict. After a T was made of the bytes it is packed again, and both must say the
/// same, whatever their spelling: msgpack-cxx alone leaves members that are missing as they happen
/// to be, and passes over what it does not know. So bytes of an older or newer T are refused; a
/// type that shall read both says so in a Codec of its own.
///
/// Not promised: equal bytes for equal values that have no order of their own (a
/// std::unordered_map): take no such type for keys or with `compare_exchange`.
///
/// Shape:   one MessagePack object: with MSGPACK_DEFINE an array of the members in their order,
///          with MSGPACK_DEFINE_MAP a map by their names.
/// Cost:    writing: the bytes. Reading: a look at all of them, an object tree that refers to them,
///          and the same again to compare with.
/// Errors:  CodecError of decode, for bytes that are not wholly one MessagePack object, or nested
///          more than 100 deep, and for an object that is no T of this program.
/// Source:  github.com/msgpack/msgpack, spec.md; msgpack-cxx 4.1.
template <class T>
struct MsgpackCodec {
  static std::string encode(T const& value);
  static T decode(std::string_view bytes);
};

// -- how it is read and compared ------------------------------------------------------------------

namespace detail {

/// Walks over bytes without making anything of them: a length that lies ends here, before memory is
/// asked for.
class MsgpackWalk : public msgpack::null_visitor {
 public:
  bool start_array(std::uint32_t) { return enter(); }
  bool end_array() { return leave(); }
  bool start_map(std::uint32_t) { return enter(); }
  bool end_map() { return leave(); }

 private:
  bool enter() { return ++depth_ <= 100; }
  bool leave() {
    --depth_;
    return true;
  }

  int depth_ = 0;
};

/// The object in `bytes`, which it refers to; in `zone`.
inline msgpack::object msgpack_of(std::string_view bytes, msgpack::zone& zone) {
  auto const refuse = [&] {
    return CodecError{"a MessagePack object was wanted, something else of length " +
                      std::to_string(bytes.size()) + " is there"};
  };
  try {
    std::size_t end = 0;
    MsgpackWalk walk;
    if (!msgpack::parse(bytes.data(), bytes.size(), end, walk) || end != bytes.size())
      throw refuse();
    auto const refer = [](msgpack::type::object_type, std::size_t, void*) { return true; };
    return msgpack::unpack(zone, bytes.data(), bytes.size(), refer);
  } catch (msgpack::unpack_error const&) {
    throw refuse();
  }
}

inline std::string msgpacked(msgpack::object const& object) {
  msgpack::sbuffer out;
  msgpack::pack(out, object);
  return {out.data(), out.size()};
}

inline bool is_msgpack_real(msgpack::object const& object) {
  return object.type == msgpack::type::FLOAT32 || object.type == msgpack::type::FLOAT64;
}

inline bool is_msgpack_number(msgpack::object const& object) {
  return is_msgpack_real(object) || object.type == msgpack::type::POSITIVE_INTEGER ||
         object.type == msgpack::type::NEGATIVE_INTEGER;
}

/// Whether two numbers are one: `was` in the bytes, `is` in the member that was made of it.
inline bool same_number(msgpack::object const& was, msgpack::object const& is) {
  if (!is_msgpack_real(was) && !is_msgpack_real(is))
    return was.type == is.type && was.via.u64 == is.via.u64;
  auto const real = was.as<double>();
  auto const kept = is.as<double>();
  if (real == kept || (real != real && kept != kept)) return true;
  // A float member keeps less, which is what a float is.
  return is.type == msgpack::type::FLOAT32 &&
         std::abs(real) <= static_cast<double>(std::numeric_limits<float>::max()) &&
         static_cast<float>(real) == static_cast<float>(kept);
}

/// The elements in the order of their texts: that of a hash table means nothing, and differs.
template <class Element, class Text>
std::vector<Element const*> msgpack_sorted(Element const* first, std::size_t count,
                                           Text const& text) {
  std::vector<std::pair<std::string, Element const*>> by_text;
  by_text.reserve(count);
  for (std::size_t i = 0; i < count; ++i) by_text.emplace_back(text(first[i]), first + i);
  std::sort(by_text.begin(), by_text.end());
  std::vector<Element const*> out;
  out.reserve(count);
  for (auto const& each : by_text) out.push_back(each.second);
  return out;
}

/// Whether they say the same, in whatever spelling.
inline bool same_msgpack(msgpack::object const& was, msgpack::object const& is) {
  if (is_msgpack_number(was) && is_msgpack_number(is)) return same_number(was, is);
  if (was.type == msgpack::type::ARRAY && is.type == msgpack::type::ARRAY) {
    auto const& [size, first] = was.via.array;
    if (size != is.via.array.size) return false;
    if (std::equal(first, first + size, is.via.array.ptr, same_msgpack)) return true;
    auto const same = [](auto const* a, auto const* b) { return same_msgpack(*a, *b); };
    auto const a = msgpack_sorted(first, size, msgpacked);
    auto const b = msgpack_sorted(is.via.array.ptr, size, msgpacked);
    return std::equal(a.begin(), a.end(), b.begin(), same);
  }
  if (was.type == msgpack::type::MAP && is.type == msgpack::type::MAP) {
    auto const& [size, first] = was.via.map;
    if (size != is.via.map.size) return false;
    auto const key = [](msgpack::object_kv const& entry) { return msgpacked(entry.key); };
    auto const same = [](auto const* a, auto const* b) {
      return same_msgpack(a->key, b->key) && same_msgpack(a->val, b->val);
    };
    auto const a = msgpack_sorted(first, size, key);
    auto const b = msgpack_sorted(is.via.map.ptr, size, key);
    return std::equal(a.begin(), a.end(), b.begin(), same);
  }
  return was == is;
}

}  // namespace detail

template <class T>
std::string MsgpackCodec<T>::encode(T const& value) {
  msgpack::sbuffer out;
  msgpack::pack(out, value);
  return {out.data(), out.size()};
}

template <class T>
T MsgpackCodec<T>::decode(std::string_view bytes) {
  msgpack::zone zone;
  auto const was = detail::msgpack_of(bytes, zone);
  try {
    T out{};
    was.convert(out);
    auto const again = encode(out);
    msgpack::zone of_again;
    if (!detail::same_msgpack(was, detail::msgpack_of(again, of_again))) {
      throw CodecError{
          "MessagePack of another type or version is there: some of it would be lost or changed"};
    }
    return out;
  } catch (msgpack::type_error const&) {
    throw CodecError{"MessagePack of another type is there"};
  }
}

}  // namespace tandem
