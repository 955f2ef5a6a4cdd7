#include "core/process.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/fork.hpp"

namespace tandem::detail {
namespace {

constexpr char const* unknown = "-";

/// The beginning of a small file of /proc; empty when it cannot be read.
std::string read_file(char const* path) {
  int const fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::array<char, 1024> bytes;
  auto const count = ::read(fd, bytes.data(), bytes.size());
  ::close(fd);
  return count > 0 ? std::string(bytes.data(), static_cast<std::size_t>(count)) : std::string{};
}

std::string read_link(char const* path) {
  std::array<char, 64> bytes;
  auto const count = ::readlink(path, bytes.data(), bytes.size());
  return count > 0 ? std::string(bytes.data(), static_cast<std::size_t>(count)) : std::string{};
}

/// "pid:[4026531836]" -> "4026531836"
std::string inode_of(char const* path) {
  auto const link = read_link(path);
  auto const open = link.find('[');
  auto const close = link.find(']');
  if (open == std::string::npos || close == std::string::npos) return {};
  return link.substr(open + 1, close - open - 1);
}

/// /proc may be that of another pid namespace, whose numbers mean other processes.
bool proc_is_ours() { return read_link("/proc/self") == std::to_string(::getpid()); }

}  // namespace

std::string own_place() {
  if (!proc_is_ours()) return unknown;
  auto boot = read_file("/proc/sys/kernel/random/boot_id");
  while (!boot.empty() && boot.back() == '\n') boot.pop_back();
  auto const pids = inode_of("/proc/self/ns/pid");
  // A start is told by the reader's own clock of its time namespace; kernels before 5.6 have none.
  auto const times = inode_of("/proc/self/ns/time");
  if (boot.empty() || pids.empty()) return unknown;
  return fmt::format("{}.{}.{}", boot, pids, times);
}

std::string start_of(int pid) {
  auto const stat = read_file(fmt::format("/proc/{}/stat", pid).c_str());
  // The second field, the program's name in parentheses, may hold anything; the start is the 22nd.
  auto at = stat.rfind(')');
  if (at == std::string::npos) return {};
  for (int field = 2; field < 22; ++field) {
    at = stat.find(' ', at + 1);
    if (at == std::string::npos) return {};
  }
  auto const end = stat.find(' ', at + 1);
  return end == std::string::npos ? std::string{} : stat.substr(at + 1, end - at - 1);
}

int open_pidfd(int pid) noexcept {
#ifdef SYS_pidfd_open
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
#else
  errno = ENOSYS;
  return -1;
#endif
}

bool says_dead(int pidfd) noexcept {
  pollfd look{pidfd, POLLIN, 0};
  return ::poll(&look, 1, 0) > 0;
}

bool has_ended(int pid, std::string_view start) {
  NoFork const until_closed;
  int const fd = open_pidfd(pid);
  if (fd < 0) return errno == ESRCH;
  // The descriptor is of whoever has the pid now; if that one began at another time, ours is gone.
  auto const now = start_of(pid);
  bool const out = says_dead(fd) || (!now.empty() && now != start);
  ::close(fd);
  return out;
}

}  // namespace tandem::detail
