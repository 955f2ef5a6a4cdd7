#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bare.hpp"

namespace bench::map {

/// What a contender is made for.
struct Task {
  std::string socket;  ///< of the server
  std::string map;     ///< the hash that all of its callers use
  int callers;

  static constexpr int entries = 1000;
  [[nodiscard]] static std::string field(int number) { return fmt::format("entry {}", number); }
  [[nodiscard]] static std::vector<std::string> fields() {
    std::vector<std::string> out;
    for (int i = 0; i < entries; ++i) out.push_back(field(i));
    return out;
  }

  /// Beside the entries: what `update` adds to.
  static constexpr auto updated = "updated";

  /// As the words of a command line, and back.
  [[nodiscard]] std::vector<std::string> words() const {
    return {socket, map, std::to_string(callers)};
  }
  [[nodiscard]] static Task of(std::vector<std::string> const& words) {
    return {words.at(0), words.at(1), std::stoi(words.at(2))};
  }
};

/// Puts all entries there, each with its number, so that none is missing when it is read.
inline void fill(Bare& server, std::string const& map) {
  for (int i = 0; i < Task::entries; ++i)
    server.append("HSET", map, Task::field(i), std::to_string(i));
  for (int i = 0; i < Task::entries; ++i) server.next();
}

/// A map of text to whole numbers, as the callers of a C++ program see it. What the server refuses
/// throws, and so does an entry that is not there.
///
/// All but `text` are called from the thread of that caller (0, 1, ...), from all of them at once.
class Library {
 public:
  Library() = default;
  Library(Library const&) = delete;
  Library& operator=(Library const&) = delete;
  virtual ~Library() = default;

  /// What it is, and of which version.
  [[nodiscard]] virtual std::string text() const = 0;

  virtual std::int64_t get(int caller, std::string const& field) = 0;
  virtual void set(int caller, std::string const& field, std::int64_t value) = 0;
  /// Adds 1 to it, or to 0 where there is none, by reading it and storing what it becomes if nobody
  /// has changed it meanwhile.
  virtual void update(int caller, std::string const& field) = 0;
};

}  // namespace bench::map
