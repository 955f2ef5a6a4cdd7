#pragma once

#include <atomic>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tandem::detail {

class Segment;

/// What one object has added, in memory that outlives its process, and what of it was sent.
///
/// All numbers of what is added only ever move on, round the clock of 64 bits, and nothing is ever
/// moved from one place to another: what is gathered is what was added less what was taken into
/// parcels. So there is one step only that changes more than one number, note(), and that one
/// writes beside what holds and then lets it hold, by one store. Whoever dies, on whatever line,
/// leaves an account that holds each add once; and whoever goes on with it does what its owner
/// would have done next.
///
/// Threads: its owner's lock is held, but for what is done to a cell.
class Account {
 public:
  /// More threads than this, at the same time, have no cell of their own.
  static constexpr std::size_t most_cells = 253;
  using Cell = std::atomic<std::uint64_t>;
  static_assert(Cell::is_always_lock_free, "it is shared between processes");

  /// The parcel in hand, or the last one; and what was taken into parcels up to it.
  struct Record {
    std::uint64_t sequence = 0;
    std::uint64_t taken = 0;
    std::int64_t in_hand = 0;     // 0: none is
    std::int64_t first_sent = 0;  // nanoseconds since_boot()
  };

  /// It lies in the segment, at that place, and is this process's.
  Account(std::shared_ptr<Segment> segment, std::size_t place);
  Account(Account const&) = delete;
  Account& operator=(Account const&) = delete;
  // Who has not said what becomes of it keeps it until the process ends.
  ~Account() = default;

  void begin(std::string_view sender, std::chrono::milliseconds resend_for) noexcept;
  /// Throws Error when what is there cannot have been written by begin() and note().
  void check() const;

  [[nodiscard]] std::string_view sender() const noexcept;
  [[nodiscard]] std::chrono::milliseconds resend_for() const noexcept;

  /// None when all are used.
  [[nodiscard]] Cell* free_cell() noexcept;
  void use(Cell const& cell) noexcept { used_.set(index(cell)); }
  /// Its thread has ended; another one goes on from where it stands.
  void give_back(Cell const& cell) noexcept { used_.reset(index(cell)); }
  /// Adds without a cell.
  void add(std::int64_t n) noexcept;
  /// In all, since it began.
  [[nodiscard]] std::uint64_t added() const noexcept;

  /// This holds from now on, and nothing but this.
  void note(Record const& record) noexcept;
  [[nodiscard]] Record record() const noexcept;

  /// There is nothing in it: it may be anybody's.
  void release() noexcept;
  /// Its owner goes, and something is in it: another process may go on with it.
  void leave() noexcept;

  [[nodiscard]] std::shared_ptr<Segment> const& segment() const noexcept { return segment_; }

  struct Layout {
    char sender[64];
    std::uint64_t resend_for;  // milliseconds
    Record records[2];
    std::atomic<std::uint64_t> current;  // which of them holds
    Cell common;                         // what was added without a cell
    struct alignas(64) Padded {
      Cell cell;
    } cells[most_cells];
  };

 private:
  [[nodiscard]] std::size_t index(Cell const& cell) const noexcept;

  std::shared_ptr<Segment> segment_;
  std::size_t place_;
  Layout& layout_;
  std::bitset<most_cells> used_{};
};

}  // namespace tandem::detail
