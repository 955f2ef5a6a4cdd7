#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bare.hpp"

namespace bench {

/// Overhears all that a server is told, in the order in which it is done, from its making to `stop`.
///
/// Commands within scripts are told apart from those that clients send, which the server's own
/// counters (INFO commandstats) do not. The server is slower meanwhile: nothing is timed then.
///
/// Not promised: AUTH and commands for administrators, which MONITOR keeps to itself.
/// Source: Redis documentation, MONITOR; the quotes are those of sdscatrepr in sds.c.
class Monitor {
 public:
  struct Command {
    bool by_script;
    std::vector<std::string> words;
  };

  explicit Monitor(std::string const& socket)
      : ears_{Bare::over_unix(socket)}, mouth_{Bare::over_unix(socket)} {
    ears_.command("MONITOR");
  }

  [[nodiscard]] std::vector<Command> stop() {
    constexpr std::string_view end = "the monitor stops here";
    mouth_.command("ECHO", end);
    std::vector<Command> out;
    for (;;) {
      auto const line = ears_.next();
      auto heard = read({line->str, line->len});
      if (heard.words.size() == 2 && heard.words[1] == end) return out;
      out.push_back(std::move(heard));
    }
  }

 private:
  // 1700000000.123456 [0 unix:/tmp/redis.sock] "set" "key" "value"
  // 1700000000.123457 [0 lua] "GET" "key"
  static Command read(std::string_view line) {
    auto const begin = line.find('[');
    auto const end = line.find("] \"", begin);
    if (end == std::string_view::npos) throw std::runtime_error{"MONITOR: " + std::string{line}};
    auto const origin = line.substr(begin, end - begin);
    Command out{origin.ends_with(" lua"), {}};
    for (auto rest = line.substr(end + 2); !rest.empty();) out.words.push_back(word(rest));
    return out;
  }

  /// Takes the first word, its quotes and the blank after it.
  static std::string word(std::string_view& rest) {
    std::string out;
    std::size_t i = 1;
    for (; i < rest.size() && rest[i] != '"'; ++i) {
      if (rest[i] != '\\') {
        out += rest[i];
        continue;
      }
      ++i;
      if (rest[i] == 'x') {
        out += static_cast<char>(std::stoi(std::string{rest.substr(i + 1, 2)}, nullptr, 16));
        i += 2;
      } else {
        constexpr std::string_view letters = "nrtab";
        constexpr std::string_view meanings = "\n\r\t\a\b";
        auto const at = letters.find(rest[i]);
        out += at == std::string_view::npos ? rest[i] : meanings[at];
      }
    }
    rest.remove_prefix(std::min(i + 2, rest.size()));
    return out;
  }

  Bare ears_;
  Bare mouth_;
};

}  // namespace bench
