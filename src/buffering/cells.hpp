#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace tandem::detail {

/// What one thread has added to one buffer and nobody has fetched yet: a thread writes to its own
/// only, so threads that add share no cache line.
///
/// Both sides own it: the buffer fetches what is left when the thread has ended, and the thread
/// forgets it, in time, when the buffer is gone.
class Cell {
 public:
  Cell() = default;
  Cell(Cell const&) = delete;
  Cell& operator=(Cell const&) = delete;
  virtual ~Cell() = default;

  /// Its thread has ended: what is seen in it after this is all that there will be.
  [[nodiscard]] bool is_left() const noexcept { return left_.load(std::memory_order_acquire); }
  void leave() noexcept { left_.store(true, std::memory_order_release); }

  /// Its buffer is gone.
  [[nodiscard]] bool is_orphan() const noexcept { return orphan_.load(std::memory_order_relaxed); }
  void orphan() noexcept { orphan_.store(true, std::memory_order_relaxed); }

 private:
  std::atomic<bool> left_ = false;
  std::atomic<bool> orphan_ = false;
};

/// The cells of one thread, by the number of their buffer: open addressing, and as numbers are
/// given out in turn, most often the first look finds it.
///
/// Threads: each has its own.
class CellTable {
 public:
  struct Slot {
    std::uint64_t buffer = 0;  // none
    std::shared_ptr<Cell> cell{};
  };

  explicit CellTable(std::size_t size) : slots_{new Slot[size]}, mask_{size - 1} {}

  [[nodiscard]] Cell* find(std::uint64_t buffer) const noexcept {
    for (auto at = buffer & mask_;; at = (at + 1) & mask_) {
      auto const& slot = slots_[at];
      if (slot.buffer == buffer) return slot.cell.get();
      if (slot.buffer == 0) return nullptr;
    }
  }
  /// Throws std::bad_alloc, and nothing is kept.
  void keep(std::uint64_t buffer, std::shared_ptr<Cell> cell);
  void leave_all() noexcept;

 private:
  void make_room();
  void put(Slot&& slot) noexcept;

  std::unique_ptr<Slot[]> slots_;  // a power of two of them, at least half of them free
  std::uint64_t mask_;
  std::size_t used_ = 0;
};

/// Plain data: a buffer with static storage may be added to after this thread's destructors have
/// run.
extern thread_local constinit CellTable* own_cells;

/// A number that no buffer of this program had before; never 0.
[[nodiscard]] std::uint64_t fresh_buffer_number() noexcept;

/// This thread's cell of that buffer; none when it has kept none.
[[nodiscard]] inline Cell* find_cell(std::uint64_t buffer) noexcept {
  auto const* const cells = own_cells;
  return cells == nullptr ? nullptr : cells->find(buffer);
}

/// False, and nothing kept, when this thread is so near its end that it can keep nothing. Throws
/// std::bad_alloc.
[[nodiscard]] bool keep_cell(std::uint64_t buffer, std::shared_ptr<Cell> cell);

}  // namespace tandem::detail
