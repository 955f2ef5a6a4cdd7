#include "tandem/shared_mutex.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/fork.hpp"

namespace tandem {

/// The holds of those threads of this process that are inside.
struct SharedMutex::Inside {
  struct Entry {
    std::thread::id by;
    bool shares;
    Hold hold;
  };
  struct OfThisProcess {
    std::mutex mutex{};
    std::vector<Entry> entries{};
  };

  ~Inside() { delete process.load(); }

  bool enter(bool shares, std::optional<Hold> hold) {
    if (!hold) return false;
    auto& here = *process.load();
    std::lock_guard const guard{here.mutex};
    here.entries.push_back({std::this_thread::get_id(), shares, *std::move(hold)});
    return true;
  }

  void leave(bool shares) noexcept {
    std::optional<Hold> hold;  // given back after the mutex
    auto& here = *process.load();
    std::lock_guard const guard{here.mutex};
    auto const mine = [&](Entry const& each) {
      return each.shares == shares && each.by == std::this_thread::get_id();
    };
    auto found = std::find_if(here.entries.begin(), here.entries.end(), mine);
    if (found == here.entries.end()) {
      found = std::find_if(here.entries.begin(), here.entries.end(),
                           [&](Entry const& each) { return each.shares == shares; });
    }
    if (found == here.entries.end()) return;
    hold = std::move(found->hold);
    here.entries.erase(found);
  }

  // What the parent's threads hold, or were changing, is left as it is.
  void start_anew_in_child() noexcept {
    // No memory for a child ends it. NOLINTNEXTLINE(bugprone-unhandled-exception-at-new)
    process = new OfThisProcess;
  }

  std::atomic<OfThisProcess*> process = new OfThisProcess;
  detail::ForkHook fork_hook{
      this, [](void* inside) noexcept { static_cast<Inside*>(inside)->start_anew_in_child(); }};
};

SharedMutex::SharedMutex(Client client, std::string_view name, SharedLockOptions options)
    : lock_{std::move(client), name, options}, inside_{std::make_unique<Inside>()} {}

SharedMutex::~SharedMutex() = default;

void SharedMutex::lock() { (void)inside_->enter(false, lock_.acquire()); }

bool SharedMutex::try_lock() { return inside_->enter(false, lock_.try_acquire()); }

bool SharedMutex::try_lock_until(Deadline deadline) {
  return inside_->enter(false, lock_.try_acquire_until(deadline));
}

void SharedMutex::unlock() noexcept { inside_->leave(false); }

void SharedMutex::lock_shared() { (void)inside_->enter(true, lock_.acquire_shared()); }

bool SharedMutex::try_lock_shared() { return inside_->enter(true, lock_.try_acquire_shared()); }

bool SharedMutex::try_lock_shared_until(Deadline deadline) {
  return inside_->enter(true, lock_.try_acquire_shared_until(deadline));
}

void SharedMutex::unlock_shared() noexcept { inside_->leave(true); }

}  // namespace tandem
