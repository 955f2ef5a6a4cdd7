#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "lock/slice.hpp"
#include "lock/team.hpp"
#include "quantile.hpp"

namespace bench::lock {

/// The figures of one contender, acquiring and releasing a lock that nobody else wants.
struct Uncontended {
  std::string place;  ///< "one core", or "any cores"
  std::string contender;
  double p50 = 0;         ///< microseconds, of acquiring and releasing
  double p99 = 0;         ///< the same
  double per_window = 0;  ///< acquisitions: median of the windows
  double cpu = 0;         ///< microseconds of processor time per acquisition: median of the slices
  double commands = 0;    ///< sent by the client per acquisition
  double in_scripts = 0;  ///< commands that the server ran within scripts, per acquisition
};

/// The figures of one contender whose callers all want the same lock.
struct Contended {
  std::string place;  ///< what the callers are, and how long they hold the lock
  Shape shape;
  Work work;
  std::string contender;
  double round_trip = 0;  ///< microseconds at p50, of a bare one in the same run

  double per_window = 0;  ///< acquisitions: median of the windows
  double wait_p50 = 0;    ///< microseconds from asking to holding
  double wait_p99 = 0;
  /// The wait in which a caller that waits finds itself at a random moment: half of all time spent
  /// waiting is spent in waits that are longer. Who seldom gets the lock has few waits, and would
  /// hide behind the many of the lucky ones.
  double typical_wait = 0;
  /// Microseconds at p50 from the beginning of a release until the next caller, which was waiting
  /// already, holds the lock. None where no waiter ever followed.
  std::optional<double> hand_off{};
  double handed_over = 0;  ///< the part of the acquisitions that were by another than the last
  double fairness = 0;     ///< fewest acquisitions of a caller / most
  double cpu = 0;          ///< microseconds of the clients' time per acquisition: median
  double commands = 0;     ///< sent by the clients per acquisition
  double in_scripts = 0;   ///< commands that the server ran within scripts, per acquisition
  std::optional<double> idle{};  ///< commands per second sent by each caller that only waits
  std::size_t overlaps = 0;      ///< acquisitions that began before the one before them was over

  [[nodiscard]] std::optional<double> hand_off_in_round_trips() const {
    return hand_off ? std::optional{*hand_off / round_trip} : std::nullopt;
  }
};

/// Waits for the lock's holder to die.
struct Crash {
  std::string contender;
  std::chrono::milliseconds lease;
  std::size_t kills = 0;
  double p50 = 0;  ///< milliseconds from kill -9 until the waiter holds the lock
  double worst = 0;
  double watched = 0;  ///< milliseconds at p50 until a bare pidfd says that the holder is dead
};

/// How many acquisitions succeeded in each window of each slice.
inline double per_window(std::vector<Slice> const& slices, std::chrono::nanoseconds window) {
  std::vector<double> counts;
  for (auto const& slice : slices) {
    std::vector<double> own(static_cast<std::size_t>(slice.length / window));
    for (auto const& each : slice.acquisitions) {
      auto const at = static_cast<std::size_t>(each.held / window.count());
      if (at < own.size()) ++own[at];
    }
    counts.insert(counts.end(), own.begin(), own.end());
  }
  return median(std::move(counts));
}

inline double cpu_per_acquisition(std::vector<Slice> const& slices) {
  std::vector<double> out;
  for (auto const& slice : slices) {
    auto const count = std::max<std::size_t>(1, slice.acquisitions.size());
    out.push_back(slice.cpu_microseconds / static_cast<double>(count));
  }
  return median(std::move(out));
}

inline double microseconds(std::int64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / 1000;
}

inline void summarise(Uncontended& cell, std::vector<Slice> const& slices,
                      std::chrono::nanoseconds window) {
  std::vector<double> took;
  for (auto const& slice : slices) {
    for (auto const& each : slice.acquisitions)
      took.push_back(microseconds(each.released - each.asked));
  }
  cell.p50 = median(took);
  cell.p99 = quantile(std::move(took), 0.99);
  cell.per_window = per_window(slices, window);
  cell.cpu = cpu_per_acquisition(slices);
}

/// Half of the sum of all is in values that are greater.
inline double median_by_time(std::vector<double> of) {
  std::sort(of.begin(), of.end());
  auto left = std::accumulate(of.begin(), of.end(), 0.0) / 2;
  for (auto const each : of) {
    if ((left -= each) <= 0) return each;
  }
  return 0;
}

inline void summarise(Contended& cell, std::vector<Slice> const& slices,
                      std::chrono::nanoseconds window) {
  std::vector<double> waits;
  std::vector<double> hand_offs;
  std::vector<int> turns(static_cast<std::size_t>(cell.shape.callers()));
  std::size_t followed = 0;
  std::size_t changes = 0;
  for (auto const& slice : slices) {
    auto order = slice.acquisitions;
    std::sort(order.begin(), order.end(),
              [](auto const& a, auto const& b) { return a.held < b.held; });
    Acquisition const* last = nullptr;
    for (auto const& each : order) {
      waits.push_back(microseconds(each.held - each.asked));
      // Who was refused while the others went home has had no fair chance.
      if (each.held < std::chrono::nanoseconds{slice.length}.count())
        ++turns[static_cast<std::size_t>(each.caller)];
      if (last != nullptr) {
        ++followed;
        if (each.held < last->leaving) ++cell.overlaps;
        if (each.caller != last->caller) {
          ++changes;
          if (each.asked < last->leaving)
            hand_offs.push_back(microseconds(each.held - last->leaving));
        }
      }
      last = &each;
    }
  }
  cell.typical_wait = median_by_time(waits);
  cell.wait_p50 = median(waits);
  cell.wait_p99 = quantile(std::move(waits), 0.99);
  if (!hand_offs.empty()) cell.hand_off = median(std::move(hand_offs));
  if (followed > 0) cell.handed_over = static_cast<double>(changes) / static_cast<double>(followed);
  auto const [fewest, most] = std::minmax_element(turns.begin(), turns.end());
  if (*most > 0) cell.fairness = static_cast<double>(*fewest) / static_cast<double>(*most);
  cell.per_window = per_window(slices, window);
  cell.cpu = cpu_per_acquisition(slices);
}

}  // namespace bench::lock
