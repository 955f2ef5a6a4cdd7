#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/core/codec.hpp>
#include <tandem/core/shared_key.hpp>

namespace tandem {

/// How long a list may be, and what happens when it is full.
struct SharedListOptions {
  /// So many elements it has at most. From 1 to 4,294,967,295.
  std::size_t most = 1000;

  /// What gives way to what is put into a full list: as many elements at the other end, or nothing:
  /// then it is not put there.
  enum class WhenFull { drop_other_end, refuse } when_full = WhenFull::drop_other_end;
};

namespace detail {

/// As SharedList, with elements as bytes.
class ListKey : public SharedKey {
 public:
  ListKey(Client client, std::string name, SharedListOptions options);

  enum class End { front, back };
  /// All or none; see src/lua/shared_list/push.lua.
  [[nodiscard]] bool push(End end, std::span<std::string const> elements) const;

 private:
  SharedListOptions options_;
};

}  // namespace detail

/// A list of bounded length that all processes see: one Redis list of exactly this name.
///
///     tandem::SharedList<std::string> latest{redis, "latest", {.most = 100}};
///     latest.push_front("ann came");
///     for (auto const& line : latest.range(0, 10)) show(line);
///
/// Every member acts on the server at once, atomically; nothing is kept in the process. Other
/// clients may use the same list: `LRANGE latest 0 9`; what they push is not bounded until the next
/// push here.
///
/// Take `Queue` for work that somebody must do: an element that was taken from here is gone, also
/// when who took it dies. Writes are sent once: when the answer to one is lost, InDoubt says that it
/// may have happened.
///
/// Shape:   list `<name>`, elements = `Codec<T>`; absent when it is empty.
/// Cost:    1 command in 1 round trip for every member.
/// Errors:  std::invalid_argument for an empty name, or a length out of range. Unreachable, InDoubt;
///          ServerError, whose code is WRONGTYPE when the key is no list; CodecError, naming the list,
///          for bytes that are no T: they stay as they are, but for what was popped.
/// Threads: safe from several. A moved-from list may only be assigned to and destroyed.
/// Source:  src/lua/shared_list/; Redis documentation, "Lists".
/// See examples/shared_list.cpp.
template <class T>
class SharedList {
  static_assert(Encodable<T> && Decodable<T>,
                "the element has no tandem::Codec that writes and reads it: specialise "
                "tandem::Codec<T>, see <tandem/core/codec.hpp>");

 public:
  static constexpr std::size_t most_at_once = 7000;

  /// No I/O yet.
  SharedList(Client client, std::string name, SharedListOptions options = {})
      : key_{std::move(client), std::move(name), options} {}

  [[nodiscard]] std::string const& name() const noexcept { return key_.name(); }

  /// Whether it was put there: false only where a full list refuses.
  bool push_front(T const& element) { return push(End::front, {&element, 1}); }
  bool push_back(T const& element) { return push(End::back, {&element, 1}); }
  /// All or none, one after the other; the last of them stays at that end. None: no command.
  ///
  /// Errors:  std::invalid_argument for more than most_at_once.
  bool push_front_many(std::span<T const> elements) { return push(End::front, elements); }
  bool push_back_many(std::span<T const> elements) { return push(End::back, elements); }

  /// Takes it; empty when there is none.
  std::optional<T> pop_front() { return taken(key_.write({"LPOP"})); }
  std::optional<T> pop_back() { return taken(key_.write({"RPOP"})); }

  /// Counted from the front; from the back where it is negative: -1 is the last.
  [[nodiscard]] std::optional<T> at(std::int64_t index) const {
    return taken(key_.read({"LINDEX", index}));
  }
  /// Up to `count` of them, in order, as they were at one moment.
  [[nodiscard]] std::vector<T> range(std::size_t first, std::size_t count) const {
    std::vector<T> out;
    if (count == 0) return out;
    constexpr std::size_t last = std::numeric_limits<std::int64_t>::max();
    auto const from = std::min(first, last);
    auto const reply = key_.read({"LRANGE", from, from + std::min(count - 1, last - from)});
    out.reserve(reply.size());
    for (std::size_t i = 0; i < reply.size(); ++i) {
      out.push_back(key_.template decoded<T>(reply[i].template as<std::string_view>()));
    }
    return out;
  }

  [[nodiscard]] std::size_t size() const { return key_.read({"LLEN"}).template as<std::size_t>(); }
  [[nodiscard]] bool empty() const { return size() == 0; }

 private:
  using End = detail::ListKey::End;

  bool push(End end, std::span<T const> elements) {
    std::vector<std::string> words;
    words.reserve(elements.size());
    for (auto const& each : elements) words.push_back(Codec<T>::encode(each));
    return key_.push(end, words);
  }
  [[nodiscard]] std::optional<T> taken(Reply const& reply) const {
    auto const bytes = reply.as<std::optional<std::string_view>>();
    if (!bytes) return std::nullopt;
    return key_.template decoded<T>(*bytes);
  }

  detail::ListKey key_;
};

}  // namespace tandem
