#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/core/codec.hpp>
#include <tandem/hold.hpp>

namespace tandem {

// -- the same in bytes: what SharedMap<K, V> says to the server -----------------------------------

namespace detail {

/// One Redis hash, its fields and values as bytes. See SharedMap for what each member promises.
class SharedHash {
 public:
  SharedHash(Client client, std::string name);

  [[nodiscard]] std::string const& name() const noexcept { return name_; }

  [[nodiscard]] Reply get(std::string_view field) const;                    ///< text or nil
  [[nodiscard]] Reply get_many(std::span<std::string const> fields) const;  ///< as many of them
  [[nodiscard]] bool contains(std::string_view field) const;
  [[nodiscard]] std::size_t size() const;

  void set(std::string_view field, std::string_view value);
  void set(std::string_view field, std::string_view value, Hold const& hold);
  void set_many(std::span<std::string const> fields_and_values);  ///< in turn
  [[nodiscard]] bool insert(std::string_view field, std::string_view value);
  bool erase(std::string_view field);
  std::size_t erase_many(std::span<std::string const> fields);
  void clear();
  [[nodiscard]] bool replace(std::string_view field, std::string_view expected,
                             std::string_view desired);
  long long add(std::string_view field, long long n);

  /// Throws `error` again, with the map and the field in its text.
  [[noreturn]] void refuse(std::string_view field, CodecError const& error) const;

 private:
  friend class HashUpdate;
  friend class HashScan;

  [[nodiscard]] Reply ask(std::initializer_list<std::string_view> words,
                          std::span<std::string const> more, bool repeatable) const;
  [[nodiscard]] Reply change(std::string_view field, std::optional<std::string_view> expected,
                             std::optional<std::string_view> desired, Deadline deadline) const;

  Client client_;
  std::string name_;
};

/// An entry on its way from what it was to what it shall be.
class HashUpdate {
 public:
  /// Reads the entry. Both must outlive this.
  HashUpdate(SharedHash const& hash, std::string_view field);

  [[nodiscard]] std::optional<std::string_view> current() const noexcept { return current_; }

  /// Whether the entry is now as desired. If not, current() is what somebody else made of it.
  /// Throws Conflict when the deadline that began with the construction has passed.
  [[nodiscard]] bool try_store(std::string_view desired) { return try_change(desired); }
  [[nodiscard]] bool try_erase() { return try_change(std::nullopt); }

 private:
  bool try_change(std::optional<std::string_view> desired);

  SharedHash const& hash_;
  std::string_view field_;
  Deadline deadline_;
  Reply reply_;
  std::optional<std::string_view> current_;  // in reply_
  int tries_ = 0;
};

/// The entries of a hash, each once.
class HashScan {
 public:
  /// Reads the first chunk.
  explicit HashScan(SharedHash hash);
  HashScan(HashScan&&) noexcept;
  HashScan& operator=(HashScan&&) noexcept;
  ~HashScan();

