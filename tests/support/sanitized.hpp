#pragma once

namespace tandem::support {

/// Whether this program is built with a sanitizer, which makes everything slower, and so changes
/// who runs when: what threads share is not counted in it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif

}  // namespace tandem::support
