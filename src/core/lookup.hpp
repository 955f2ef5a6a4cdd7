#pragma once

#include <memory>

#include <netdb.h>

#include <tandem/core/options.hpp>

#include "core/waiting.hpp"

namespace tandem::detail {

struct FreeAddresses {
  void operator()(addrinfo* addresses) const noexcept { ::freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

/// The addresses of Options::host and port.
///
/// The system's resolver keeps no deadline: without a network it may take half a minute. So it runs
/// on a thread of its own, which is left to itself when it is late. A numeric address needs none.
///
/// Errors:  Unreachable.
[[nodiscard]] Addresses look_up(Options const& options, Deadline deadline, Waiting& waiting);

}  // namespace tandem::detail
