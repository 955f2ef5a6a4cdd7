#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace bench::queue {

/// What a contender is made for.
struct Task {
  std::string socket;  ///< of the server
  std::string queue;   ///< its name

  /// The job that tells a worker which waits that the slice is over.
  static constexpr auto end = "end";
  /// All others: the moment (workers::now) at which it is pushed.
  [[nodiscard]] static std::string job(std::int64_t moment) { return std::to_string(moment); }

  /// As the words of a command line, and back.
  [[nodiscard]] std::vector<std::string> words() const { return {socket, queue}; }
  [[nodiscard]] static Task of(std::vector<std::string> const& words) {
    return {words.at(0), words.at(1)};
  }
};

/// A queue of a C++ program, as one process sees it. What the server refuses throws.
class Library {
 public:
  Library() = default;
  Library(Library const&) = delete;
  Library& operator=(Library const&) = delete;
  virtual ~Library() = default;

  /// What it is, and of which version.
  [[nodiscard]] virtual std::string text() const = 0;

  /// Puts that job there so many times, by as little as it can.
  virtual void push(std::string const& job, int count) = 0;

  /// Up to `most` jobs; waits so long for the first.
  [[nodiscard]] virtual std::vector<std::string> take(int most, std::chrono::milliseconds wait) = 0;

  /// Those that were taken last are done: none of them is given to anybody any more.
  virtual void finish() = 0;
};

}  // namespace bench::queue
