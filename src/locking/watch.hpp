#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

#include "core/fork.hpp"
#include "locking/identity.hpp"

namespace tandem::detail {

/// Processes of this place, of whose death the kernel tells.
///
/// Only a proof counts: a pidfd that says so, no process of that pid, or another one since. A
/// process of another place, or one that cannot be told from another, is unknown, and nothing
/// follows from it.
///
/// Threads: safe from several.
/// Source:  pidfd_open(2); kernels before 5.3 have none, and all processes are unknown there.
class ProcessWatch {
 public:
  ProcessWatch() noexcept;
  ~ProcessWatch();
  ProcessWatch(ProcessWatch const&) = delete;
  ProcessWatch& operator=(ProcessWatch const&) = delete;

  enum class Seen { alive, dead, unknown };

  /// Looks at the process, and watches it from now on if it lives. `place` is our own.
  [[nodiscard]] Seen look(Identity const& process, std::string_view place);

  /// Readable when one that is watched has died; -1 where nothing can be watched.
  [[nodiscard]] int descriptor() const noexcept { return epoll_.load(); }
  struct Dead {
    int pid;
    std::string start;
  };
  /// Those who died since the last call; they are watched no more.
  [[nodiscard]] std::vector<Dead> take_dead();

 private:
  // Each costs a descriptor; who is not watched is followed when its lease ends.
  static constexpr std::size_t most = 64;
  struct Slot {
    std::atomic<int> fd{-1};
    int pid = 0;
    std::string start{};
  };

  static void close_in_child(void* self) noexcept;
  void close(Slot& slot) noexcept;

  std::mutex mutex_{};
  std::array<Slot, most> slots_{};
  std::size_t next_ = 0;  // to be given up where all are taken
  std::atomic<int> epoll_{-1};
  ForkHook fork_hook_{this, &close_in_child};
};

}  // namespace tandem::detail
