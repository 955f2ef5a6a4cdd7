#include "locking/kind.hpp"

#include "scripts.hpp"

namespace tandem::detail {

constinit LockKind const lock_kind{.acquire = scripts::lock_acquire,
                                   .release = scripts::lock_release,
                                   .renew = scripts::lock_renew,
                                   .commit = scripts::lock_commit,
                                   .acquire_words = 4,
                                   .release_words = 5,
                                   .of_strangers = true};

}  // namespace tandem::detail
