#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include <tandem/core/cached_hash.hpp>

#include "core/events.hpp"

namespace tandem::detail {

/// Those who want to hear of changes.
///
/// Threads: safe from several; `tell` on the event thread.
class ChangeListeners {
 public:
  explicit ChangeListeners(Events& events) : events_{events} {}

  [[nodiscard]] std::uint64_t add(CachedHash::Listener listener);
  /// No call of it is under way after this returns, but on the event thread itself.
  void remove(std::uint64_t number) noexcept;
  /// What one of them throws is reported, and the others hear all the same. nullptr: something may
  /// have been missed.
  void tell(CacheChange const* change);

 private:
  struct Listening {
    std::uint64_t number;
    CachedHash::Listener call;
  };

  Events& events_;
  std::mutex mutex_{};
  std::condition_variable no_call_{};
  std::vector<Listening> all_{};
  bool calling_ = false;
};

}  // namespace tandem::detail
