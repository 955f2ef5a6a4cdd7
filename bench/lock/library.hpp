#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace bench::lock {

/// What a contender is made for.
struct Task {
  std::string socket;  ///< of the server
  std::string name;    ///< of the lock
  std::chrono::milliseconds lease;
  int callers;

  /// As the words of a command line, and back.
  [[nodiscard]] std::vector<std::string> words() const {
    return {socket, name, std::to_string(lease.count()), std::to_string(callers)};
  }
  [[nodiscard]] static Task of(std::vector<std::string> const& words) {
    return {words.at(0), words.at(1), std::chrono::milliseconds{std::stoi(words.at(2))},
            std::stoi(words.at(3))};
  }
};

/// A lock of a C++ program, as its callers see it. What the server refuses throws.
class Library {
 public:
  Library() = default;
  Library(Library const&) = delete;
  Library& operator=(Library const&) = delete;
  virtual ~Library() = default;

  /// What it is, and of which version.
  [[nodiscard]] virtual std::string text() const = 0;

  /// Called from the thread of that caller (0, 1, ...), from all of them at once. Waits until it
  /// holds the lock.
  virtual void acquire(int caller) = 0;

  /// By the thread that holds it.
  virtual void release(int caller) = 0;
};

}  // namespace bench::lock
