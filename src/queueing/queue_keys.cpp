#include "queueing/queue_keys.hpp"

#include <utility>

#include <fmt/core.h>

#include "core/companion_key.hpp"

namespace tandem::detail {

QueueKeys::QueueKeys(std::string queue)
    : name{std::move(queue)},
      high{companion_key(name, "high")},
      low{companion_key(name, "low")},
      delayed{companion_key(name, "delayed")},
      taken{companion_key(name, "taken")},
      waiters{companion_key(name, "waiters")},
      blocked{companion_key(name, "blocked")},
      dead{companion_key(name, "dead")},
      state{companion_key(name, "state")},
      all{high, name, low, delayed, taken, waiters, blocked, dead, state} {}

std::string terms_of_worker(std::chrono::milliseconds visibility, unsigned max_deliveries,
                            std::string_view consumer) {
  return fmt::format("/{}/{}/{}", visibility.count(), max_deliveries,
                     consumer.empty() ? "tandem" : consumer);
}

}  // namespace tandem::detail
