#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/core/codec.hpp>
#include <tandem/core/shared_hash.hpp>
#include <tandem/hold.hpp>

namespace tandem {

namespace detail {

template <class T>
T decoded(SharedHash const& hash, std::string_view field, std::string_view bytes) {
  try {
    return Codec<T>::decode(bytes);
  } catch (CodecError const& error) {
    hash.refuse(field, error);
  }
}

}  // namespace detail

// -- the map --------------------------------------------------------------------------------------

/// A map that all processes see: one Redis hash of exactly this name.
///
///     tandem::SharedMap<std::string, std::int64_t> stock{redis, "stock"};
///     stock.set("apple", 3);
///     stock.update("apple", [](std::optional<std::int64_t> n) { return n.value_or(0) + 1; });
///     for (auto [key, value] : stock) { ... }
///
/// Every member acts on the server at once and on one entry or one request's worth of them
/// atomically; nothing is kept in the process. Other clients may use the same hash: `HGET stock
/// apple` reads 4. K and V are any types that have a `Codec`; a K of std::string_view is a
/// std::string wherever a key is given back.
///
/// An entry may have an end: `stock.set("promo", 1, {.ttl = 30s})`; once it is past, no member
/// shows the entry. What replaces an entry (`set`, `set_many`, another's HSET) takes its end away;
/// what changes it (`update`, `compare_exchange`, `add`) leaves it. The server's clock decides.
///
/// Take `Counter` for one number, and a `Transaction` or a `Script` where other keys take part.
///
/// Not promised: an order of the entries; a snapshot by iteration (it reads in chunks while others
/// write). Writes are sent once: when the answer to one is lost, InDoubt says that it may have
/// happened, and `contains`, `get` and so on tell what is there now. Reads are repeated.
///
/// Shape:   hash `<name>`: field = `Codec<K>`, value = `Codec<V>`, no expiry of the key; absent
///          when it has no entry. Of an entry with an end, on a server without HPEXPIRE (before
///          Redis 7.4 and Valkey 9), byte 1 and "until <end> <value>", by milliseconds of the
///          server's clock.
///          sorted set `{<name>}:ends`: fields that were given an end, by it; absent without any.
///          Stored in Redis since 0.1; changing it breaks running processes of older versions.
/// Cost:    1 command in 1 round trip for every member that says nothing else. On a server without
///          HPEXPIRE reading an entry that has an end is one more, for `get`, `get_many`, `update`
///          and each chunk of an iteration.
/// Errors:  std::invalid_argument for an empty name and for a ttl out of range. Unreachable,
///          InDoubt; ServerError, whose code is WRONGTYPE when the key is no hash; CodecError,
///          naming map and field, for bytes that are no K or V: they stay as they are. What a
///          Codec of yours throws besides goes through.
/// Threads: safe from several. A moved-from map may only be assigned to and destroyed.
/// Source:  src/lua/shared_map/, docs/maps.md; Redis documentation, "SCAN guarantees".
/// See examples/shared_map.cpp, examples/shared_map_steps.cpp.
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
    auto const value = hash_.get(field);
    return value_of(field, value.bytes);
  }

  /// Stores the entry, whether or not there was one.
  void set(detail::Passed<K> key, detail::Passed<V> value) {
    hash_.set(detail::encoded<K>(key), detail::encoded<V>(value));
  }

  /// The same, for a time: the entry ends when `ttl` has passed at the server.
  void set(detail::Passed<K> key, detail::Passed<V> value, EntryOptions options) {
    hash_.set(detail::encoded<K>(key), detail::encoded<V>(value), options);
  }

  /// The same if and only if `hold`, of a lock on the same server, is still held at that moment.
  ///
  /// Cost:    1 round trip, 1 command.
  /// Errors:  LockLost, and nothing was set.
  void set(detail::Passed<K> key, detail::Passed<V> value, Hold const& hold) {
    hash_.set(detail::encoded<K>(key), detail::encoded<V>(value), hold);
  }

  /// Stores the entry if there is none with this key; whether it did.
  bool insert(detail::Passed<K> key, detail::Passed<V> value, EntryOptions options = {}) {
    return hash_.insert(detail::encoded<K>(key), detail::encoded<V>(value), options);
  }

  /// Whether there was one.
  bool erase(detail::Passed<K> key) { return hash_.erase(detail::encoded<K>(key)); }

  [[nodiscard]] bool contains(detail::Passed<K> key) const {
    return hash_.contains(detail::encoded<K>(key));
  }

  /// How long the entry has, to the millisecond; empty when it has no end, or there is none.
  [[nodiscard]] std::optional<std::chrono::milliseconds> ttl(detail::Passed<K> key) const {
    return hash_.ttl(detail::encoded<K>(key));
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
  /// Cost:    2 round trips where the entry has an end and the server no HPEXPIRE.
  /// Units:   a signed 64-bit sum, whatever V is; one that overflows it changes nothing and throws
  ///          ServerError.
  /// Errors:  CodecError when V cannot hold the sum, which is stored by then.
  V add(detail::Passed<K> key, std::int64_t n) requires detail::Integer<V> {
    auto const field = detail::encoded<K>(key);
    return detail::decoded<V>(hash_, field, Codec<long long>::encode(hash_.add(field, n)));
  }

  // -- several entries

  /// What atomically() gives its function: the map as it is at one moment, with what was drafted.
  class Draft {
   public:
    [[nodiscard]] std::optional<V> get(detail::Passed<K> key) {
      auto const field = detail::encoded<K>(key);
      return map_.value_of(field, draft_.get(field));
    }
    [[nodiscard]] bool contains(detail::Passed<K> key) {
      return draft_.get(detail::encoded<K>(key)).has_value();
    }
    /// One answer for each of `keys`, in order, by one question.
    [[nodiscard]] std::vector<std::optional<V>> get_many(std::initializer_list<K> keys) {
      return get_all_of(keys);
    }
    template <class Keys>
    requires detail::KeysOf<Keys, K>
    [[nodiscard]] std::vector<std::optional<V>> get_many(Keys&& keys) { return get_all_of(keys); }

    void set(detail::Passed<K> key, detail::Passed<V> value, EntryOptions options = {}) {
      draft_.set(detail::encoded<K>(key), detail::encoded<V>(value), options);
    }
    void erase(detail::Passed<K> key) { draft_.erase(detail::encoded<K>(key)); }

   private:
    friend SharedMap;
    Draft(SharedMap const& map, detail::HashDraft& draft) : map_{map}, draft_{draft} {}

    template <class Keys>
    std::vector<std::optional<V>> get_all_of(Keys& keys) {
      auto const fields = fields_of(keys);
      draft_.read(fields);
      std::vector<std::optional<V>> out;
      out.reserve(fields.size());
      for (auto const& field : fields) out.push_back(map_.value_of(field, draft_.get(field)));
      return out;
    }

    SharedMap const& map_;
    detail::HashDraft& draft_;
  };

  /// Changes several entries in one step, if what was read on the way is still there; else calls
  /// `change` again. Returns what it returned.
  ///
  ///     stock.atomically([](auto& entries) {
  ///       auto const apples = entries.get("apple").value_or(0);
  ///       entries.set("apple", apples - 1);
  ///       entries.set("sold", entries.get("sold").value_or(0) + 1);
  ///     });
  ///
  /// All or nothing: nobody sees some of it. All that `change` reads, in one try, is of one moment;
  /// after what it has drafted, it reads that. It may run several times, and may throw: then
  /// nothing was written. Only the entries that it reads can be in the way, not what others do to
  /// the rest of the map. Up to 1,000 entries.
  ///
  /// Cost:    1 round trip for each read, 1 to write; nothing that was read is asked for again, but
  ///          what was read goes to the server with each later one, to be compared.
  /// Errors:  as update(): Conflict at the deadline, InDoubt when the answer to the last was lost:
  ///          all was applied once, or nothing. std::invalid_argument for more entries.
  template <class Change>
  requires std::invocable<Change&, Draft&>
  auto atomically(Change&& change) {
    using Made = std::invoke_result_t<Change&, Draft&>;
    for (detail::HashDraft draft{hash_};; draft.begin_again()) {
      try {
        Draft entries{*this, draft};
        if constexpr (std::is_void_v<Made>) {
          change(entries);
          if (draft.try_apply()) return;
        } else {
          auto made = change(entries);
          if (draft.try_apply()) return made;
        }
      } catch (detail::HashDraft::Changed const&) {
        // Its reads were of two moments.
      }
    }
  }

  // -- many entries, in requests of at most 1,000 entries, and 1 MiB of those that are stored;
  //    each has Options::command_timeout for itself

  /// Stores all of `entries`, pairs of key and value; the last of those with the same key. What
  /// fits one request (see above; a larger entry goes alone) is stored atomically. None: no
  /// command.
  ///
  /// Cost:    1 round trip and 1 command for each request.
  /// Errors:  those of a request; what went before it is stored.
  void set_many(std::initializer_list<std::pair<K, V>> entries) { set_all_of(entries); }
  template <class Entries>
  requires detail::EntriesOf<Entries, K, V>
  void set_many(Entries&& entries) { set_all_of(entries); }

  /// One answer for each of `keys`, in order; those of one request are read at one moment. Where an
  /// answer is larger than 4 MiB the next request asks for fewer. No keys: no command.
  [[nodiscard]] std::vector<std::optional<V>> get_many(std::initializer_list<K> keys) const {
    return get_all_of(keys);
  }
  template <class Keys>
  requires detail::KeysOf<Keys, K>
  [[nodiscard]] std::vector<std::optional<V>> get_many(Keys&& keys) const {
    return get_all_of(keys);
  }

  /// Erases them, atomically those of one request; how many there were. No keys: no command.
  std::size_t erase_many(std::initializer_list<K> keys) { return erase_all_of(keys); }
  template <class Keys>
  requires detail::KeysOf<Keys, K> std::size_t erase_many(Keys&& keys) {
    return erase_all_of(keys);
  }

  /// Cost:    1 command for each 1,000 entries that have ended and were not removed yet.
  [[nodiscard]] std::size_t size() const { return hash_.size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }

  /// Deletes the hash. WRONGTYPE, and nothing deleted, when the key is none.
  void clear() { hash_.clear(); }

  // -- all entries

  /// All entries as they are at one moment, in no order.
  ///
  /// Cost:    1 round trip; HGETALL, and MULTI, TIME, EXEC around it. All of it is in the memory of
  ///          server and process at once, and the server does nothing else meanwhile (a second for
  ///          some million entries): iterate over what is large.
  /// Errors:  CodecError when one entry cannot be read.
  [[nodiscard]] std::vector<value_type> snapshot() const requires Decodable<key_type> {
    detail::HashSnapshot const all{hash_};
    std::vector<value_type> out;
    out.reserve(all.entries().size());
    for (auto const& [field, value] : all.entries()) {
      out.emplace_back(detail::decoded<key_type>(hash_, field, field),
                       detail::decoded<V>(hash_, field, value));
    }
    return out;
  }

  /// Goes once over the entries, in no order. Single pass; move-only.
  ///
  /// An entry that is there from begin() to the end is seen exactly once, whatever others add and
  /// erase meanwhile and though the server may be restarted; one that comes or goes meanwhile is
  /// seen once or not at all. Each is as it was when its chunk was read. Keys and values are
  /// decoded by `*`: when that throws CodecError, `++` goes on behind the entry. After any other
  /// fault `++` may be tried again.
  ///
  /// In a map of more than 65,536 entries (or 16 MiB of keys) only the last so many are remembered:
  /// an entry may be seen twice where the map shrinks meanwhile to less than 1/65,536 of what it
  /// was; and when the server is restarted `++` throws Unreachable, and from there on shows all
  /// again.
  ///
  /// Cost:    1 command (HSCAN) for a small map. For others about one for each 1000 entries, fewer
  ///          at a time where they are large, and twice INFO, whose run id tells of a restart
  ///          (where an ACL forbids INFO, entries may be missed after one), or with each chunk
  ///          beyond 131,072 entries. Memory for one chunk, some 1 MiB, and the keys that are
  ///          remembered.
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
    out.reserve(fields.size());
    for (detail::HashReads reads{hash_, fields}; reads.next();) {
      for (std::size_t i = 0; i < reads.fields().size(); ++i)
        out.push_back(value_of(reads.fields()[i], reads.values()[i]));
    }
    return out;
  }

  template <class Entries>
  void set_all_of(Entries& entries) {
    detail::HashWrites writes{hash_};
    for (auto&& entry : entries)
      writes.set(detail::encoded<K>(entry.first), detail::encoded<V>(entry.second));
    writes.finish();
  }

  template <class Keys>
  std::size_t erase_all_of(Keys& keys) {
    detail::HashWrites writes{hash_};
    for (auto&& key : keys) writes.erase(detail::encoded<K>(key));
    return writes.finish();
  }

  detail::SharedHash hash_;
};

}  // namespace tandem
