#pragma once

#include <array>
#include <string>
#include <string_view>

#include <tandem/core/options.hpp>

namespace tandem::detail {

/// The keys of one queue, all in one slot, in the order of src/lua/queue/jobs.lua.
struct QueueKeys {
  explicit QueueKeys(std::string queue);
  QueueKeys(QueueKeys const&) = delete;
  QueueKeys& operator=(QueueKeys const&) = delete;
  ~QueueKeys() = default;

  std::string name;
  std::string high, low, delayed, taken, waiters, blocked, dead, state;
  std::array<std::string_view, 9> all;
};

/// How a worker waits: what is behind its name in a token of src/lua/queue/jobs.lua.
[[nodiscard]] std::string terms_of_worker(std::chrono::milliseconds visibility,
                                          unsigned max_deliveries, std::string_view consumer);

}  // namespace tandem::detail
