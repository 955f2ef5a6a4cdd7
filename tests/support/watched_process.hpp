#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tandem::support {

/// A process, watched by a descriptor that its number's next bearer cannot be mistaken for.
class WatchedProcess {
 public:
  explicit WatchedProcess(pid_t pid) : pidfd_{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))} {
    EXPECT_GE(pidfd_, 0) << pid;
  }
  WatchedProcess(WatchedProcess const&) = delete;
  WatchedProcess& operator=(WatchedProcess const&) = delete;
  ~WatchedProcess() { ::close(pidfd_); }

  [[nodiscard]] bool ends_within(std::chrono::milliseconds patience) const {
    pollfd event{pidfd_, POLLIN, 0};
    return ::poll(&event, 1, static_cast<int>(patience.count())) == 1;
  }
  [[nodiscard]] bool has_ended() const { return ends_within(std::chrono::milliseconds{0}); }

 private:
  int pidfd_;
};

/// What /proc says of a process that is there.
class ProcessFacts {
 public:
  explicit ProcessFacts(pid_t pid) : folder_{"/proc/" + std::to_string(pid)} {
    auto const stat = text("stat");
    std::istringstream{stat.substr(stat.rfind(')') + 1)} >> state_ >> parent_;
  }

  [[nodiscard]] char state() const { return state_; }  // R, S, T (stopped), Z (zombie), ...
  [[nodiscard]] pid_t parent() const { return parent_; }

  [[nodiscard]] std::string text(std::string const& file) const {
    std::ostringstream all;
    all << std::ifstream{folder_ / file}.rdbuf();
    return all.str();
  }

  /// What its descriptors stand for: paths, "pipe:[number]", ...
  [[nodiscard]] std::vector<std::string> descriptors() const {
    std::vector<std::string> links;
    for (auto const& entry : std::filesystem::directory_iterator{folder_ / "fd"}) {
      std::error_code closed_meanwhile;
      links.push_back(std::filesystem::read_symlink(entry.path(), closed_meanwhile));
    }
    return links;
  }

 private:
  std::filesystem::path folder_;
  char state_ = '?';
  pid_t parent_ = 0;
};

}  // namespace tandem::support
