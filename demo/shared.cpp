#include "shared.hpp"

#include <utility>

#include <fmt/format.h>

namespace demo {

Shared::Shared(tandem::Client client, std::string_view run)
    : redis{std::move(client)},
      next_chunk{redis, fmt::format("{}:next-chunk", run)},
      tally{redis, fmt::format("{}:tally", run)},
      finished{redis, fmt::format("{}:finished", run)},
      lines{redis, run, "lines", {.period = period}},
      rate{redis, fmt::format("{}:rate", run)},
      report_lock{redis, fmt::format("{}:report", run), {.lease = lease}},
      holdings{redis, fmt::format("{}:holdings", run)},
      run_{run} {}

void Shared::erase_all() {
  auto pipeline = redis.pipeline();
  for (auto const* part : {":next-chunk", ":tally", ":finished", ":rate", ":holdings", ":report"}) {
    pipeline.command("DEL", run_ + part);
  }
  // What RollingCounter and Lock keep beside the key of their name, as their headers say.
  for (auto const* part : {"", ":start", ":last", ":pstart"}) {
    pipeline.command("DEL", fmt::format("stats:{}:lines{}", run_, part));
  }
  for (auto const* part : {"waiters", "state"}) {
    pipeline.command("DEL", fmt::format("{{{}:report}}:{}", run_, part));
  }
  for (auto const& reply : pipeline.execute()) reply.throw_if_error("DEL");
}

}  // namespace demo
