#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tandem/core/error.hpp>

struct redisReply;  // hiredis; no public header includes it

namespace tandem {

/// What the server's answer is on the wire, RESP2 and RESP3 together.
enum class ReplyKind { nil, status, error, integer, real, boolean, text, array, map, set, push };

/// A server answer that somebody else owns, read only in the shape you name.
///
/// `as<T>()` converts, or throws `ShapeError` saying what was asked for and what there is. An error
/// reply throws its `ServerError` instead, whatever is asked for.
///
/// | T                                      | accepts                                                               |
/// |----------------------------------------|-----------------------------------------------------------------------|
/// | `std::string`, `std::string_view`      | text, status (`OK`)                                                   |
/// | integers                               | an integer, or text that is one; out of range throws                  |
/// | `double`, `float`                      | a real, an integer, text that is one (`inf`); out of range throws     |
/// | `bool`                                 | a boolean, or the integers 0 and 1                                    |
/// | `std::optional<T>`                     | nil as empty, everything that T accepts                               |
/// | `std::vector<T>`                       | array, set, push, map (keys and values in turn)                       |
/// | `std::vector<std::pair<A, B>>`         | map, or an array of pairs, or an array of keys and values in turn     |
/// | `std::pair<A, B>`                      | an array of two                                                       |
///
/// Threads: reading is safe from several threads.
class ReplyView {
 public:
  [[nodiscard]] ReplyKind kind() const noexcept;
  [[nodiscard]] bool is_nil() const noexcept { return kind() == ReplyKind::nil; }
  [[nodiscard]] bool is_error() const noexcept { return kind() == ReplyKind::error; }

  /// Elements of an array, set or push; twice the entries of a map; 0 of anything else.
  [[nodiscard]] std::size_t size() const noexcept;

  /// The element at `index`; throws ShapeError when there is none.
  [[nodiscard]] ReplyView operator[](std::size_t index) const;

  template <class T>
  [[nodiscard]] T as() const;

  /// The text of an error reply; empty for any other.
  [[nodiscard]] std::string_view error_text() const noexcept;

  /// Throws the `ServerError` that an error reply is; does nothing for any other. `doing` goes into
  /// its text.
  void throw_if_error(std::string_view doing = {}) const;

 protected:
  explicit ReplyView(redisReply const* raw) noexcept : raw_{raw} {}
  /// Throws unless this is an aggregate; `pairs` says that pairs were asked for. The number of
  /// elements wanted.
  [[nodiscard]] std::size_t elements(bool pairs) const;

 private:
  [[nodiscard]] std::string_view text() const;
  [[nodiscard]] long long integer(long long low, long long high) const;
  [[nodiscard]] unsigned long long unsigned_integer(unsigned long long high) const;
  [[nodiscard]] double real(double most) const;
  [[nodiscard]] bool boolean() const;
  [[nodiscard]] bool holds_pairs_as_arrays() const noexcept;
  [[noreturn]] void refuse(std::string_view wanted) const;

  redisReply const* raw_;
};

namespace detail {
template <class T>
struct HasView : std::is_same<T, std::string_view> {};
template <class T>
struct HasView<std::optional<T>> : HasView<T> {};
template <class T>
struct HasView<std::vector<T>> : HasView<T> {};
template <class A, class B>
struct HasView<std::pair<A, B>> : std::disjunction<HasView<A>, HasView<B>> {};

struct FreeReply {
  void operator()(
      redisReply* reply) const noexcept;  // defined beside hiredis, in src/core/reply.cpp
};
}  // namespace detail

/// A server answer, owned.
///
/// Move-only. A moved-from Reply may only be destroyed or assigned to.
class Reply : public ReplyView {
 public:
  /// Takes ownership of `raw`, made by hiredis' reader.
  explicit Reply(redisReply* raw) noexcept : ReplyView{raw}, owned_{raw} {}

  template <class T>
  [[nodiscard]] T as() const& {
    return ReplyView::as<T>();
  }
  template <class T>
  [[nodiscard]] T as() && {
    static_assert(!detail::HasView<T>::value,
                  "the text dies with this temporary reply; take a std::string");
    return ReplyView::as<T>();
  }

  /// The elements of an array, each on its own; of a map keys and values in turn. Throws ShapeError
  /// when it is neither.
  [[nodiscard]] std::vector<Reply> take_elements() &&;

 private:
  std::unique_ptr<redisReply, detail::FreeReply> owned_;
};

// -- how a shape is read --------------------------------------------------------------------------

namespace detail {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
struct IsPair : std::false_type {};
template <class A, class B>
struct IsPair<std::pair<A, B>> : std::true_type {};

template <class T>
inline constexpr bool not_a_shape = false;

}  // namespace detail

template <class T>
T ReplyView::as() const {
  if constexpr (detail::IsOptional<T>::value) {
    if (is_nil()) return T{};
    return as<typename T::value_type>();
  } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>) {
    return T{text()};
  } else if constexpr (std::is_same_v<T, bool>) {
    return boolean();
  } else if constexpr (std::unsigned_integral<T>) {
    return static_cast<T>(unsigned_integer(static_cast<T>(-1)));
  } else if constexpr (std::integral<T>) {
    constexpr auto high = static_cast<long long>(static_cast<std::make_unsigned_t<T>>(-1) >> 1);
    return static_cast<T>(integer(-high - 1, high));
  } else if constexpr (std::floating_point<T>) {
    return static_cast<T>(real(static_cast<double>(std::numeric_limits<T>::max())));
  } else if constexpr (detail::IsPair<T>::value) {
    if (elements(false) != 2) refuse("a pair");
    return T{(*this)[0].template as<typename T::first_type>(),
             (*this)[1].template as<typename T::second_type>()};
  } else if constexpr (detail::IsVector<T>::value) {
    using Element = typename T::value_type;
    T out;
    if constexpr (detail::IsPair<Element>::value) {
      auto const count = elements(true);
      out.reserve(count / 2);
      if (holds_pairs_as_arrays()) {
        for (std::size_t i = 0; i < count; ++i) out.push_back((*this)[i].template as<Element>());
      } else {
        for (std::size_t i = 0; i < count; i += 2) {
          out.push_back(Element{(*this)[i].template as<typename Element::first_type>(),
                                (*this)[i + 1].template as<typename Element::second_type>()});
        }
      }
    } else {
      auto const count = elements(false);
      out.reserve(count);
      for (std::size_t i = 0; i < count; ++i) out.push_back((*this)[i].template as<Element>());
    }
    return out;
  } else {
    static_assert(detail::not_a_shape<T>, "no such shape of a reply; see the table at ReplyView");
  }
}

}  // namespace tandem
