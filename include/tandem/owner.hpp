#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/client.hpp>

namespace tandem {

/// Who holds a lock, or one of its permits.
struct Owner {
  std::string host{};  ///< empty for a stranger's lock, as are the next two
  int pid = 0;
  std::string client_name{};  ///< Options::name of its client
  std::string token{};        ///< the value of the key
  std::optional<std::chrono::system_clock::time_point>
      since{};  ///< by the server's clock; none for a stranger's
  std::optional<std::chrono::milliseconds>
      lease_left{};  ///< none: a stranger's lock that never expires
  std::size_t waiters =
      0;  ///< in its queue; of `Lock`, of each process the first of those who wait
};

/// Who waits for a lock. Of `Lock` the first waiting thread of a client, for all of them.
struct LockWaiter {
  std::string host{};
  int pid = 0;
  std::string client_name{};        ///< Options::name of its client
  std::string token{};              ///< its place in the queue
  std::chrono::microseconds age{};  ///< since it came, by the server's clock
};

/// A lock that is held; by several, there is one for each.
struct HeldLock {
  std::string name{};
  Owner owner{};
};

/// Those locks and permits of tandem's that are held now, among the keys that match `pattern` (as SCAN's MATCH:
/// `orders:*`); sorted by name. Strangers' locks are not told from other keys. What is acquired or
/// released meanwhile may be missing or be there.
///
/// Cost:    SCAN over the whole database, twice, a thousand keys at a time, and 1 command for each
///          string or sorted set that matches; 2 round trips for each thousand.
[[nodiscard]] std::vector<HeldLock> locks(Client const& client, std::string_view pattern = "*");

}  // namespace tandem
