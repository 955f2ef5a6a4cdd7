#include "caching/reading.hpp"

#include <algorithm>
#include <limits>
#include <new>

#include "core/fork.hpp"

namespace tandem::detail {

/// One thread's place to say since when it reads. They are never freed: a thread that ends leaves
/// its slot to the next one.
struct alignas(64) Reading::Slot {
  std::atomic<std::uint64_t> since = 0;  // 0: it does not read
  // Of the fork after which it was: in a child those who read in its parent are not there.
  std::atomic<unsigned> generation = 0;
  std::atomic<bool> taken = false;
  Slot* next = nullptr;
};

struct ReaderSlots {
  using Slot = Reading::Slot;

  static inline std::atomic<std::uint64_t> stamp = 1;
  static inline std::atomic<Slot*> first = nullptr;
  // Plain data: values with static storage may be read after this thread's destructors have run.
  static thread_local constinit Slot* own;
  static thread_local constinit bool over;

  struct Leaves {
    ~Leaves() {
      over = true;
      if (own != nullptr) own->taken.store(false, std::memory_order_release);
      own = nullptr;
    }
    void be_there() const noexcept {}
  };

  static Slot* take() noexcept {
    if (over) return nullptr;
    thread_local Leaves const at_the_threads_end;
    at_the_threads_end.be_there();
    for (auto* slot = first.load(); slot != nullptr; slot = slot->next) {
      bool expected = false;
      if (slot->taken.compare_exchange_strong(expected, true)) return own = slot;
    }
    auto* const made = new (std::nothrow) Slot;
    if (made == nullptr) return nullptr;
    made->taken.store(true);
    made->next = first.load();
    while (!first.compare_exchange_weak(made->next, made)) continue;
    return own = made;
  }
};

thread_local constinit Reading::Slot* ReaderSlots::own = nullptr;
thread_local constinit bool ReaderSlots::over = false;

Reading::Reading() noexcept : slot_{ReaderSlots::own} {
  if (slot_ == nullptr && (slot_ = ReaderSlots::take()) == nullptr) return;
  outermost_ = slot_->since.load(std::memory_order_relaxed) == 0;
  if (!outermost_) return;
  slot_->generation.store(fork_generation(), std::memory_order_relaxed);
  slot_->since.store(ReaderSlots::stamp.load());
}

Reading::~Reading() {
  if (outermost_) slot_->since.store(0, std::memory_order_release);
}

std::uint64_t removal_stamp() noexcept { return ReaderSlots::stamp.fetch_add(1); }

std::uint64_t oldest_reading() noexcept {
  auto oldest = std::numeric_limits<std::uint64_t>::max();
  auto const generation = fork_generation();
  for (auto* slot = ReaderSlots::first.load(); slot != nullptr; slot = slot->next) {
    auto const since = slot->since.load();
    bool const is_here = slot->generation.load(std::memory_order_relaxed) == generation;
    if (since != 0 && is_here) oldest = std::min(oldest, since);
  }
  return oldest;
}

}  // namespace tandem::detail
