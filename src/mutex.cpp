#include "tandem/mutex.hpp"

#include <utility>

namespace tandem {

Mutex::Mutex(Client client, std::string_view name, LockOptions options) : lock_{std::move(client), name, options} {}

bool Mutex::enter(std::optional<Deadline> deadline) {
  std::unique_lock guard{gate_};
  auto const free = [&] { return !inside_; };
  if (!deadline) {
    opened_.wait(guard, free);
  } else if (!opened_.wait_until(guard, *deadline, free)) {
    return false;
  }
  inside_ = true;
  return true;
}

void Mutex::leave() noexcept {
  {
    std::lock_guard const guard{gate_};
    inside_ = false;
  }
  opened_.notify_one();
}

void Mutex::lock() {
  (void)enter(std::nullopt);
  try {
    hold_.emplace(lock_.acquire());
  } catch (...) {
    leave();
    throw;
  }
}

bool Mutex::try_lock() { return try_lock_until(std::chrono::steady_clock::now()); }

bool Mutex::try_lock_until(Deadline deadline) {
  if (!enter(deadline)) return false;
  try {
    hold_ = lock_.try_acquire_until(deadline);
  } catch (...) {
    leave();
    throw;
  }
  if (hold_) return true;
  leave();
  return false;
}

void Mutex::unlock() noexcept {
  hold_.reset();
  leave();
}

}  // namespace tandem
