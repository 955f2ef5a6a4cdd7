#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/core/cached_hash.hpp>
#include <tandem/core/codec.hpp>
#include <tandem/core/shared_hash.hpp>

namespace tandem {

/// A SharedMap whose entries are kept in the process: reading one that is there asks nobody.
///
///     tandem::CachedMap<std::string, Price> near{redis, "prices"};
///     near.get("EUR");                      // from memory, until somebody changes it
///     near.set("EUR", {"EUR", 1.09});       // told to all others at once
///     auto watch = near.on_change([](auto const& change) { ... });
///
/// It is the same hash that a SharedMap of this name has. Whoever changes an entry through a
/// CachedMap tells all others what it is now; what somebody else changes (a SharedMap, HSET) the
/// server tells of, and then all entries are forgotten, for it does not tell which. So change by
/// CachedMap what is read by it.
///
/// What a thread reads never goes back to an older value, and it reads what it wrote. Entries that
/// are not there are remembered, too. For what is promised exactly, and what is not, see
/// docs/maps.md, "In the process".
///
/// Copies share one cache. In the child of a fork it begins empty, and no watch of the parent hears.
///
/// Shape:   hash `<name>` and `{<name>}:ends` as SharedMap; string `{<name>}:changes` = number of
///          changes that were told, without expiry; channel `tandem:{<name>}:changes`.
/// Cost:    get() of what is there: no command, no lock, no allocation but the copy of a V. Else 1
///          round trip. A client that has a CachedMap keeps a connection to listen; after changes
///          it reads two keys again to be told of the next (1 round trip in the background). Memory:
///          about 200 bytes an entry, its key, and a V.
/// Errors:  those of SharedMap. Unreachable from get() where CacheOptions::when_disconnected is
///          fail. std::invalid_argument for options out of range. Changes are sent once: InDoubt.
/// Threads: safe from several; get() from any number at once. Codec<V>::decode and what on_change is
///          given are called on the client's background thread.
/// Source:  src/caching/, src/lua/cached_map/; Redis documentation, "Client-side caching".
/// See examples/cached_map.cpp.
template <class K, class V>
class CachedMap {
  static_assert(Encodable<K> && Decodable<detail::Kept<K>>,
                "the key has no tandem::Codec that writes and reads it: specialise "
                "tandem::Codec<K>, see <tandem/core/codec.hpp>");
  static_assert(Encodable<V> && Decodable<V>,
                "the value has no tandem::Codec that writes and reads it (text is kept as "
                "std::string): specialise tandem::Codec<V>, see <tandem/core/codec.hpp>");
  static_assert(std::copy_constructible<V>, "what is kept is given out as copies");

 public:
  using key_type = detail::Kept<K>;
  using mapped_type = V;

  /// No I/O yet.
  CachedMap(Client client, std::string name, CacheOptions options = {})
      : cache_{std::make_shared<detail::CachedHash>(std::move(client), std::move(name), options,
                                                    &CachedMap::decode_entry)} {}

  [[nodiscard]] std::string const& name() const noexcept { return cache_->hash().name(); }

  // -- reading

  [[nodiscard]] std::optional<V> get(detail::Passed<K> key) const {
    auto const field = detail::encoded<K>(key);
    {
      detail::CachedHash::Look const look{*cache_, field};
      if (look.found() != nullptr) return value_of(field, *look.found());
    }
    return fetched(field, false);
  }

  [[nodiscard]] bool contains(detail::Passed<K> key) const {
    auto const field = detail::encoded<K>(key);
    {
      detail::CachedHash::Look const look{*cache_, field};
      if (look.found() != nullptr) return entry_of(*look.found()).is_there();
    }
    std::string_view const fields[] = {field};
    return entry_of(*cache_->fetch(fields, false)[0]).is_there();
  }

  /// What the server says now; the cache has it from then on.
  ///
  /// Cost:    1 round trip.
  [[nodiscard]] std::optional<V> get_fresh(detail::Passed<K> key) const {
    return fetched(detail::encoded<K>(key), true);
  }

  /// One answer for each of `keys`, in order. They need not be of one moment.
  ///
  /// Cost:    1 round trip for those that are not there, 1 command for each 256.
  [[nodiscard]] std::vector<std::optional<V>> get_many(std::initializer_list<K> keys) const {
    return get_all_of(keys);
  }
  template <class Keys>
  requires detail::KeysOf<Keys, K>
  [[nodiscard]] std::vector<std::optional<V>> get_many(Keys&& keys) const {
    return get_all_of(keys);
  }

