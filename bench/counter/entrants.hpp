#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "candidate.hpp"
#include "counter/libraries/classic.hpp"
#include "counter/libraries/incrby.hpp"
#include "counter/libraries/tandem.hpp"
#include "counter/library.hpp"
#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
#include "counter/libraries/redis_plus_plus.hpp"
#endif

namespace bench::counter {

/// Names that the figures are compared by.
namespace names {
inline constexpr auto ours = "tandem";
inline constexpr auto once = "tandem exactly once";
inline constexpr auto rolling = "tandem rolling";
inline constexpr auto buffered = "tandem buffered";
inline constexpr auto bare = "hiredis";
inline constexpr auto pipelined = "hiredis pipelined";
inline constexpr auto classic = "classic";
inline constexpr auto update_stats = "update_stats";
inline constexpr auto redis_py = "python3-redis";
inline constexpr auto ioredis = "ioredis";
inline constexpr auto redis_plus_plus = "redis++";
}  // namespace names

using Entrants = Candidates<Candidate>;

/// The contenders that are written in C++, by name.
inline std::unique_ptr<Library> make(std::string_view name, Task const& task) {
  if (name == names::ours) return std::make_unique<TandemCounter>(task, tandem::CounterOptions{});
  if (name == names::once) {
    return std::make_unique<TandemCounter>(task, tandem::CounterOptions{.exactly_once = true});
  }
  if (name == names::rolling) return std::make_unique<TandemRollingCounter>(task);
  if (name == names::buffered) return std::make_unique<TandemBufferedCounter>(task);
  if (name == names::bare) return std::make_unique<BareCounter>(task, 1);
  if (name == names::pipelined) return std::make_unique<BareCounter>(task, 100);
  if (name == names::classic) return std::make_unique<Classic>(task);
#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
  if (name == names::redis_plus_plus) return std::make_unique<RedisPlusPlusCounter>(task);
#endif
  throw std::invalid_argument{"there is no contender '" + std::string{name} + "'"};
}

/// `programs`: the folder of worker.py and worker.js; `node_modules`: where npm puts packages;
/// `only`: names of those that take part, separated by commas; empty: all.
///
/// Errors: std::invalid_argument for a name that is none.
inline Entrants entrants(std::string const& programs, std::string const& node_modules,
                         std::string const& socket, std::string const& only) {
  // Debian's: its python3-redis is not seen by a python3 that somebody has put before it.
  auto const python = [&programs](std::string const& name, std::string const& kind) {
    return Candidate{name, {"/usr/bin/python3", programs + "/worker.py", kind}};
  };
  auto out = tried_out(chosen<Candidate>(
                           {
                               own_candidate(names::bare),
                               own_candidate(names::ours),
                               own_candidate(names::once),
                               own_candidate(names::rolling),
                               own_candidate(names::classic),
                               python(names::update_stats, "update_stats"),
                               python(names::redis_py, "INCRBY"),
                               {names::ioredis, {"node", programs + "/worker.js", node_modules}},
#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
                               own_candidate(names::redis_plus_plus),
#endif
                               own_candidate(names::pipelined),
                               own_candidate(names::buffered),
                           },
                           only),
                       Task{.socket = socket, .type = "trial", .callers = 1}.words());
#ifndef TANDEM_BENCH_REDIS_PLUS_PLUS
  out.absent.push_back("redis++ is not installed: CMake found none.");
#endif
  return out;
}

}  // namespace bench::counter
