#pragma once

#include <csignal>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include <sys/types.h>

#include "process.hpp"
#include "system_calls.hpp"

namespace bench {

/// Counts the system calls of a program that is running already, from its making to `stop`. Every
/// call of the program costs it tens of microseconds meanwhile.
class Strace {
 public:
  /// Nothing where strace is missing or may not look at that process.
  static std::optional<Strace> of(pid_t pid) try {
    Strace out{pid};
    auto const said = out.strace_->hear();
    if (!said || said->find(" attached") == std::string::npos) return std::nullopt;
    return out;
  } catch (std::system_error const&) {
    return std::nullopt;
  }

  [[nodiscard]] SystemCalls stop() {
    strace_->signal(SIGINT);
    SystemCalls out;
    // % time     seconds  usecs/call     calls    errors syscall
    //  45.20    0.000123           1       100         5 read
    while (auto const line = strace_->hear()) {
      std::istringstream words{*line};
      double number = 0;
      long long calls = 0;
      std::string name;
      if (!(words >> number >> number >> number >> calls >> name)) continue;
      words >> name;  // there were errors
      out.add(name, calls);
    }
    return out;
  }

 private:
  explicit Strace(pid_t pid)
      : strace_{std::make_unique<Process>(
            std::vector<std::string>{"strace", "-c", "-f", "-p", std::to_string(pid)},
            Process::Output::error)} {}

  std::unique_ptr<Process> strace_;
};

}  // namespace bench
