#pragma once

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/core/error.hpp>
#include <tandem/core/shared_key.hpp>
#include <tandem/hold.hpp>

namespace tandem {

/// What an entry is stored with.
struct EntryOptions {
  /// The entry is there for so long, from 1 ms to 36,500 days; none: until it is erased.
  std::optional<std::chrono::milliseconds> ttl{};
};

namespace detail {

/// EntryOptions::ttl, 0 for none. Throws std::invalid_argument.
[[nodiscard]] long long milliseconds_of(EntryOptions options);

/// `error` with the map and the field in its text.
[[nodiscard]] CodecError codec_error_in(std::string_view map, std::string_view field,
                                        CodecError const& error);

/// One value, and the reply that it lies in.
struct HashValue {
  Reply reply;
  std::optional<std::string_view> bytes{};
};

/// One Redis hash, its fields and values as bytes. See SharedMap for what each member promises.
class SharedHash {
 public:
  SharedHash(Client client, std::string name);

  [[nodiscard]] std::string const& name() const noexcept { return key_.name(); }
  [[nodiscard]] Client const& client() const noexcept { return key_.client(); }

  [[nodiscard]] HashValue get(std::string_view field) const;
  [[nodiscard]] bool contains(std::string_view field) const;
  [[nodiscard]] std::optional<std::chrono::milliseconds> ttl(std::string_view field) const;
  [[nodiscard]] std::size_t size() const;

  void set(std::string_view field, std::string_view value);
  void set(std::string_view field, std::string_view value, EntryOptions options);
  void set(std::string_view field, std::string_view value, Hold const& hold);
  [[nodiscard]] bool insert(std::string_view field, std::string_view value, EntryOptions options);
  bool erase(std::string_view field);
  void clear();
  [[nodiscard]] bool replace(std::string_view field, std::string_view expected,
                             std::string_view desired);
  long long add(std::string_view field, long long n);

  /// Throws `error` again, with the map and the field in its text.
  [[noreturn]] void refuse(std::string_view field, CodecError const& error) const;

 private:
  friend class HashDraft;
  friend class HashReads;
  friend class HashScan;
  friend class HashSnapshot;
  friend class HashUpdate;
  friend class HashWrites;

  [[nodiscard]] Reply run(Script const& script, std::span<Argument const> arguments) const;
  [[nodiscard]] Reply run(Script const& script, std::span<Argument const> arguments,
                          Deadline deadline) const;
  [[nodiscard]] Reply change(std::string_view field, std::optional<std::string_view> expected,
                             std::optional<std::string_view> desired, Deadline deadline) const;

  SharedKey key_;
  std::string ends_;  // the key of the fields that were given an end
};

// -- many entries, request by request -------------------------------------------------------------

/// The values of many fields, in requests of bounded size.
class HashReads {
 public:
  /// Both must outlive this.
  HashReads(SharedHash const& hash, std::span<std::string const> fields)
      : hash_{hash}, rest_{fields} {}

  /// Asks for the next ones; false when there are none.
  [[nodiscard]] bool next();
  [[nodiscard]] std::span<std::string const> fields() const noexcept { return fields_; }
  /// Those of fields(), in order; until next().
  [[nodiscard]] std::span<std::optional<std::string_view> const> values() const noexcept {
    return values_;
  }

 private:
  SharedHash const& hash_;
  std::span<std::string const> rest_;
  std::span<std::string const> fields_{};
  std::size_t most_ = 1000;
  std::optional<Reply> reply_{};
  std::vector<std::optional<std::string_view>> values_{};
};

/// Entries that are stored or erased, in requests of bounded size.
class HashWrites {
 public:
  explicit HashWrites(SharedHash& hash) : hash_{hash} {}

  void set(std::string_view field, std::string_view value);
  void erase(std::string_view field);
  /// Sends what is left. How many were erased.
  std::size_t finish();

 private:
  void make_room(std::size_t bytes);
  void send();

  SharedHash& hash_;
  std::vector<std::string> words_{};
  std::size_t entries_ = 0;
  std::size_t bytes_ = 0;
  bool erases_ = false;
  std::size_t erased_ = 0;
};

// -- changes that depend on what is there ---------------------------------------------------------

/// An entry on its way from what it was to what it shall be.
class HashUpdate {
 public:
  /// Reads the entry. Both must outlive this.
  HashUpdate(SharedHash const& hash, std::string_view field);

  [[nodiscard]] std::optional<std::string_view> current() const noexcept { return now_.bytes; }

  /// Whether the entry is now as desired. If not, current() is what somebody else made of it.
  /// Throws Conflict when the deadline that began with the construction has passed.
  [[nodiscard]] bool try_store(std::string_view desired) { return try_change(desired); }
  [[nodiscard]] bool try_erase() { return try_change(std::nullopt); }

 private:
  bool try_change(std::optional<std::string_view> desired);

  SharedHash const& hash_;
  std::string_view field_;
  Deadline deadline_;
  HashValue now_;
  int tries_ = 0;
};

/// Several entries that are read and then changed in one step.
class HashDraft {
 public:
  /// Thrown by reads when others have changed what was read before. No fault: it ends this try.
  struct Changed {};

  /// The hash must outlive this.
  explicit HashDraft(SharedHash const& hash);

  /// As they are now, or as they were drafted; all reads of a try are of one moment. A view lives
  /// as long as the try.
  [[nodiscard]] std::optional<std::string_view> get(std::string_view field);
  /// Reads those that were not read before, with one question.
  void read(std::span<std::string const> fields);
  void set(std::string_view field, std::string_view value, EntryOptions options);
  void erase(std::string_view field);

  /// Whether all was applied. If not, nothing was: begin_again(). Both throw Conflict when the
  /// deadline that began with the construction has passed.
  [[nodiscard]] bool try_apply();
  void begin_again();

 private:
  void throw_if_over() const;

  struct Write;
  struct State;
  struct End {
    void operator()(State* state) const noexcept;
  };

  SharedHash const& hash_;
  Deadline deadline_;
  std::unique_ptr<State, End> state_;
  int tries_ = 0;
};

// -- all entries ----------------------------------------------------------------------------------

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

/// All entries of a hash at one moment.
class HashSnapshot {
 public:
  explicit HashSnapshot(SharedHash const& hash);

  /// Field and value, in no order; as long as this lives.
  [[nodiscard]] std::span<std::pair<std::string_view, std::string_view> const> entries()
      const noexcept {
    return entries_;
  }

 private:
  std::optional<Reply> reply_{};
  std::vector<std::pair<std::string_view, std::string_view>> entries_{};
};

}  // namespace detail
}  // namespace tandem
