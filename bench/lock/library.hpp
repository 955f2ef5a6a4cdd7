#pragma once

#include <chrono>
#include <string>

namespace bench::lock {

/// What a contender is made for.
struct Task {
  std::string socket;  ///< of the server
  std::string name;    ///< of the lock
  std::chrono::milliseconds lease;
  int callers;
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
