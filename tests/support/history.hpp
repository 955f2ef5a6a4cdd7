#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include <tandem/hold.hpp>

namespace tandem::support {

/// One hold that is over, as the book has it. Times are nanoseconds of the steady clock: on Linux
/// CLOCK_MONOTONIC, which all processes of a machine read alike.
struct PastHold {
  int lock = 0;
  int slot = 0;
  int pid = 0;
  std::uint64_t fence = 0;  // 0: a stranger's, which has none
  std::int64_t entered = 0;
  std::int64_t ended = 0;
  std::string how{};
  bool shared = false;

  [[nodiscard]] std::string text() const {
    return "[lock " + std::to_string(lock) + (shared ? " shared" : "") + " pid " +
           std::to_string(pid) + " fence " + std::to_string(fence) + " from " +
           std::to_string(entered) + " to " + std::to_string(ended) + " (" + how + ")]";
  }
};

/// Says whether holds followed one another: none began before those before it had ended, and each
/// that has a fence had a higher one than all before. Those that are shared may overlap, and have
/// their fences in any order among themselves.
class HoldOrder {
 public:
  void add(PastHold hold) { waiting_.push_back(std::move(hold)); }

  /// The server was down from `down` on, and came up without its data. `clock`: the fence
  /// that belongs to the moment when it was dead. Fences follow the system's clock, so a lower one is
  /// of the time before, whose holds nobody vouches for after `down`.
  void data_lost(std::int64_t down, std::uint64_t clock) { losses_.push_back({down, clock}); }
  /// Whether such a hold was of a server that lost its data.
  [[nodiscard]] bool is_lost(std::uint64_t fence) const {
    return std::any_of(losses_.begin(), losses_.end(),
                       [&](Loss const& loss) { return fence < loss.clock; });
  }

  /// All that began before `horizon` are known now. Returns what was wrong with them.
  std::string look(std::int64_t horizon = std::numeric_limits<std::int64_t>::max()) {
    auto const known = std::partition(waiting_.begin(), waiting_.end(), [&](PastHold const& hold) {
      return hold.entered >= horizon;
    });
    std::vector<PastHold> next{std::make_move_iterator(known),
                               std::make_move_iterator(waiting_.end())};
    waiting_.erase(known, waiting_.end());
    std::sort(next.begin(), next.end(),
              [](auto const& one, auto const& other) { return one.entered < other.entered; });
    std::string out;
    for (auto& hold : next) out += follow(std::move(hold));
    return out;
  }
  [[nodiscard]] std::size_t looked_at() const { return looked_at_; }

 private:
  struct Loss {
    std::int64_t down;
    std::uint64_t clock;
  };
  struct Latest {
    PastHold by_end{};
    PastHold by_fence{};
  };

  std::string follow(PastHold hold) {
    for (auto const& loss : losses_) {
      if (hold.fence >= loss.clock) continue;
      if (hold.entered >= loss.down) return "";
      hold.ended = std::min(hold.ended, loss.down);
    }
    ++looked_at_;
    auto& all = latest_[hold.lock];
    auto& alone = latest_alone_[hold.lock];
    auto const& latest = hold.shared ? alone : all;
    std::string out;
    if (hold.fence != 0 && hold.fence <= latest.by_fence.fence)
      out += "fence does not rise: " + latest.by_fence.text() + " then " + hold.text() + "\n";
    if (hold.entered < latest.by_end.ended)
      out += "overlap: " + latest.by_end.text() + " and " + hold.text() + "\n";
    if (!hold.shared) note(alone, hold);
    note(all, hold);
    return out;
  }

  static void note(Latest& latest, PastHold const& hold) {
    if (hold.fence > latest.by_fence.fence) latest.by_fence = hold;
    if (hold.ended > latest.by_end.ended) latest.by_end = hold;
  }

  std::vector<PastHold> waiting_{};
  std::map<int, Latest> latest_{};
  std::map<int, Latest> latest_alone_{};  // of those that are not shared
  std::vector<Loss> losses_{};
  std::size_t looked_at_ = 0;
};

/// What many processes held, and when; to be laid into memory that they share.
///
/// It has room for so many holds, and for more when those that are over are taken out meanwhile, by
/// one process.
class History {
 public:
  static constexpr std::size_t room = 1 << 17;

