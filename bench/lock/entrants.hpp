#pragma once

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "candidate.hpp"
#include "lock/libraries/classic.hpp"
#include "lock/libraries/minimal.hpp"
#include "lock/libraries/ping.hpp"
#include "lock/libraries/tandem.hpp"
#include "lock/libraries/tandem_scripts.hpp"
#include "lock/library.hpp"
#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
#include "lock/libraries/red_mutex.hpp"
#endif

namespace bench::lock {

/// Names that the figures are compared by.
namespace names {
inline constexpr auto ours = "tandem";
inline constexpr auto lingering = "tandem lingering";
inline constexpr auto scripts = "tandem's scripts";
inline constexpr auto minimal = "minimal scripts";
inline constexpr auto classic = "classic";
inline constexpr auto red_mutex = "RedMutex";
inline constexpr auto redis_py = "python3-redis";
inline constexpr auto redlock = "redlock";
inline constexpr auto ping = "PING";
}  // namespace names

/// A lock that takes part.
struct Entrant : Candidate {
  bool waits = true;  ///< else it is measured with a lock that is free only
};
using Entrants = Candidates<Entrant>;

/// The contenders that are written in C++, by name.
inline std::unique_ptr<Library> make(std::string_view name, Task const& task) {
  if (name == names::ours) return std::make_unique<TandemLock>(task, tandem::LockOptions{});
  if (name == names::lingering) {
    // Over the slices of the others, too.
    return std::make_unique<TandemLock>(task, tandem::LockOptions{.linger = task.lease});
  }
  if (name == names::scripts) return std::make_unique<TandemScripts>(task);
  if (name == names::minimal) return std::make_unique<Minimal>(task);
  if (name == names::classic) return std::make_unique<Classic>(task);
  if (name == names::ping) return std::make_unique<Ping>(task);
#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
  if (name == names::red_mutex) return std::make_unique<RedMutexes>(task);
#endif
  throw std::invalid_argument{"there is no contender '" + std::string{name} + "'"};
}

/// `programs`: the folder of worker.py and worker.js; `node_modules`: where npm puts packages;
/// `only`: names of those that take part, separated by commas; empty: all.
///
/// Errors: std::invalid_argument for a name that is none.
inline Entrants entrants(std::string const& programs, std::string const& node_modules,
                         std::string const& socket, std::string const& only) {
  using namespace std::chrono_literals;
  auto const own = [](std::string const& name, bool waits) {
    return Entrant{own_candidate(name), waits};
  };
  auto out = tried_out(
      chosen<Entrant>(
          {
              own(names::scripts, false),
              own(names::minimal, false),
              own(names::ours, true),
              own(names::lingering, false),  // for those that nobody else wants
              own(names::classic, true),
#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
              own(names::red_mutex, true),
#endif
              // Debian's: its python3-redis is not seen by a python3 that somebody has put before
              // it.
              {{names::redis_py, {"/usr/bin/python3", programs + "/worker.py"}}},
              {{names::redlock, {"node", programs + "/worker.js", node_modules}}},
          },
          only),
      Task{.socket = socket, .name = "trial", .lease = 10s, .callers = 1}.words());
#ifndef TANDEM_BENCH_REDIS_PLUS_PLUS
  out.absent.push_back("redis++ with its RedMutex is not installed: CMake found none.");
#endif
  return out;
}

/// Not a contender: what a bare round trip takes.
inline Entrant ping() { return {own_candidate(names::ping)}; }

}  // namespace bench::lock