  // -- changing; each 1 round trip, a script. The first waits, 200 ms at most, until this process is
  //    told of changes

  /// Stores the entry, whether or not there was one.
  void set(detail::Passed<K> key, detail::Passed<V> value, EntryOptions options = {}) {
    auto const bytes = detail::encoded<V>(value);
    (void)cache_->change(detail::encoded<K>(key), {.desired = bytes, .options = options});
  }

  /// Stores the entry if there is none with this key; whether it did.
  bool insert(detail::Passed<K> key, detail::Passed<V> value, EntryOptions options = {}) {
    auto const bytes = detail::encoded<V>(value);
    using If = detail::CachedHash::If;
    return cache_
        ->change(detail::encoded<K>(key),
                 {.condition = If::absent, .desired = bytes, .options = options})
        .done;
  }

  /// Whether there was one.
  bool erase(detail::Passed<K> key) { return cache_->change(detail::encoded<K>(key), {}).had; }

  /// Stores what `change` makes of the entry, if nobody else changed it meanwhile; else calls
  /// `change` again with what is there now. As SharedMap::update, but begins with what the cache
  /// has.
  ///
  /// Cost:    1 round trip when the cache has the entry as it is; 1 more for each time that somebody
  ///          else was first.
  /// Errors:  Conflict when others, or `change` itself, took until Options::command_timeout: nothing
  ///          was applied. InDoubt when the answer was lost: applied once or not at all.
  template <class Change>
  requires detail::ChangeOf<Change, V>
  auto update(detail::Passed<K> key, Change&& change) {
    using Made = std::invoke_result_t<Change&, std::optional<V>>;
    auto const field = detail::encoded<K>(key);
    auto const deadline = cache_->deadline();
    auto const encode = [](std::optional<V> const& value) -> std::optional<std::string> {
      if (!value) return std::nullopt;
      return std::string{std::string_view{Codec<V>::encode(*value)}};
    };
    for (auto [before, bytes] = first_look(field);;) {
      std::optional<V> const after = change(std::exchange(before, std::nullopt));
      auto const desired = encode(after);
      bool const changes_nothing = desired == bytes;
      detail::CachedHash::Outcome outcome{.done = true};
      if (!changes_nothing)
        outcome = cache_->change(field,
                                 {.condition = detail::CachedHash::If::as_expected,
                                  .expected = bytes,
                                  .desired = desired,
                                  .keeps_end = true},
                                 deadline);
      if (outcome.done) {
        if constexpr (std::same_as<Made, std::optional<V>>) {
          return after;
        } else {
          return *after;
        }
      }
      cache_->refuse_if_over(deadline, field);
      bytes = std::move(outcome.before);
      if (bytes) before.emplace(decoded(field, *bytes));
    }
  }

  /// Stores `desired` if the entry is there and its bytes are those of `expected`; whether it did.
  [[nodiscard]] bool compare_exchange(detail::Passed<K> key, detail::Passed<V> expected,
                                      detail::Passed<V> desired) {
    auto const before = detail::encoded<V>(expected);
    auto const after = detail::encoded<V>(desired);
    return cache_
        ->change(detail::encoded<K>(key), {.condition = detail::CachedHash::If::as_expected,
                                           .expected = before,
                                           .desired = after,
                                           .keeps_end = true})
        .done;
  }

  // -- hearing of changes

  /// What on_change() is told.
  struct Change {
    /// Changes may have been missed, or one was made of which nobody tells what it was: look anew at
    /// whatever matters. The rest is empty then.
    bool resync = false;
    key_type key{};
    std::optional<V> before{};
    std::optional<V> now{};
  };

  /// As long as it lives, changes are told. Movable.
  class Watch {
   public:
    Watch(Watch&& other) noexcept = default;
    Watch& operator=(Watch&& other) noexcept {
      end();
      cache_ = std::move(other.cache_);
      number_ = other.number_;
      return *this;
    }
    /// No call is under way when it returns, but where it is destroyed in one.
    ~Watch() { end(); }

   private:
    friend CachedMap;
    Watch(std::shared_ptr<detail::CachedHash> cache, std::uint64_t number)
        : cache_{std::move(cache)}, number_{number} {}
    void end() noexcept {
      if (auto const cache = std::exchange(cache_, nullptr)) cache->unlisten(number_);
    }

    std::shared_ptr<detail::CachedHash> cache_;
    std::uint64_t number_;
  };

