#pragma once

#include <memory>

#include "core/wire.hpp"

namespace tandem::detail {

/// A new connection. While there is no server it is tried again, with growing, jittered pauses,
/// until Options::connect_timeout or the deadline is over, so that a restart goes unnoticed.
///
/// Errors:  Unreachable; the ServerError that refuses the handshake.
[[nodiscard]] std::unique_ptr<Wire> connect_patiently(Options const& options, Deadline deadline,
                                                      Waiting& waiting);

}  // namespace tandem::detail
