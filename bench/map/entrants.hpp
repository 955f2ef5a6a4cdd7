#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "candidate.hpp"
#include "map/libraries/bare.hpp"
#include "map/libraries/tandem.hpp"
#include "map/library.hpp"
#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
#include "map/libraries/redis_plus_plus.hpp"
#endif

namespace bench::map {

/// Names that the figures are compared by.
namespace names {
inline constexpr auto ours = "tandem";
inline constexpr auto cached = "tandem cached";
inline constexpr auto bare = "hiredis";
inline constexpr auto redis_py = "python3-redis";
inline constexpr auto ioredis = "ioredis";
inline constexpr auto redis_plus_plus = "redis++";
}  // namespace names

using Entrants = Candidates<Candidate>;

/// The contenders that are written in C++, by name.
inline std::unique_ptr<Library> make(std::string_view name, Task const& task) {
  if (name == names::ours) return std::make_unique<TandemMap>(task);
  if (name == names::cached) return std::make_unique<TandemCachedMap>(task);
  if (name == names::bare) return std::make_unique<BareMap>(task);
#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
  if (name == names::redis_plus_plus) return std::make_unique<RedisPlusPlusMap>(task);
#endif
  throw std::invalid_argument{"there is no contender '" + std::string{name} + "'"};
}

/// `programs`: the folder of worker.py and worker.js; `node_modules`: where npm puts packages;
/// `only`: names of those that take part, separated by commas; empty: all.
///
/// Errors: std::invalid_argument for a name that is none.
inline Entrants entrants(std::string const& programs, std::string const& node_modules,
                         std::string const& socket, std::string const& only) {
  auto out = tried_out(
      chosen<Candidate>(
          {
              own_candidate(names::bare),
              own_candidate(names::ours),
              own_candidate(names::cached),
              // Debian's: what it has is not seen by a python3 that somebody has put before it.
              {names::redis_py, {"/usr/bin/python3", programs + "/worker.py"}},
              {names::ioredis, {"node", programs + "/worker.js", node_modules}},
#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
              own_candidate(names::redis_plus_plus),
#endif
          },
          only),
      Task{.socket = socket, .map = "trial", .callers = 1}.words());
#ifndef TANDEM_BENCH_REDIS_PLUS_PLUS
  out.absent.push_back("redis++ is not installed: CMake found none.");
#endif
  return out;
}

}  // namespace bench::map