  /// Calls `listener` with each Change that is made through a CachedMap, anybody's, in the order in
  /// which they were made, and with a resync for all others and after each gap. Returns when it has
  /// begun to be told, or cannot be by Options::command_timeout: a resync follows when it is.
  ///
  /// The listener runs on the client's background thread: it should be short. What it throws goes to
  /// Options::on_error. Changes of more than 64 KiB, before and after together, are a resync.
  [[nodiscard]] Watch on_change(std::function<void(Change const&)> listener) {
    auto const number = cache_->listen(
        [listener = std::move(listener), name = name()](detail::CacheChange const* told) {
          if (told == nullptr) return listener(Change{.resync = true});
          listener(change_of(name, *told));
        });
    Watch out{cache_, number};
    (void)cache_->await_told(cache_->deadline());
    return out;
  }

  /// Waits until this process is told of changes and so keeps what it reads; whether it is. The
  /// first read begins with that in the background.
  [[nodiscard]] bool await_told(Deadline deadline) const { return cache_->await_told(deadline); }

 private:
  /// What is kept of a field.
  class Entry final : public detail::CachedValue {
   public:
    explicit Entry(std::optional<std::string_view> bytes) {
      if (!bytes) return;
      try {
        value_.emplace(Codec<V>::decode(*bytes));
      } catch (...) {
        fault_ = std::current_exception();
      }
    }
    [[nodiscard]] bool is_there() const noexcept { return value_ || fault_; }
    [[nodiscard]] std::optional<V> value() const {
      if (fault_) std::rethrow_exception(fault_);
      return value_;
    }

   private:
    std::optional<V> value_{};
    std::exception_ptr fault_{};
  };

  static std::unique_ptr<detail::CachedValue const> decode_entry(
      std::string_view /*field*/, std::optional<std::string_view> bytes) {
    return std::make_unique<Entry>(bytes);
  }
  [[nodiscard]] static Change change_of(std::string_view name, detail::CacheChange const& told) {
    try {
      Change out{.key = Codec<key_type>::decode(told.field)};
      if (told.before) out.before.emplace(Codec<V>::decode(*told.before));
      if (told.now) out.now.emplace(Codec<V>::decode(*told.now));
      return out;
    } catch (CodecError const& error) {
      throw detail::codec_error_in(name, told.field, error);
    }
  }
  [[nodiscard]] static Entry const& entry_of(detail::CachedValue const& value) noexcept {
    return static_cast<Entry const&>(value);
  }
  [[nodiscard]] std::optional<V> value_of(std::string_view field,
                                          detail::CachedValue const& value) const {
    try {
      return entry_of(value).value();
    } catch (CodecError const& error) {
      cache_->hash().refuse(field, error);
    }
  }
  [[nodiscard]] V decoded(std::string_view field, std::string_view bytes) const {
    try {
      return Codec<V>::decode(bytes);
    } catch (CodecError const& error) {
      cache_->hash().refuse(field, error);
    }
  }

  [[nodiscard]] std::optional<V> fetched(std::string_view field, bool anew) const {
    std::string_view const fields[] = {field};
    return value_of(field, *cache_->fetch(fields, anew)[0]);
  }

  /// The value, and the bytes that it is taken for: where they are others, the server says so.
  [[nodiscard]] std::pair<std::optional<V>, std::optional<std::string>> first_look(
      std::string_view field) const {
    std::pair<std::optional<V>, std::optional<std::string>> out;
    bool found = false;
    {
      detail::CachedHash::Look const look{*cache_, field};
      found = look.found() != nullptr;
      if (found) out.first = value_of(field, *look.found());
    }
    if (!found) out.first = fetched(field, false);
    if (out.first) out.second.emplace(std::string_view{Codec<V>::encode(*out.first)});
    return out;
  }

  template <class Keys>
  std::vector<std::optional<V>> get_all_of(Keys& keys) const {
    std::vector<std::optional<V>> out;
    std::vector<std::string> fields;
    std::vector<std::size_t> missing;
    for (auto&& key : keys) {
      fields.emplace_back(detail::encoded<K>(key));
      detail::CachedHash::Look const look{*cache_, fields.back()};
      out.emplace_back();
      if (look.found() != nullptr) {
        out.back() = value_of(fields.back(), *look.found());
      } else {
        missing.push_back(out.size() - 1);
      }
    }
    std::vector<std::string_view> wanted;
    for (auto const i : missing) wanted.push_back(fields[i]);
    if (wanted.empty()) return out;
    auto const values = cache_->fetch(wanted, false);
    for (std::size_t i = 0; i < missing.size(); ++i)
      out[missing[i]] = value_of(wanted[i], *values[i]);
    return out;
  }

  std::shared_ptr<detail::CachedHash> cache_;
};

}  // namespace tandem
