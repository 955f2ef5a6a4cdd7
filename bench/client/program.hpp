#pragma once

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/contender.hpp"
#include "client/process.hpp"
#include "client/strace.hpp"
#include "client/transport.hpp"

namespace bench {

/// A library of another language, in a program of its own that is told when a slice begins.
///
/// The program is called with the URL of the server, the number of callers, and for TLS the
/// authority's file. Its first line is the name and version of the library, or "sorry: " and why it
/// cannot run. Then, for each line with a number of milliseconds, it runs a slice of that length
/// and answers with one line of JSON:
///
///     {"latencies_us": [31.5, ...], "in_window": 1520, "seconds": 0.0501,
///      "cpu_us": 48000, "switches": 1600}
class Program final : public Contender {
 public:
  /// `words`: how it is called.
  ///
  /// Errors: std::runtime_error, here and later, with what it is sorry for.
  Program(std::vector<std::string> words, Transport const& to, int callers)
      : process_{call(std::move(words), to, callers), Process::Output::standard} {
    version_ = answer();
  }

  [[nodiscard]] std::string const& version() const noexcept { return version_; }

  Slice run(std::chrono::milliseconds window) override {
    process_.say(std::to_string(window.count()));
    auto const line = answer();
    Slice out;
    out.in_window = static_cast<std::int64_t>(number(line, "in_window"));
    out.took = std::chrono::duration<double>{number(line, "seconds")};
    out.usage = {number(line, "cpu_us"), static_cast<std::int64_t>(number(line, "switches"))};
    char const* at = after(line, "latencies_us") + 1;  // the bracket
    for (char* end = nullptr; *at != ']'; at = *end == ',' ? end + 1 : end) {
      out.latencies.push_back(std::strtof(at, &end));
      if (end == at) throw std::runtime_error{version_ + " answered: " + line};
    }
    return out;
  }

  Slice run_counted(std::chrono::milliseconds window) override {
    auto strace = Strace::of(process_.pid());
    auto out = run(window);
    out.is_timed = false;
    if (strace) out.calls = strace->stop();
    return out;
  }

 private:
  std::string answer() {
    auto const line = process_.hear();
    if (!line) throw std::runtime_error{"it ended without a word"};
    constexpr std::string_view sorry = "sorry: ";
    if (line->starts_with(sorry)) throw std::runtime_error{line->substr(sorry.size())};
    return *line;
  }

  static std::vector<std::string> call(std::vector<std::string> words, Transport const& to,
                                       int callers) {
    words.push_back(to.url());
    words.push_back(std::to_string(callers));
    if (to.is_tls()) words.push_back(to.authority);
    return words;
  }

  static char const* after(std::string const& line, std::string const& name) {
    auto const quoted = "\"" + name + "\":";
    auto const at = line.find(quoted);
    if (at == std::string::npos) throw std::runtime_error{"no " + quoted + " in: " + line};
    auto const start = line.find_first_not_of(' ', at + quoted.size());
    return line.c_str() + (start == std::string::npos ? line.size() : start);
  }
  static double number(std::string const& line, std::string const& name) {
    return std::strtod(after(line, name), nullptr);
  }

  Process process_;
  std::string version_{};
};

}  // namespace bench
