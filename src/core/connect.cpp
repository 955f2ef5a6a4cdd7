#include "core/connect.hpp"

#include <algorithm>

#include "core/backoff.hpp"

namespace tandem::detail {

using std::chrono::steady_clock;

std::unique_ptr<Wire> connect_patiently(Options const& options, Deadline deadline,
                                        Waiting& waiting) {
  auto const give_up = std::min(deadline, steady_clock::now() + options.connect_timeout);
  Backoff backoff{std::chrono::milliseconds{5}, std::chrono::milliseconds{250}};
  for (;;) {
    try {
      return std::make_unique<Wire>(options, give_up, waiting);
    } catch (Unreachable const&) {
      auto const again = steady_clock::now() + backoff.pause();
      if (again >= give_up) throw;
      poll_until(nullptr, 0, again);
    }
  }
}

}  // namespace tandem::detail
