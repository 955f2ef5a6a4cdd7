#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/core/shared_hash.hpp>

namespace tandem {

/// What a CachedMap does while it is not told of changes: before it has begun to listen, and after
/// its connection for that was lost.
enum class WhenDisconnected {
  read_through,  ///< reads at the server, each time
  fail,          ///< throws Unreachable
  serve_stale    ///< goes on with what it has, up to its max_age, and reads the rest at the server
};

/// What a CachedMap keeps, and for how long.
struct CacheOptions {
  /// From 1 to 100 million. Memory for 8 to 16 bytes each is taken at once.
  std::size_t max_entries = 10'000;
  /// How long an entry is served without having been read again, from 1 ms to 1 day. Changes are
  /// told at once; this bounds what no message tells (see docs/maps.md, "What is not").
  std::chrono::milliseconds max_age{10'000};
  WhenDisconnected when_disconnected = WhenDisconnected::read_through;
};

namespace detail {

/// What a cache keeps of a field: what its bytes were made of, or why they could not be.
class CachedValue {
 public:
  CachedValue() = default;
  CachedValue(CachedValue const&) = delete;
  CachedValue& operator=(CachedValue const&) = delete;
  virtual ~CachedValue() = default;
};

/// One change of a field, as who made it tells.
struct CacheChange {
  std::string_view field;
  std::optional<std::string_view> before;
  std::optional<std::string_view> now;
};

/// A hash whose fields are kept in the process, as bytes that were decoded once. See CachedMap for
/// what each member promises.
class CachedHash {
 public:
  /// Makes what is kept of bytes; none: there is no such field. Called on the background thread,
  /// and does not throw but for want of memory.
  using Decode = std::function<std::unique_ptr<CachedValue const>(
      std::string_view field, std::optional<std::string_view> bytes)>;
  /// Told on the background thread; nullptr: something may have been missed.
  using Listener = std::function<void(CacheChange const*)>;

  CachedHash(Client client, std::string name, CacheOptions options, Decode decode);
  CachedHash(CachedHash const&) = delete;
  CachedHash& operator=(CachedHash const&) = delete;
  ~CachedHash();

  [[nodiscard]] SharedHash const& hash() const noexcept { return hash_; }

  /// A look at what is in memory. Keep it short: while it lives, memory that others let go stays.
  class Look {
   public:
    Look(CachedHash const& cache, std::string_view field);
    ~Look();
    Look(Look const&) = delete;
    Look& operator=(Look const&) = delete;

    /// None when it must be fetched. As long as the look lives.
    [[nodiscard]] CachedValue const* found() const noexcept { return found_; }

   private:
    alignas(8) unsigned char reading_[16];
    CachedValue const* found_ = nullptr;
  };

  using Value = std::shared_ptr<CachedValue const>;
  /// From the server, together with others that want it now; `anew`: asked after this call began.
  [[nodiscard]] std::vector<Value> fetch(std::span<std::string_view const> fields, bool anew) const;

  /// When a change is made.
  enum class If { always, absent, as_expected };
  struct Wish {
    If condition = If::always;
    std::optional<std::string_view> expected{};  // none: there is none
    std::optional<std::string_view> desired{};   // none: it is erased
    EntryOptions options{};
    bool keeps_end = false;
  };
  struct Outcome {
    bool done = false;
    std::optional<std::string> before{};  // where it was not done: what there is
    bool had = false;                     // whether there was one
  };
  [[nodiscard]] Outcome change(std::string_view field, Wish const& wish) const;
  [[nodiscard]] Outcome change(std::string_view field, Wish const& wish, Deadline deadline) const;
  [[nodiscard]] Deadline deadline() const;
  /// Throws Conflict when the deadline has passed.
  void refuse_if_over(Deadline deadline, std::string_view field) const;

  /// Waits until changes are told; whether they are.
  [[nodiscard]] bool await_told(Deadline deadline) const;

  [[nodiscard]] std::uint64_t listen(Listener listener) const;
  /// No call of the listener is under way after it returns, but where it is called from one.
  void unlisten(std::uint64_t number) const noexcept;

 private:
  class OfThisProcess;
  struct End {
    void operator()(OfThisProcess* mine) const noexcept;
  };

  [[nodiscard]] std::vector<Value> read_through(std::span<std::string_view const> fields) const;
  [[nodiscard]] bool begins_to_be_told(Deadline deadline) const;

  SharedHash hash_;
  CacheOptions options_;
  Decode decode_;
  std::unique_ptr<OfThisProcess, End> mine_;
};

}  // namespace detail
}  // namespace tandem
