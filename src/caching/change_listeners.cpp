#include "caching/change_listeners.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

namespace tandem::detail {

std::uint64_t ChangeListeners::add(CachedHash::Listener listener) {
  // One for all of the process and of its children: who was added in a parent is no listener of the
  // child, and its end must not be another's.
  static std::atomic<std::uint64_t> last = 0;
  auto const number = ++last;
  std::lock_guard const guard{mutex_};
  all_.push_back({number, std::move(listener)});
  return number;
}

void ChangeListeners::remove(std::uint64_t number) noexcept {
  std::unique_lock lock{mutex_};
  if (!events_.is_own_thread()) no_call_.wait(lock, [this] { return !calling_; });
  std::erase_if(all_, [&](Listening const& each) { return each.number == number; });
}

/// Without the lock: a listener may add and remove others.
void ChangeListeners::tell(CacheChange const* change) {
  std::vector<std::uint64_t> numbers;
  {
    std::lock_guard const guard{mutex_};
    for (auto const& each : all_) numbers.push_back(each.number);
    calling_ = !numbers.empty();
  }
  for (auto const number : numbers) {
    CachedHash::Listener call;
    {
      std::lock_guard const guard{mutex_};
      auto const found = std::find_if(all_.begin(), all_.end(),
                                      [&](Listening const& each) { return each.number == number; });
      if (found != all_.end()) call = found->call;
    }
    if (call) events_.guarded([&] { call(change); });
  }
  {
    std::lock_guard const guard{mutex_};
    calling_ = false;
  }
  no_call_.notify_all();
}

}  // namespace tandem::detail
