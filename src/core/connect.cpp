#include "core/connect.hpp"

#include <algorithm>

#include "core/backoff.hpp"
#include "core/inspection.hpp"

namespace tandem::detail {

using std::chrono::steady_clock;

std::unique_ptr<Wire> connect_patiently(Options const& options, Deadline deadline,
                                        Waiting& waiting) {
  auto const begun = steady_clock::now();
  auto const give_up = std::min(deadline, begun + options.connect_timeout);
  // However long the pauses have become, the last attempt is made when nearly all time has passed.
  auto const last_attempt = give_up - (give_up - begun) / 10;
  Backoff backoff{std::chrono::milliseconds{5}, std::chrono::milliseconds{250}};
  for (;;) {
    try {
      auto wire = std::make_unique<Wire>(options, give_up, waiting);
      if (options.strict) require_safe(*wire, options, give_up);
      return wire;
    } catch (Unreachable const&) {
      auto const now = steady_clock::now();
      if (now >= last_attempt) throw;
      poll_until(nullptr, 0, std::min(now + backoff.pause(), last_attempt));
    }
  }
}

}  // namespace tandem::detail
