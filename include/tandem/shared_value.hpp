#pragma once

#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <tandem/client.hpp>
#include <tandem/core/codec.hpp>
#include <tandem/core/shared_key.hpp>
#include <tandem/hold.hpp>

namespace tandem {

// -- the same in bytes: what SharedValue<T> says to the server ------------------------------------

namespace detail {

/// One string of the server, as bytes. See SharedValue for what each member promises.
class SharedBytes {
 public:
  SharedBytes(Client client, std::string name)
      : key_{std::move(client), std::move(name), "value"} {}

  [[nodiscard]] SharedKey const& key() const noexcept { return key_; }

  [[nodiscard]] std::optional<std::string> get() const;
  void set(std::string_view value);
  void set(std::string_view value, Hold const& hold);
  [[nodiscard]] bool insert(std::string_view value);
  bool erase();
  [[nodiscard]] bool replace(std::string_view expected, std::string_view desired);

 private:
  friend class ValueUpdate;

  [[nodiscard]] Reply change(std::optional<std::string_view> expected,
                             std::optional<std::string_view> desired, Deadline deadline) const;

  SharedKey key_;
};

/// The value on its way from what it was to what it shall be.
class ValueUpdate {
 public:
  /// Reads it. `value` must outlive this.
  explicit ValueUpdate(SharedBytes const& value);

  [[nodiscard]] std::optional<std::string> const& current() const noexcept { return current_; }

  /// Whether it is now as desired; none: erased. If not, current() is what somebody else made of it.
  /// Throws Conflict when the deadline that began with the construction has passed.
  [[nodiscard]] bool try_change(std::optional<std::string_view> desired);

 private:
  SharedBytes const& value_;
  Deadline deadline_;
  std::optional<std::string> current_;
};

/// One thread's wait for what becomes of the value.
class ValueWatch {
 public:
  /// `value` must outlive this.
  explicit ValueWatch(SharedBytes const& value);
  ValueWatch(ValueWatch const&) = delete;
  ValueWatch& operator=(ValueWatch const&) = delete;
  ~ValueWatch();

  /// What it is, first as it is now, then each time as it has become; some that were soon followed
  /// by others are passed over. Nothing at the deadline, or when stop is requested.
  struct Seen {
    std::optional<std::string> bytes;
  };
  [[nodiscard]] std::optional<Seen> next(Deadline deadline, std::stop_token const& stop);

 private:
  class Watched;
  SharedBytes const& value_;
  std::unique_ptr<Watched> watched_{};  // from the second look on
  bool looked_ = false;
};

}  // namespace detail

// -- the value ------------------------------------------------------------------------------------

/// One value that all processes see: a Redis string of exactly this name.
///
///     tandem::SharedValue<Price> rate{redis, "rate"};
///     rate.set({"EUR", 1.08});
///     rate.update([](std::optional<Price> now) { ... });
///     Price const news = rate.wait_until([](Price const& now) { return now.amount > 1.1; });
///
/// Every member acts on the server at once, atomically; nothing is kept in the process. Other
/// clients may use the same key: `GET rate`. T is any type that has a `Codec`.
///
/// Take `Counter` for a number that is added to, and `SharedMap` for many values.
///
/// Not promised: that a wait sees each value; where several follow soon on one another it sees the
/// last. Writes are sent once: when the answer to one is lost, InDoubt says that it may have
/// happened, and `get` tells what is there now.
///
/// Shape:   string `<name>` = `Codec<T>`; absent when there is no value. No expiry.
/// Cost:    1 command in 1 round trip for every member that says nothing else.
/// Errors:  std::invalid_argument for an empty name. Unreachable, InDoubt; ServerError, whose code
///          is WRONGTYPE when the key is no string; CodecError, naming the value, for bytes that are
///          no T: they stay as they are.
/// Threads: safe from several. A moved-from value may only be assigned to and destroyed.
/// Source:  src/lua/shared_value/, src/sharing/key_watch.hpp; Redis documentation, "Client-side
///          caching".
/// See examples/shared_value.cpp.
template <class T>
class SharedValue {
  static_assert(Encodable<T> && Decodable<T>,
                "the value has no tandem::Codec that writes and reads it (text is kept as "
                "std::string): specialise tandem::Codec<T>, see <tandem/core/codec.hpp>");

 public:
  using value_type = T;

