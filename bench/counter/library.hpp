#pragma once

#include <string>
#include <vector>

namespace bench::counter {

/// What a contender is made for.
struct Task {
  std::string socket;  ///< of the server
  std::string type;    ///< of what is counted, in the words of RollingCounter
  int callers;

  static constexpr auto context = "bench";
  /// The number that every contender adds to.
  [[nodiscard]] std::string key() const { return std::string{"stats:"} + context + ":" + type; }

  /// As the words of a command line, and back.
  [[nodiscard]] std::vector<std::string> words() const {
    return {socket, type, std::to_string(callers)};
  }
  [[nodiscard]] static Task of(std::vector<std::string> const& words) {
    return {words.at(0), words.at(1), std::stoi(words.at(2))};
  }
};

/// A counter of a C++ program, as its callers see it. What the server refuses throws.
class Library {
 public:
  Library() = default;
  Library(Library const&) = delete;
  Library& operator=(Library const&) = delete;
  virtual ~Library() = default;

  /// What it is, and of which version.
  [[nodiscard]] virtual std::string text() const = 0;

  /// So many adds are made by one call of `add`; the clock is read between the calls only.
  [[nodiscard]] virtual int adds_at_once() const { return 1; }

  /// Whether they are in the shared number when `add` returns; else when `flush` does.
  [[nodiscard]] virtual bool waits() const { return true; }

  /// Adds 1, so many times. Called from the thread of that caller (0, 1, ...), from all of them at
  /// once.
  virtual void add(int caller) = 0;

  virtual void flush() {}
};

}  // namespace bench::counter
