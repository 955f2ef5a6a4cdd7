#include "locking/kind.hpp"

#include "scripts.hpp"

namespace tandem::detail {

constinit LockKind const lock_kind{.acquire = scripts::lock_acquire,
                                   .release = scripts::lock_release,
                                   .renew = scripts::lock_renew,
                                   .commit = scripts::lock_commit,
                                   .acquire_words = 4,
                                   .release_words = 5,
                                   .of_strangers = true,
                                   .meets_here = true};

constinit LockKind const permits_kind{.acquire = scripts::permits_acquire,
                                      .release = scripts::permits_release,
                                      .renew = scripts::permits_renew,
                                      .commit = scripts::permits_commit,
                                      .acquire_words = 6,
                                      .release_words = 3,
                                      .of_strangers = false,
                                      .meets_here = false};

constinit LockKind const multi_kind{.acquire = scripts::multi_lock_acquire,
                                    .release = scripts::multi_lock_release,
                                    .renew = scripts::multi_lock_renew,
                                    .commit = scripts::multi_lock_commit,
                                    .acquire_words = 4,
                                    .release_words = 3,
                                    .of_strangers = true,
                                    .meets_here = false};

}  // namespace tandem::detail
