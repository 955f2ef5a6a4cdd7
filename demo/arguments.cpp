#include "arguments.hpp"

#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "log_file.hpp"

namespace demo {
namespace {

constexpr int fewest = 2;  // one is killed, and somebody must go on
constexpr int most = 64;

int number_of_workers(std::string_view text) {
  int number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < fewest ||
      number > most) {
    throw Refused{
        fmt::format("--workers takes a number from {} to {}, not '{}'", fewest, most, text)};
  }
  return number;
}

}  // namespace

char const* const help_text =
    R"(usage: tandem-demo [FILE] [--redis URL] [--workers N]

Several processes tally the lines of FILE together, through Redis; one of them is killed with kill -9 while it holds a
lock. At the end every number is compared with what a single process counts.

  FILE           any file of lines; by default the machine's own dpkg log
  --redis URL    a server to use (redis://, rediss://, unix://); by default a private one, gone at the end.
                 All keys have 'tandem-demo:' and a random number in their names and are deleted at the end.
  --workers N    how many processes, from 2 to 64; by default 8
  --help         this

Ends with status 0 when all numbers agree, 1 when one does not or something failed, 2 when it cannot begin.
)";

Arguments Arguments::from(int argc, char const* const* argv) {
  Arguments wanted;
  bool only_files = false;
  for (int i = 1; i < argc; ++i) {
    std::string_view const word{argv[i]};
    auto const is = [&](std::string_view option) {
      return word == option ||
             (word.substr(0, option.size()) == option && word.substr(option.size(), 1) == "=");
    };
    auto const value = [&](std::string_view option) -> std::string_view {
      if (word.size() > option.size()) return word.substr(option.size() + 1);
      if (i + 1 == argc) throw Refused{fmt::format("{} needs a value", option)};
      return argv[++i];
    };

    if (only_files || word.empty() || word.front() != '-') {
      if (word.empty()) throw Refused{"the name of the FILE is empty"};
      if (!wanted.file.empty())
        throw Refused{fmt::format("one FILE at a time, not '{}' and '{}'", wanted.file, word)};
      wanted.file = word;
    } else if (word == "--") {
      only_files = true;
    } else if (word == "--help" || word == "-h") {
      wanted.help = true;
    } else if (is("--redis")) {
      wanted.redis = value("--redis");
    } else if (is("--workers")) {
      wanted.workers = number_of_workers(value("--workers"));
    } else {
      throw Refused{fmt::format(
          "there is no option '{}'; there are --redis URL, --workers N and --help", word)};
    }
  }
  return wanted;
}

}  // namespace demo
