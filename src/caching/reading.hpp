#pragma once

#include <atomic>
#include <cstdint>

namespace tandem::detail {

/// How threads read, without a lock, what another thread takes away meanwhile: who reads says since
/// when, and what was taken away is kept until nobody reads who may have seen it.
///
///     reader:   Reading const now;  follow pointers, by sequentially consistent loads
///     remover:  unlink, by a sequentially consistent store;  stamp = removal_stamp();
///               destroy it when stamp < oldest_reading()
///
/// Cost:    for a reader two stores to a cache line of its own, of which one is a full barrier.
/// Threads: safe from any.
/// Source:  K. Fraser, "Practical lock-freedom", 2004, section 5.2.3 (epochs), with a count for each
///          removal instead of three epochs. That a reader whose beginning was not seen does not see
///          what was unlinked follows from the single order of all sequentially consistent
///          operations: if it did, its beginning would come before the unlinking in that order.
class Reading {
 public:
  Reading() noexcept;
  ~Reading();
  Reading(Reading const&) = delete;
  Reading& operator=(Reading const&) = delete;

  /// False in a thread so near its end that it can say nothing any more: it may not read.
  [[nodiscard]] bool is_safe() const noexcept { return slot_ != nullptr; }

 private:
  friend struct ReaderSlots;
  struct Slot;
  Slot* slot_;
  bool outermost_ = false;
};

/// After something was unlinked.
[[nodiscard]] std::uint64_t removal_stamp() noexcept;

/// Above every stamp that was given before the oldest of those began who read now.
[[nodiscard]] std::uint64_t oldest_reading() noexcept;

}  // namespace tandem::detail