  /// No I/O yet.
  SharedValue(Client client, std::string name) : bytes_{std::move(client), std::move(name)} {}

  [[nodiscard]] std::string const& name() const noexcept { return bytes_.key().name(); }

  /// Empty when there is none.
  [[nodiscard]] std::optional<T> get() const { return value_of(bytes_.get()); }

  void set(T const& value) { bytes_.set(Codec<T>::encode(value)); }

  /// The same if and only if `hold`, of a lock on the same server, is still held at that moment.
  ///
  /// Errors:  LockLost, and nothing was set.
  void set(T const& value, Hold const& hold) { bytes_.set(Codec<T>::encode(value), hold); }

  /// Stores the value if there is none; whether it did.
  bool insert(T const& value) { return bytes_.insert(Codec<T>::encode(value)); }

  /// Whether there was one.
  bool erase() { return bytes_.erase(); }

  /// Stores what `change` makes of the value, if nobody else changed it meanwhile; else calls
  /// `change` again with what is there now. As SharedMap::update.
  ///
  /// Cost:    2 round trips, GET and a script; 1 more for each time that somebody else was first; 1
  ///          in all when nothing changes.
  /// Errors:  Conflict when others, or `change` itself, took until Options::command_timeout: nothing
  ///          was applied.
  template <class Change>
  requires detail::ChangeOf<Change, T>
  auto update(Change&& change) {
    using Made = std::invoke_result_t<Change&, std::optional<T>>;
    for (detail::ValueUpdate value{bytes_};;) {
      auto before = value_of(value.current());
      if constexpr (std::same_as<Made, std::optional<T>>) {
        auto after = change(std::move(before));
        bool const done = after ? value.try_change(std::string_view{Codec<T>::encode(*after)})
                                : value.try_change(std::nullopt);
        if (done) return after;
      } else {
        auto after = static_cast<T>(change(std::move(before)));
        if (value.try_change(std::string_view{Codec<T>::encode(after)})) return after;
      }
    }
  }

  /// Stores `desired` if the value is there and its bytes are those of `expected`; whether it did.
  [[nodiscard]] bool compare_exchange(T const& expected, T const& desired) {
    return bytes_.replace(Codec<T>::encode(expected), Codec<T>::encode(desired));
  }

  /// Waits until there is a value for which `predicate` is true, and returns it. The server tells
  /// when the value changes, whoever changes it. While the server is away the wait goes on.
  ///
  /// Cost:    1 round trip when it is true already. Else the background thread reads the value once,
  ///          and once more after each change; for all threads of the client that wait for it. A
  ///          server that does not track keys (RESP2, an ACL) is asked once a second.
  /// Errors:  what the predicate throws; ServerError, CodecError as above.
  template <std::predicate<T const&> Predicate>
  [[nodiscard]] T wait_until(Predicate&& predicate) const {
    return *look_for(predicate, Deadline::max(), {});
  }
  /// The same; empty at the deadline, or when stop is requested.
  template <std::predicate<T const&> Predicate>
  [[nodiscard]] std::optional<T> wait_until(Predicate&& predicate, Deadline deadline) const {
    return look_for(predicate, deadline, {});
  }
  template <std::predicate<T const&> Predicate>
  [[nodiscard]] std::optional<T> wait_until(Predicate&& predicate, std::stop_token stop) const {
    return look_for(predicate, Deadline::max(), stop);
  }
  template <std::predicate<T const&> Predicate, class Rep, class Period>
  [[nodiscard]] std::optional<T> wait_for(Predicate&& predicate,
                                          std::chrono::duration<Rep, Period> longest) const {
    return look_for(predicate, detail::deadline_in(longest), {});
  }

 private:
  [[nodiscard]] std::optional<T> value_of(std::optional<std::string> const& bytes) const {
    if (!bytes) return std::nullopt;
    return bytes_.key().template decoded<T>(*bytes);
  }

  template <class Predicate>
  [[nodiscard]] std::optional<T> look_for(Predicate& predicate, Deadline deadline,
                                          std::stop_token const& stop) const {
    detail::ValueWatch watch{bytes_};
    while (auto const seen = watch.next(deadline, stop)) {
      auto value = value_of(seen->bytes);
      if (value && predicate(std::as_const(*value))) return value;
    }
    return std::nullopt;
  }

  detail::SharedBytes bytes_;
};

}  // namespace tandem
