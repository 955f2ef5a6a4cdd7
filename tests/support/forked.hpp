#pragma once

#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/helpers_at_work.hpp"
#include "support/sanitized.hpp"
#include "support/sockets.hpp"

namespace tandem::support {

/// A child of this process, forked to run `body`, whose text is what the parent gets to see of it.
///
/// The child leaves by _exit: nothing of the parent's is destroyed in it, unless `body` does.
class Forked {
 public:
  explicit Forked(std::function<std::string()> const& body) {
    int ends[2];
    required(::pipe2(ends, O_CLOEXEC), "pipe2");
    told_ = Descriptor{ends[0]};
    Descriptor const tell{ends[1]};
    std::unique_lock idle{helpers_at_work()};
    if (child_may_find_malloc_locked) let_other_threads_come_to_rest();
    pid_ = required(::fork(), "fork");
    idle.unlock();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    give_threads_stacks_of_their_own();
    std::string text;
    try {
      text = body();
    } catch (std::exception const& error) {
      text = std::string{"threw: "} + error.what();
    }
    (void)!::write(ends[1], text.data(), text.size());
    ::_exit(0);
  }
  Forked(Forked const&) = delete;
  Forked& operator=(Forked const&) = delete;
  ~Forked() { kill(); }

  /// What `body` returned; "signal 13" when a signal ended the child, "hung" when nothing did.
  [[nodiscard]] std::string told(std::chrono::milliseconds patience = std::chrono::seconds{30}) {
    auto const give_up = std::chrono::steady_clock::now() + patience;
    std::string out;
    for (;;) {
      auto const left =
          std::chrono::ceil<std::chrono::milliseconds>(give_up - std::chrono::steady_clock::now());
      pollfd event{told_.get(), POLLIN, 0};
      if (left.count() <= 0 || ::poll(&event, 1, static_cast<int>(left.count())) == 0) {
        kill();
        return "hung";
      }
      char buffer[4096];
      auto const got = ::read(told_.get(), buffer, sizeof buffer);
      if (got == 0) break;
      if (got > 0) out.append(buffer, static_cast<std::size_t>(got));
    }
    int const status = wait();
    if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
    if (WEXITSTATUS(status) != 0) return "exit " + std::to_string(WEXITSTATUS(status));
    return out;
  }

  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Waits, for a moment, until all threads but this one sleep: then none is within malloc.
  static void let_other_threads_come_to_rest() {
    auto const enough = std::chrono::steady_clock::now() + std::chrono::seconds{1};
    for (int quiet = 0; quiet < 3 && std::chrono::steady_clock::now() < enough;) {
      bool all_sleep = true;
      for (auto const& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
        std::string line;
        std::getline(std::ifstream{task.path() / "stat"}, line);
        bool const is_own = task.path().filename() == std::to_string(::gettid());
        auto const name_ends = line.rfind(") ");
        bool const sleeps = name_ends != std::string::npos && line[name_ends + 2] == 'S';
        all_sleep = all_sleep && (is_own || sleeps);
      }
      quiet = all_sleep ? quiet + 1 : 0;
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
  }

 private:
  /// A child's threads are given the stacks of the parent's, by which the thread sanitizer tells
  /// threads apart: it takes them for the parent's and gives up ("dup thread with used id"). Larger
  /// ones are none that were used before.
  static void give_threads_stacks_of_their_own() {
#if defined(__SANITIZE_THREAD__)
    pthread_attr_t attributes;
    pthread_getattr_default_np(&attributes);
    std::size_t size = 0;
    pthread_attr_getstacksize(&attributes, &size);
    pthread_attr_setstacksize(&attributes, size * 2);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
#endif
  }

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

  pid_t pid_ = -1;
  Descriptor told_{};
};

/// Runs `body` in a forked child and returns what it returned, or how the child ended otherwise.
inline std::string in_child(std::function<std::string()> const& body) {
  return Forked{body}.told();
}

}  // namespace tandem::support
