#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <tandem/core/cached_hash.hpp>

namespace tandem::detail {

/// What is known of one field. Never changed once it can be found: another takes its place.
struct CacheEntry {
  std::string field;
  std::shared_ptr<CachedValue const> value;
  std::uint64_t change = 0;     // the number of the change after which it was so
  std::int64_t good_until = 0;  // of coarse_clock(), in nanoseconds
};

/// Nanoseconds of a clock that is read in a moment and is up to some milliseconds late.
[[nodiscard]] std::int64_t coarse_clock() noexcept;
/// By how much it may be late: a tick of the slowest kernels, and some.
inline constexpr std::int64_t coarse_clock_lag = 12'000'000;

/// At most so many entries, found without a lock while others are put and taken away.
///
/// Which entry goes when there are too many is decided by SIEVE: entries stand in the order in which
/// they came; a hand goes from the oldest to the newest, spares those that were found since it last
/// passed, and takes the first that was not. For a cache it beats LRU, and to find an entry writes
/// one bit at most.
///
/// Threads: find from any that is Reading. The rest by one at a time.
/// Source:  Y. Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024.
class EntryTable {
 public:
  explicit EntryTable(std::size_t most);
  EntryTable(EntryTable const&) = delete;
  EntryTable& operator=(EntryTable const&) = delete;
  /// Nobody reads it any more.
  ~EntryTable();

  /// None when there is none, or it is good no longer.
  [[nodiscard]] CacheEntry const* find(std::string_view field) const noexcept;

  /// The same for who changes the table: no reader, and no use that keeps an entry.
  [[nodiscard]] CacheEntry const* look(std::string_view field) const noexcept;
  /// In the place of what there was.
  void put(CacheEntry entry);
  void erase(std::string_view field);
  void clear();

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct Node {
    CacheEntry entry;
    std::size_t hash;
    std::atomic<Node*> next = nullptr;  // in its bucket
    std::atomic<bool> found = false;
    // Of who changes the table.
    Node* newer = nullptr;
    Node* older = nullptr;
    std::uint64_t stamp = 0;  // of its removal
  };

  [[nodiscard]] std::atomic<Node*>* link_to(std::size_t hash, std::string_view field) noexcept;
  [[nodiscard]] Node* node(std::size_t hash, std::string_view field) const noexcept;
  void evict();
  void unlink(Node& node) noexcept;
  void leave_order(Node& node) noexcept;
  void retire(Node& node) noexcept;
  void destroy_what_nobody_reads() noexcept;

  std::size_t const most_;
  std::size_t const mask_;
  std::unique_ptr<std::atomic<Node*>[]> buckets_;
  std::size_t size_ = 0;
  Node* newest_ = nullptr;
  Node* oldest_ = nullptr;
  Node* hand_ = nullptr;
  // Taken away, and not destroyed yet: the first of them first, chained by `newer`.
  Node* first_retired_ = nullptr;
  Node* last_retired_ = nullptr;
  std::size_t retired_ = 0;
};

}  // namespace tandem::detail
