#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "answer.hpp"
#include "client/contender.hpp"
#include "client/strace.hpp"
#include "client/transport.hpp"
#include "process.hpp"

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
    version_ = Answer::from(process_).text();
  }

  [[nodiscard]] std::string const& version() const noexcept { return version_; }

  Slice run(std::chrono::milliseconds window) override {
    process_.say(std::to_string(window.count()));
    auto const answer = Answer::from(process_);
    Slice out;
    out.latencies = answer.numbers<float>("latencies_us");
    out.in_window = static_cast<std::int64_t>(answer.number("in_window"));
    out.took = std::chrono::duration<double>{answer.number("seconds")};
    out.usage = {answer.number("cpu_us"), static_cast<std::int64_t>(answer.number("switches"))};
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
  static std::vector<std::string> call(std::vector<std::string> words, Transport const& to,
                                       int callers) {
    words.push_back(to.url());
    words.push_back(std::to_string(callers));
    if (to.is_tls()) words.push_back(to.authority);
    return words;
  }

  Process process_;
  std::string version_{};
};

}  // namespace bench
