#pragma once

#include <string>
#include <string_view>

namespace tandem::detail {

/// Where this process runs: the boot of the kernel and the pid and time namespaces. Within one
/// place a pid and its start name one process for ever. "-" where /proc does not tell, and then
/// nobody concludes anything from a pid. A child may run elsewhere than its parent, so it is not
/// kept for longer than a process.
[[nodiscard]] std::string own_place();

/// When the process `pid` of this place began, in clock ticks since boot; empty when it cannot be
/// told.
[[nodiscard]] std::string start_of(int pid);

/// A descriptor that is readable when the process has ended; -1 and errno where there is none.
///
/// Source:  pidfd_open(2); kernels before 5.3 have none.
[[nodiscard]] int open_pidfd(int pid) noexcept;

/// Whether the pidfd is of a process that has ended.
[[nodiscard]] bool says_dead(int pidfd) noexcept;

/// Whether it is proven that the process of this place that had the pid and that start has ended;
/// one that is only stopped, or of which nothing is known, has not.
[[nodiscard]] bool has_ended(int pid, std::string_view start);

}  // namespace tandem::detail
