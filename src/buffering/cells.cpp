#include "buffering/cells.hpp"

#include <utility>

namespace tandem::detail {
namespace {

constexpr std::size_t first_size = 8;
thread_local constinit bool cells_are_over = false;

struct LeavesCells {
  ~LeavesCells() {
    cells_are_over = true;
    auto* const cells = std::exchange(own_cells, nullptr);
    if (cells == nullptr) return;
    cells->leave_all();
    delete cells;
  }
  void be_there() const noexcept {}
};
thread_local LeavesCells const at_the_threads_end;

}  // namespace

thread_local constinit CellTable* own_cells = nullptr;

std::uint64_t fresh_buffer_number() noexcept {
  static std::atomic<std::uint64_t> last = 0;
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

bool keep_cell(std::uint64_t buffer, std::shared_ptr<Cell> cell) {
  if (cells_are_over) return false;
  at_the_threads_end.be_there();
  if (own_cells == nullptr) own_cells = new CellTable{first_size};
  own_cells->keep(buffer, std::move(cell));
  return true;
}

void CellTable::keep(std::uint64_t buffer, std::shared_ptr<Cell> cell) {
  if (2 * (used_ + 1) > mask_ + 1) make_room();
  put({buffer, std::move(cell)});
}

/// Forgets the cells of buffers that are gone; doubles where that does not leave half of it free.
void CellTable::make_room() {
  std::size_t alive = 0;
  for (std::size_t i = 0; i <= mask_; ++i) {
    if (slots_[i].buffer != 0 && !slots_[i].cell->is_orphan()) ++alive;
  }
  auto size = mask_ + 1;
  while (4 * (alive + 1) > size) size *= 2;
  CellTable fresh{size};
  for (std::size_t i = 0; i <= mask_; ++i) {
    if (slots_[i].buffer != 0 && !slots_[i].cell->is_orphan()) fresh.put(std::move(slots_[i]));
  }
  std::swap(slots_, fresh.slots_);
  std::swap(mask_, fresh.mask_);
  std::swap(used_, fresh.used_);
}

void CellTable::put(Slot&& slot) noexcept {
  auto at = slot.buffer & mask_;
  while (slots_[at].buffer != 0) at = (at + 1) & mask_;
  slots_[at] = std::move(slot);
  ++used_;
}

void CellTable::leave_all() noexcept {
  for (std::size_t i = 0; i <= mask_; ++i) {
    if (slots_[i].buffer != 0) slots_[i].cell->leave();
  }
}

}  // namespace tandem::detail
