#pragma once

#include <cstddef>

#include <tandem/core/script.hpp>

namespace tandem::detail {

/// How the server keeps a lock: the scripts that speak for it. Those of all kinds take the same keys
/// (the lock, its waiters, its state; of several locks these of each), and begin with the same
/// arguments.
struct LockKind {
  Script const& acquire;
  Script const& release;
  Script const& renew;
  Script const& commit;
  std::size_t acquire_words;  ///< of the arguments, those that its script takes
  std::size_t release_words;
  bool of_strangers;  ///< strangers lock the same key, and tell nobody when they are done
  bool meets_here;    ///< threads of one process queue in the process, and pass it on there
};

/// One holder: a string. src/lua/lock/
extern LockKind const lock_kind;
/// Several who share, or one alone: a sorted set. src/lua/permits/
extern LockKind const permits_kind;
/// Several of lock_kind, held as one: the same keys, one token. src/lua/multi_lock/
extern LockKind const multi_kind;

}  // namespace tandem::detail