  /// One hold, written down by its holder as it goes.
  struct Entry {
    std::atomic<int> pid{0};  // 0: the entry is free
    std::atomic<int> lock{0};
    std::atomic<int> slot{0};  // who, over all its lives
    std::atomic<bool> shared{false};
    std::atomic<std::uint64_t> fence{0};
    std::atomic<std::int64_t> entered{0};
    std::atomic<std::int64_t> valid_until{0};  // as its holder saw it last
    std::atomic<std::int64_t> left{0};         // 0: never, or killed
    std::atomic<std::int64_t> died{0};         // no earlier than this, by kill -9
  };

  /// Called by whoever just got `hold`. Null when the book is full.
  Entry* enter(int slot, Hold const& hold, int lock = 0, bool shared = false) {
    auto* const entry = claim();
    if (entry == nullptr) return nullptr;
    entry->slot = slot;
    entry->shared = shared;
    entry->lock = lock;
    entry->entered = now();
    // Only a hold that is still valid after that moment was held at it.
    if (!hold.held()) return entry;
    entry->valid_until = hold.valid_until().time_since_epoch().count();
    entry->fence = hold.fence();
    return entry;
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

  /// Called by whoever killed `pid`, at `when` or later, once it is reaped.
  void died(int pid, std::int64_t when) {
    for (auto& entry : entries_) {
      if (entry.pid == pid && entry.left == 0) entry.died = when;
    }
  }

  [[nodiscard]] std::size_t holds() const { return std::min(count_.load(), room); }
  [[nodiscard]] std::vector<int> holds_by_slot(int slots) const {
    std::vector<int> out(static_cast<std::size_t>(slots));
    for (std::size_t i = 0; i < holds(); ++i) {
      if (entries_[i].fence != 0) ++out[static_cast<std::size_t>(entries_[i].slot)];
    }
    return out;
  }

  /// Moves what is over into `order` and makes room. Returns the moment before which all that began
  /// is over. From one process, which is also the one that says who died.
  std::int64_t take_out(HoldOrder& order) {
    auto horizon = now();
    for (auto& entry : entries_) {
      if (entry.pid == 0) continue;
      if (entry.left == 0 && entry.died == 0) {
        horizon = std::min(horizon, entry.entered.load());  // 0: it is about to write it down
        continue;
      }
      if (entry.fence != 0) order.add(past(entry));
      entry.fence = 0;
      entry.entered = 0;
      entry.valid_until = 0;
      entry.left = 0;
      entry.died = 0;
      entry.pid = 0;  // the last: it may be another's from now on
    }
    return horizon;
  }

  /// Empty when no two holds were valid at once and fences rose from each to the next; else what
  /// was wrong.
  [[nodiscard]] std::string fault() const {
    HoldOrder order;
    for (auto const& entry : entries_) {
      if (entry.fence != 0) order.add(past(entry));
    }
    auto out = order.look();
    if (overflows_ > 0) out += "more holds than the book has room for\n";
    return out;
  }
  [[nodiscard]] std::size_t overflows() const { return overflows_; }

  static std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

 private:
  Entry* claim() {
    for (int tries = 0; tries < 1000; ++tries) {
      auto& entry = entries_[count_.fetch_add(1) % room];
      int nobody = 0;
      if (entry.pid.compare_exchange_strong(nobody, ::getpid())) return &entry;
    }
    ++overflows_;
    return nullptr;
  }

  /// A hold ends when its holder leaves or dies, or by itself.
  static PastHold past(Entry const& entry) {
    PastHold out{.lock = entry.lock,
                 .slot = entry.slot,
                 .pid = entry.pid,
                 .fence = entry.fence,
                 .entered = entry.entered,
                 .ended = entry.valid_until,
                 .how = "its lease ended",
                 .shared = entry.shared};
    if (entry.left != 0 && entry.left < out.ended) {
      out.ended = entry.left;
      out.how = "left";
    } else if (entry.died != 0 && entry.died < out.ended) {
      out.ended = entry.died;
      out.how = "killed";
    }
    return out;
  }

  std::atomic<std::size_t> count_{0};
  std::atomic<std::size_t> overflows_{0};
  std::array<Entry, room> entries_{};
};

}  // namespace tandem::support
