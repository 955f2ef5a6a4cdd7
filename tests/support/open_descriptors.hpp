#pragma once

#include <algorithm>
#include <set>
#include <string>

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

namespace tandem::support {

/// What the open sockets and eventfds of this process are: "socket:[4711]", "anon_inode:[eventfd]"
/// ...
inline std::multiset<std::string> open_sockets() {
  std::multiset<std::string> out;
  auto* const folder = ::opendir("/proc/self/fd");
  while (auto const* entry =
             ::readdir(folder)) {  // NOLINT(concurrency-mt-unsafe): a folder of its own
    char target[256];
    auto const size = ::readlinkat(::dirfd(folder), entry->d_name, target, sizeof target);
    std::string const text{target, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
    if (text.starts_with("socket:") || text.starts_with("anon_inode:")) out.insert(text);
  }
  ::closedir(folder);
  return out;
}

inline std::string text_of(std::multiset<std::string> const& lines) {
  std::string out;
  for (auto const& line : lines) out += line + "\n";
  return out;
}

/// While it lives this process can open nothing more. UBSan needs a descriptor to look at a type it
/// has not seen: let happen before what is to happen under it, and look at nothing until it is over.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    // Below all that are open: what is closed meanwhile makes no room either.
    rlimit const none{3, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  NoMoreDescriptors(NoMoreDescriptors const&) = delete;
  NoMoreDescriptors& operator=(NoMoreDescriptors const&) = delete;
  ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace tandem::support
