#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include "bare.hpp"
#include "client/contender.hpp"
#include "client/crowd.hpp"
#include "client/libraries/bare.hpp"
#include "client/libraries/mutex.hpp"
#include "client/libraries/tandem.hpp"
#include "client/program.hpp"
#include "client/transport.hpp"
#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
#include "client/libraries/redis_plus_plus.hpp"
#endif

namespace bench {

/// A library that takes part, and how its contenders are made.
struct Entrant {
  std::string name;
  std::string version;
  bool speaks_tls = true;
  std::function<std::unique_ptr<Contender>(Transport const&, int callers)> make;
};

/// All that were thought of: those that can run here, and why the others cannot.
struct Entrants {
  std::vector<Entrant> present{};
  std::vector<std::string> absent{};  ///< a sentence each
};

/// Names that the figures are compared by.
namespace names {
inline constexpr auto bare = "hiredis";
inline constexpr auto mutex = "mutex";
inline constexpr auto ours = "tandem";
}  // namespace names

/// Where the other languages' programs lie.
struct Programs {
  std::string folder;   ///< of slices.py and slices.js
  std::string ioredis;  ///< the package's own folder
};

template <class Make>
auto crowd_of(Make make) {
  return [make](Transport const& to, int callers) {
    return std::make_unique<Crowd>(make(to, callers), callers);
  };
}

/// `to`: a way to a server, to find out which programs can be run.
inline Entrants entrants(Programs const& programs, Transport const& to) {
  Entrants out;
  auto const hiredis = fmt::format("hiredis {}.{}.{}", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
  out.present = {
      {names::bare, hiredis + ", a connection for each thread", Bare::has_tls,
       crowd_of([](auto const& transport, int callers) {
         return std::make_unique<BareConnections>(transport, callers);
       })},
      {names::mutex, hiredis + ", one connection and a mutex", Bare::has_tls,
       crowd_of([](auto const& transport, int) {
         return std::make_unique<MutexAroundBare>(transport);
       })},
      {names::ours, "one tandem::Client", true, crowd_of([](auto const& transport, int) {
         return std::make_unique<TandemClient>(transport);
       })},
  };
  if (!Bare::has_tls) out.absent.push_back("hiredis was built without TLS.");

#ifdef TANDEM_BENCH_REDIS_PLUS_PLUS
  out.present.push_back({"redis++",
                         "redis++ " TANDEM_BENCH_REDIS_PLUS_PLUS ", a pool of connections",
                         RedisPlusPlus::has_tls(), crowd_of([](auto const& transport, int callers) {
                           return std::make_unique<RedisPlusPlus>(transport, callers);
                         })});
#else
  out.absent.push_back("redis++ is not installed: CMake found none.");
#endif

  auto const program = [&](std::string const& name, std::vector<std::string> const& words) {
    try {
      auto const version = Program{words, to, 1}.version();
      out.present.push_back({name, version, true, [words](Transport const& transport, int callers) {
                               return std::make_unique<Program>(words, transport, callers);
                             }});
    } catch (std::runtime_error const& fault) {
      out.absent.push_back(fmt::format("{} cannot be run: {}.", name, fault.what()));
    }
  };
  // Debian's: its python3-redis is not seen by a python3 that somebody has put before it.
  program("python3-redis", {"/usr/bin/python3", programs.folder + "/slices.py"});
  program("ioredis", {"node", programs.folder + "/slices.js", programs.ioredis});
  return out;
}

}  // namespace bench
