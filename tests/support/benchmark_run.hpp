#pragma once

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "support/scratch_folder.hpp"

namespace tandem::support {

/// A benchmark as a person starts it, as short as can be, and what it writes with --json.
class BenchmarkRun {
 public:
  BenchmarkRun(std::string const& program, std::string const& arguments) {
    ScratchFolder const scratch;
    auto const file = scratch.path("run.json");
    auto const command =
        fmt::format("'{}' --quick --windows 2 {} --json '{}' >/dev/null", program, arguments, file);
    // NOLINTNEXTLINE(concurrency-mt-unsafe): no thread yet
    if (std::system(command.c_str()) != 0) throw std::runtime_error{"failed: " + command};
    std::ifstream stream{file};
    json_.assign(std::istreambuf_iterator<char>{stream}, {});
  }

  /// How often that is in it.
  [[nodiscard]] int count(std::string const& part) const {
    int out = 0;
    for (auto at = json_.find(part); at != std::string::npos; at = json_.find(part, at + 1)) ++out;
    return out;
  }
  /// The elements of its lists that have that in them: a line is an element.
  [[nodiscard]] std::vector<std::string> lines_with(std::string const& part) const {
    std::vector<std::string> out;
    for (auto at = json_.find(part); at != std::string::npos; at = json_.find(part, at)) {
      auto const begin = json_.rfind('\n', at) + 1;
      auto const end = json_.find('\n', at);
      out.push_back(json_.substr(begin, end - begin));
      at += part.size();
    }
    return out;
  }

 private:
  std::string json_{};
};

}  // namespace tandem::support
