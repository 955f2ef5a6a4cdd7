#pragma once

namespace tandem::support {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool has_address_sanitizer = true;
#else
constexpr bool has_address_sanitizer = false;
#endif

/// Whether this program is built with a sanitizer, which makes everything slower, and so changes
/// who runs when.
#if defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = has_address_sanitizer;
#endif

/// Whether the child of a fork may find malloc locked for ever, by a thread that was in the middle
/// of it and does not exist there: g++ 12's address sanitizer does not unlock it, as glibc does.
constexpr bool child_may_find_malloc_locked = has_address_sanitizer;

/// Whether a type's first use needs a descriptor to be had: g++ 12's undefined-behaviour sanitizer
/// looks through a pipe whether an object is there.
constexpr bool types_need_a_descriptor = has_address_sanitizer;

}  // namespace tandem::support
