#include "locking/identity.hpp"

#include <array>
#include <charconv>

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

namespace tandem::detail {
namespace {

constexpr char const* unknown = "-";

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "unknown";
  return name;
}

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

std::optional<Identity> Identity::of(std::string_view token) noexcept {
  std::array<std::string_view, 6> part;
  for (auto& each : part) {
    auto const end = token.find('/');
    if (end == std::string_view::npos) return std::nullopt;
    each = token.substr(0, end);
    token.remove_prefix(end + 1);
  }
  Identity out;
  out.client = part[0];
  auto const read = std::from_chars(part[2].data(), part[2].data() + part[2].size(), out.pid);
  if (out.client.empty() || part[1].empty() || out.pid <= 0 || read.ec != std::errc{} ||
      read.ptr != part[2].data() + part[2].size())
    return std::nullopt;
  out.start = part[3];
  out.place = part[4];
  out.host = part[5];
  out.name = token;
  return out;
}

bool is_shared(std::string_view token) noexcept {
  auto const client = token.find('/');
  auto const number = token.find('/', client + 1);
  return client != std::string_view::npos && number != std::string_view::npos &&
         token[number - 1] == 's';
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

std::string own_identity(std::string_view place, std::string_view client_name) {
  auto const start = place == unknown ? std::string{} : start_of(::getpid());
  return fmt::format("/{}/{}/{}/{}/{}", ::getpid(), start.empty() ? unknown : start,
                     start.empty() ? unknown : place, host_name(), client_name);
}

}  // namespace tandem::detail