  [[nodiscard]] bool at_end() const noexcept;
  /// Not at the end.
  [[nodiscard]] std::string_view field() const;
  [[nodiscard]] std::string_view value() const;
  /// Reads the next chunk where needed. After a fault it may be called again and misses nothing.
  void next();
  [[nodiscard]] SharedHash const& hash() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

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

template <class T>
T decoded(SharedHash const& hash, std::string_view field, std::string_view bytes) {
  try {
    return Codec<T>::decode(bytes);
  } catch (CodecError const& error) {
    hash.refuse(field, error);
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

// -- the map --------------------------------------------------------------------------------------

/// A map that all processes see: one Redis hash of exactly this name.
///
///     tandem::SharedMap<std::string, std::int64_t> stock{redis, "stock"};
///     stock.set("apple", 3);
///     stock.update("apple", [](std::optional<std::int64_t> n) { return n.value_or(0) + 1; });
///     for (auto [key, value] : stock) { ... }
///
/// Every member acts on the server at once and on one entry or one command's worth of them
/// atomically; nothing is kept in the process. Other clients may use the same hash: `HGET stock
/// apple` reads 4. K and V are any types that have a `Codec`; a K of std::string_view is a
/// std::string wherever a key is given back.
///
/// Take `Counter` for one number, and a `Transaction` or a `Script` to change several entries that
/// depend on each other.
///
/// Not promised: an order of the entries; a snapshot by iteration (it reads in chunks while others
/// write). Writes are sent once: when the answer to one is lost, InDoubt says that it may have
/// happened, and `contains`, `get` and so on tell what is there now. Reads are repeated.
///
/// Shape:   hash `<name>`: field = `Codec<K>`, value = `Codec<V>`. No other key, no expiry. Absent
///          when it has no entry. Stored in Redis since 0.1; changing it breaks running processes
///          of older versions.
/// Cost:    1 command in 1 round trip for every member that says nothing else.
/// Errors:  std::invalid_argument for an empty name. Unreachable, InDoubt; ServerError, whose code
///          is WRONGTYPE when the key is no hash; CodecError, naming map and field, for bytes that
///          are no K or V: they stay as they are. What a Codec of yours throws besides goes
///          through.
/// Threads: safe from several. A moved-from map may only be assigned to and destroyed.
/// Source:  src/lua/shared_map/, docs/maps.md; Redis documentation, "SCAN guarantees".
/// See examples/shared_map.cpp.
template <class K, class V>
class SharedMap {
  static_assert(
      Encodable<K>,
      "the key has no tandem::Codec: specialise tandem::Codec<K>, see <tandem/core/codec.hpp>");
  static_assert(Encodable<V> && Decodable<V>,
                "the value has no tandem::Codec that writes and reads it (text is kept as "
                "std::string): specialise "
                "tandem::Codec<V>, see <tandem/core/codec.hpp>");

 public:
  using key_type = detail::Kept<K>;
  using mapped_type = V;
  using value_type = std::pair<key_type, V>;

  /// No I/O yet.
  SharedMap(Client client, std::string name) : hash_{std::move(client), std::move(name)} {}

  [[nodiscard]] std::string const& name() const noexcept { return hash_.name(); }

  // -- one entry

  [[nodiscard]] std::optional<V> get(detail::Passed<K> key) const {
    auto const field = detail::encoded<K>(key);
    auto const reply = hash_.get(field);
    return value_of(field, reply.template as<std::optional<std::string_view>>());
  }

  /// Stores the entry, whether or not there was one.
  void set(detail::Passed<K> key, detail::Passed<V> value) {
    hash_.set(detail::encoded<K>(key), detail::encoded<V>(value));
  }

  /// The same if and only if `hold`, of a lock on the same server, is still held at that moment.
  ///
  /// Cost:    1 round trip, 1 command.
  /// Errors:  LockLost, and nothing was set.
  void set(detail::Passed<K> key, detail::Passed<V> value, Hold const& hold) {
    hash_.set(detail::encoded<K>(key), detail::encoded<V>(value), hold);
  }

  /// Stores the entry if there is none with this key; whether it did.
  bool insert(detail::Passed<K> key, detail::Passed<V> value) {
    return hash_.insert(detail::encoded<K>(key), detail::encoded<V>(value));
  }

  /// Whether there was one.
  bool erase(detail::Passed<K> key) { return hash_.erase(detail::encoded<K>(key)); }

  [[nodiscard]] bool contains(detail::Passed<K> key) const {
    return hash_.contains(detail::encoded<K>(key));
  }

  // -- atomic changes of one entry

  /// Stores what `change` makes of the entry, if nobody else changed it meanwhile; else calls
  /// `change` again with what is there now. Returns what was stored.
  ///
  /// `change` is given a std::optional<V>, empty when there is no such entry. It returns a V; or a
  /// std::optional<V>, of which an empty one erases the entry, and is then the result. When it
  /// leaves the bytes as they were, nothing is written. It may run several times, and may throw:
  /// then nothing was written.
  ///
  /// Cost:    2 round trips, HGET and a script; 1 more for each time that somebody else was first;
  ///          1 in all when nothing changes.
  /// Errors:  Conflict when others, or `change` itself, took until Options::command_timeout:
  ///          nothing was applied. InDoubt when the answer to the script was lost: the change was
  ///          applied once or not at all, and is never applied twice.
  template <class Change>
  requires detail::ChangeOf<Change, V>
  auto update(detail::Passed<K> key, Change&& change) {
    using Made = std::invoke_result_t<Change&, std::optional<V>>;
    auto const field = detail::encoded<K>(key);
    for (detail::HashUpdate entry{hash_, field};;) {
      auto before = value_of(field, entry.current());
      if constexpr (std::same_as<Made, std::optional<V>>) {
        auto after = change(std::move(before));
        if (after ? entry.try_store(detail::encoded<V>(*after)) : entry.try_erase()) return after;
      } else {
        auto after = static_cast<V>(change(std::move(before)));
        if (entry.try_store(detail::encoded<V>(after))) return after;
      }
    }
  }

  /// Stores `desired` if the entry is there and its bytes are those of `expected`; whether it did.
  [[nodiscard]] bool compare_exchange(detail::Passed<K> key, detail::Passed<V> expected,
                                      detail::Passed<V> desired) {
    return hash_.replace(detail::encoded<K>(key), detail::encoded<V>(expected),
                         detail::encoded<V>(desired));
  }

  /// Adds `n`, which may be negative, to the entry, or to 0 where there is none; returns the new
  /// value.
  ///
  /// Units:   a signed 64-bit sum, whatever V is; one that overflows it changes nothing and throws
  ///          ServerError.
  /// Errors:  CodecError when V cannot hold the sum, which is stored by then.
  V add(detail::Passed<K> key, std::int64_t n) requires detail::Integer<V> {
    auto const field = detail::encoded<K>(key);
    return detail::decoded<V>(hash_, field, Codec<long long>::encode(hash_.add(field, n)));
  }

  // -- many entries

  /// Stores all of `entries`, pairs of key and value, atomically; the last of those with the same
  /// key. None: no command.
  void set_many(std::initializer_list<std::pair<K, V>> entries) { set_all_of(entries); }
  template <class Entries>
  requires detail::EntriesOf<Entries, K, V>
  void set_many(Entries&& entries) { set_all_of(entries); }

  /// One answer for each of `keys`, in order, all read at one moment. No keys: no command.
  [[nodiscard]] std::vector<std::optional<V>> get_many(std::initializer_list<K> keys) const {
    return get_all_of(keys);
  }
  template <class Keys>
  requires detail::KeysOf<Keys, K>
  [[nodiscard]] std::vector<std::optional<V>> get_many(Keys&& keys) const {
    return get_all_of(keys);
  }

  /// Erases them atomically; how many there were. No keys: no command.
  std::size_t erase_many(std::initializer_list<K> keys) {
    return hash_.erase_many(fields_of(keys));
  }
  template <class Keys>
  requires detail::KeysOf<Keys, K> std::size_t erase_many(Keys&& keys) {
    return hash_.erase_many(fields_of(keys));
  }

  [[nodiscard]] std::size_t size() const { return hash_.size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }

  /// Deletes the hash. WRONGTYPE, and nothing deleted, when the key is none.
  void clear() { hash_.clear(); }

  // -- all entries

  /// Goes once over the entries, in no order. Single pass; move-only.
  ///
  /// An entry that is there from begin() to the end is seen exactly once, whatever others add and
  /// erase meanwhile and though the server may be restarted; one that comes or goes meanwhile is
  /// seen once or not at all. Each is as it was when its chunk was read. Keys and values are
  /// decoded by `*`: when that throws CodecError, `++` goes on behind the entry. After any other
  /// fault `++` may be tried again.
  ///
  /// Cost:    1 command (HSCAN) for a small map. For others about one for each 1000 entries, fewer
  ///          at a time where they are large, and twice INFO, whose run id tells of a restart
  ///          (where an ACL forbids INFO, entries may be missed after one); and memory for the
  ///          fields seen so far.
  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    using value_type = SharedMap::value_type;

    [[nodiscard]] value_type operator*() const {
      auto const field = scan_.field();
      return {detail::decoded<key_type>(scan_.hash(), field, field),
              detail::decoded<V>(scan_.hash(), field, scan_.value())};
    }
    Iterator& operator++() {
      scan_.next();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] friend bool operator==(Iterator const& it, std::default_sentinel_t) noexcept {
      return it.scan_.at_end();
    }

   private:
    friend SharedMap;
    explicit Iterator(detail::SharedHash const& hash) : scan_{hash} {}

    detail::HashScan scan_;
  };

  /// Reads the first chunk.
  [[nodiscard]] Iterator begin() const requires Decodable<key_type> { return Iterator{hash_}; }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  [[nodiscard]] std::optional<V> value_of(std::string_view field,
                                          std::optional<std::string_view> bytes) const {
    if (!bytes) return std::nullopt;
    return detail::decoded<V>(hash_, field, *bytes);
  }

  template <class Keys>
  static std::vector<std::string> fields_of(Keys& keys) {
    std::vector<std::string> out;
    if constexpr (requires { std::size(keys); }) out.reserve(std::size(keys));
    for (auto&& key : keys) out.emplace_back(detail::encoded<K>(key));
    return out;
  }

  template <class Keys>
  std::vector<std::optional<V>> get_all_of(Keys& keys) const {
    auto const fields = fields_of(keys);
    std::vector<std::optional<V>> out;
    if (fields.empty()) return out;
    out.reserve(fields.size());
    auto const reply = hash_.get_many(fields);
    for (std::size_t i = 0; i < fields.size(); ++i) {
      out.push_back(value_of(fields[i], reply[i].template as<std::optional<std::string_view>>()));
    }
    return out;
  }

  template <class Entries>
  void set_all_of(Entries& entries) {
    std::vector<std::string> words;
    if constexpr (requires { std::size(entries); }) words.reserve(2 * std::size(entries));
    for (auto&& entry : entries) {
      words.emplace_back(detail::encoded<K>(entry.first));
      words.emplace_back(detail::encoded<V>(entry.second));
    }
    hash_.set_many(words);
  }

  detail::SharedHash hash_;
};

}  // namespace tandem
