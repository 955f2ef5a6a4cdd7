#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <unistd.h>

#include <tandem/hold.hpp>

namespace tandem::support {

/// What many processes held, and when; to be laid into memory that they share.
///
/// Times are the steady clock's: on Linux CLOCK_MONOTONIC, which all processes of a machine read
/// alike.
class History {
 public:
  static constexpr std::size_t room = 1 << 17;

  /// One hold, written down by its holder as it goes.
  struct Entry {
    std::atomic<std::uint64_t> fence{0};
    std::atomic<int> slot{0};  // who, over all its lives
    std::atomic<int> pid{0};
    std::atomic<std::int64_t> entered{0};
    std::atomic<std::int64_t> valid_until{0};  // as its holder saw it last
    std::atomic<std::int64_t> left{0};         // 0: never, or killed
  };

  /// Called by whoever just got `hold`. Null when the book is full.
  Entry* enter(int slot, Hold const& hold) {
    auto const index = count_.fetch_add(1);
    if (index >= room) return nullptr;
    auto& entry = entries_[index];
    entry.slot = slot;
    entry.pid = ::getpid();
    entry.entered = now();
    // Only a hold that is still valid after that moment was held at it.
    if (!hold.held()) return &entry;
    entry.valid_until = hold.valid_until().time_since_epoch().count();
    entry.fence = hold.fence();
    return &entry;
  }
  /// Called now and then by its holder, for the sake of renewals; false when it holds no longer.
  static bool look(Entry* entry, Hold const& hold) {
    bool const held = hold.held();
    if (entry != nullptr && held)
      entry->valid_until = hold.valid_until().time_since_epoch().count();
    return held;
  }
  /// Called before the release.
  static void leave(Entry* entry) {
    if (entry != nullptr) entry->left = now();
  }

  /// Called by whoever killed the process: from `before` on it held nothing.
  void died(int pid, std::int64_t before) {
    for (std::size_t i = 0; i < holds(); ++i) {
      auto& entry = entries_[i];
      if (entry.pid == pid && entry.left == 0) entry.left = before;
    }
  }

  [[nodiscard]] static std::int64_t now() {
    return std::chrono::steady_clock::now().time_since_epoch().count();
  }

  [[nodiscard]] std::size_t holds() const { return std::min(count_.load(), room); }
  [[nodiscard]] std::vector<int> holds_by_slot(int slots) const {
    std::vector<int> out(static_cast<std::size_t>(slots));
    for (std::size_t i = 0; i < holds(); ++i) {
      if (entries_[i].fence != 0) ++out[static_cast<std::size_t>(entries_[i].slot)];
    }
    return out;
  }

  /// Empty when no two holds were valid at once and fences rose from each to the next; else what
  /// was wrong.
  [[nodiscard]] std::string fault() const {
    std::vector<Entry const*> order;
    for (std::size_t i = 0; i < holds(); ++i) {
      if (entries_[i].fence != 0) order.push_back(&entries_[i]);
    }
    std::sort(order.begin(), order.end(),
              [](auto* one, auto* other) { return one->entered < other->entered; });
    std::string out;
    for (std::size_t i = 1; i < order.size(); ++i) {
      auto const& before = *order[i - 1];
      auto const& after = *order[i];
      if (after.fence <= before.fence)
        out += "fence does not rise: " + describe(before) + " then " + describe(after) + "\n";
      if (after.entered < end(before))
        out += "overlap: " + describe(before) + " and " + describe(after) + "\n";
    }
    if (count_ > room) out += "more holds than the book has room for\n";
    return out;
  }

 private:
  /// A hold ends when its holder leaves, or by itself.
  static std::int64_t end(Entry const& entry) {
    auto const valid_until = entry.valid_until.load();
    return entry.left == 0 ? valid_until : std::min(entry.left.load(), valid_until);
  }
  static std::string describe(Entry const& entry) {
    return "[pid " + std::to_string(entry.pid) + " fence " + std::to_string(entry.fence) +
           " from " + std::to_string(entry.entered) + " to " + std::to_string(end(entry)) +
           (entry.left == 0 ? " (never left)]" : "]");
  }

  std::atomic<std::size_t> count_{0};
  std::array<Entry, room> entries_{};
};

}  // namespace tandem::support
