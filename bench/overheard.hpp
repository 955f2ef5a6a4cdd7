#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "monitor.hpp"

namespace bench {

/// How many commands a piece of work takes, for each time that it is done.
struct Overheard {
  double commands;    ///< sent by clients
  double in_scripts;  ///< that the server ran within scripts

  /// Calls `work`, which returns how often it was done. It is slower than without; PINGs, by which
  /// idle connections are kept, also those of others, are not counted.
  template <class Work>
  [[nodiscard]] static Overheard of(std::string const& socket, Work const& work) {
    Monitor monitor{socket};
    auto const times = static_cast<double>(std::max<std::size_t>(1, work()));
    Overheard out{0, 0};
    for (auto const& command : monitor.stop()) {
      if (command.words.front() == "PING") continue;
      ++(command.by_script ? out.in_scripts : out.commands);
    }
    return {out.commands / times, out.in_scripts / times};
  }
};

}  // namespace bench
