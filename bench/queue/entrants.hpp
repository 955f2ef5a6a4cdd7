#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "candidate.hpp"
#include "queue/libraries/reliable_list.hpp"
#include "queue/libraries/tandem.hpp"
#include "queue/library.hpp"
#include "queue/slice.hpp"

namespace bench::queue {

/// Names that the figures are compared by.
namespace names {
inline constexpr auto ours = "tandem";
inline constexpr auto bare = "hiredis";
inline constexpr auto bullmq = "bullmq";
inline constexpr auto rq = "python3-rq";
inline constexpr auto redis_benchmark = "redis-benchmark";
}  // namespace names

using Entrants = Candidates<Candidate>;

/// The contenders that are written in C++, by name.
inline std::unique_ptr<Library> make(std::string_view name, Task const& task) {
  if (name == names::ours) return std::make_unique<TandemQueue>(task);
  if (name == names::bare) return std::make_unique<ReliableList>(task);
  throw std::invalid_argument{"there is no contender '" + std::string{name} + "'"};
}

/// Whether the contender has a way to do that to so many at once.
inline bool can(std::string_view name, Operation const& operation) {
  return operation.at_once == 1 || operation.verb == Operation::push || name == names::ours ||
         name == names::bare;
}

/// `programs`: the folder of worker.py and worker.js; `node_modules`: where npm puts packages;
/// `only`: names of those that take part, separated by commas; empty: all.
///
/// Errors: std::invalid_argument for a name that is none.
inline Entrants entrants(std::string const& programs, std::string const& node_modules,
                         std::string const& socket, std::string const& only) {
  return tried_out(chosen<Candidate>(
                       {
                           own_candidate(names::bare),
                           own_candidate(names::ours),
                           {names::bullmq, {"node", programs + "/worker.js", node_modules}},
                           // Debian's: what it has is not seen by a python3 put before it.
                           {names::rq, {"/usr/bin/python3", programs + "/worker.py"}},
                       },
                       only),
                   Task{.socket = socket, .queue = "trial"}.words());
}

}  // namespace bench::queue
