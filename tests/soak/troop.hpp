#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tandem::soak {

/// Processes of this program that are killed, and begun again, and stopped for a while.
class Troop {
 public:
  /// The descriptor under which each of them finds what it shares with this process.
  static constexpr int inherited = 100;

  /// `words_of`: what the process at that place is begun with.
  Troop(std::size_t size, int shared, std::function<std::vector<std::string>(int place)> words_of)
      : shared_{shared}, words_of_{std::move(words_of)}, men_(size) {}
  Troop(Troop const&) = delete;
  Troop& operator=(Troop const&) = delete;
  ~Troop() {
    for (auto const& each : men_) {
      if (each.pid != 0) ::kill(each.pid, SIGKILL);
    }
  }

  /// Executed, not forked: this process has threads, and sockets that a child would keep open.
  void begin(int place) {
    auto words = words_of_(place);
    words.insert(words.begin(), "/proc/self/exe");
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, shared_, inherited);
    pid_t pid = 0;
    int const error =
        ::posix_spawn(&pid, words[0].c_str(), &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::system_error{error, std::generic_category(), "posix_spawn"};
    men_[static_cast<std::size_t>(place)] = {.pid = pid};
  }

  void kill(int place) {
    ::kill(man(place).pid, SIGKILL);
    (void)bury(place);
  }

  /// False: it is stopped already, or not there.
  bool stop_for(int place, std::chrono::milliseconds time) {
    auto& one = man(place);
    if (one.pid == 0 || one.asleep_until) return false;
    ::kill(one.pid, SIGSTOP);
    one.asleep_until = std::chrono::steady_clock::now() + time;
    return true;
  }
  /// Those whose time has come, or all.
  void wake(bool all) {
    for (auto& one : men_) {
      if (!one.asleep_until || (!all && std::chrono::steady_clock::now() < *one.asleep_until))
        continue;
      ::kill(one.pid, SIGCONT);
      one.asleep_until.reset();
    }
  }

  /// The status of one that has ended, which is no more then.
  [[nodiscard]] std::optional<int> ended(int place) {
    siginfo_t found{};
    auto const pid = man(place).pid;
    if (pid == 0 ||
        ::waitid(P_PID, static_cast<id_t>(pid), &found, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        found.si_pid == 0)
      return std::nullopt;
    return bury(place);
  }
  [[nodiscard]] bool is_there(int place) { return man(place).pid != 0; }
  [[nodiscard]] pid_t pid(int place) { return man(place).pid; }

 private:
  struct Man {
    pid_t pid = 0;
    std::optional<std::chrono::steady_clock::time_point> asleep_until{};
  };

  [[nodiscard]] Man& man(int place) { return men_[static_cast<std::size_t>(place)]; }

  int bury(int place) {
    int status = 0;
    while (::waitpid(man(place).pid, &status, 0) < 0 && errno == EINTR) {
    }
    man(place) = {};
    return status;
  }

  int shared_;
  std::function<std::vector<std::string>(int)> words_of_;
  std::vector<Man> men_;
};

}  // namespace tandem::soak
