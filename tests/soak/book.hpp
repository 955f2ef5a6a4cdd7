#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "support/history.hpp"

namespace tandem::soak {

constexpr int processes = 16;
constexpr int threads = 3;  // of each
constexpr int locks = 4;
constexpr std::array<char const*, locks> names{"orders", "bills", "stock of {7}", "catalog"};
constexpr int for_readers = 3;                  // one that readers share
constexpr int held_for_long = 2;                // one that is often held for longer than its lease
constexpr int with_another = 0, the_other = 1;  // two that are often wanted at once

enum class Doing : int { nothing, acquiring, trying, releasing };

/// What one thread is in the middle of.
struct Step {
  std::atomic<std::int64_t> since{0};  // 0: in no call
  std::atomic<Doing> doing{Doing::nothing};
  std::atomic<int> lock{0};
};

/// A hold whose release said that it was not held although, when it said so, it was still valid.
struct Robbed {
  std::atomic<std::uint64_t> fence{0};
  std::atomic<int> lock{0};
  std::atomic<int> pid{0};
  std::atomic<bool> written{false};
};

/// What all processes write down, in memory that they share.
struct Book {
  std::atomic<bool> over{false};
  support::History history{};
  std::array<std::array<Step, threads>, processes> steps{};
  std::array<std::atomic<std::uint64_t>, processes> holds{};  // of each place, over all its lives
  std::array<std::atomic<std::uint64_t>, 4> releases{};       // by enum Release
  std::atomic<std::uint64_t> gave_up{0};  // calls that ended by deadline or stop, or found it taken
  std::atomic<std::uint64_t> failed{0};   // calls that threw: the server was away for too long
  std::atomic<std::uint64_t> lost{0};     // holds that ended under their holder
  std::atomic<std::int64_t> longest_wait{0};      // of acquire(), which waits as long as it takes
  std::atomic<std::int64_t> longest_lateness{0};  // beyond a deadline or a stop
  std::array<Robbed, 64> robbed{};
  std::atomic<std::size_t> robberies{0};
};

inline void raise_to(std::atomic<std::int64_t>& highest, std::int64_t value) {
  auto seen = highest.load();
  while (value > seen && !highest.compare_exchange_weak(seen, value)) {
  }
}

}  // namespace tandem::soak
