#pragma once

#include <chrono>
#include <string_view>

namespace tandem::detail {

/// How one acquires, as the options of the primitives say it.
struct LockTerms {
  /// For whom a waiter waits; see DeadlockCheck.
  enum class Needs { all_holders, any_holder };

  std::chrono::milliseconds lease{};
  bool renew = true;
  std::chrono::milliseconds deadlock_after{};
  std::chrono::milliseconds linger{};
  unsigned local_passes = 0;
  std::chrono::milliseconds local_time{};
  unsigned yield_to_foreign = 0;
  std::chrono::milliseconds yield_for{};
  bool shares = false;                ///< holds together with others who share
  std::chrono::milliseconds ahead{};  ///< served before those who have waited for less
  unsigned limit = 0;                 ///< of those who share, where the server knows none; 0: none

  [[nodiscard]] Needs needs() const noexcept {
    return limit > 0 ? Needs::any_holder : Needs::all_holders;
  }
};

/// Throws std::invalid_argument, which names the lock (a `noun` called `name`), where `fulfilled`
/// is false.
void require(bool fulfilled, std::string_view noun, std::string_view name, std::string_view what);

/// What is asked of all: a name that is not empty, and a lease and a deadlock_after in range.
void require_sane(std::string_view noun, std::string_view name, LockTerms const& terms);

}  // namespace tandem::detail
