#pragma once

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/sockets.hpp"

namespace bench {

/// Another program, spoken to line by line. It is killed at the end of the scope, if need be.
class Process {
 public:
  /// Which of its outputs is read; the other one is that of this process.
  enum class Output { standard = STDOUT_FILENO, error = STDERR_FILENO };

  /// `words`: its name or path, and its arguments.
  ///
  /// Errors: std::system_error when there is no such program.
  Process(std::vector<std::string> words, Output output) {
    using tandem::support::Descriptor;
    int in[2];
    int out[2];
    tandem::support::required(::pipe2(in, O_CLOEXEC), "pipe2");
    Descriptor const their_in{in[0]};
    in_ = Descriptor{in[1]};
    tandem::support::required(::pipe2(out, O_CLOEXEC), "pipe2");
    Descriptor const their_out{out[1]};
    out_.reset(::fdopen(out[0], "r"));

    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], static_cast<int>(output));
    ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);  // hiredis' sockets
    int const error = ::posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::system_error{error, std::generic_category(), words.front()};
  }
  Process(Process const&) = delete;
  Process& operator=(Process const&) = delete;
  ~Process() {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }

  /// In vain when it has ended: then there is no answer.
  void say(std::string_view line) const {
    auto const text = std::string{line} + "\n";
    (void)!::write(in_.get(), text.data(), text.size());
  }

  /// Its next line, without the end; nothing when it has ended.
  [[nodiscard]] std::optional<std::string> hear() {
    char* text = nullptr;
    std::size_t capacity = 0;
    auto const size = ::getline(&text, &capacity, out_.get());
    std::unique_ptr<char, decltype(&std::free)> const owner{text, &std::free};
    if (size <= 0) return std::nullopt;
    std::string_view line{text, static_cast<std::size_t>(size)};
    if (line.ends_with('\n')) line.remove_suffix(1);
    return std::string{line};
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { (void)std::fclose(file); }
  };
  pid_t pid_ = -1;
  tandem::support::Descriptor in_{};
  std::unique_ptr<std::FILE, Close> out_{};
};

}  // namespace bench
