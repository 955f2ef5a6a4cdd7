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
      report_lock{redis, fmt::format("{}:report", run), {.lease = lease}},
      holdings{redis, fmt::format("{}:holdings", run)},
      run_{run} {}

void Shared::erase_all() {
  for (auto const& map : {tally.name(), finished.name(), holdings.name()}) redis.command("DEL", map);
  redis.command("DEL", fmt::format("{}:next-chunk", run_));
  for (auto const* part : {"", ":start", ":last", ":pstart"}) {
    redis.command("DEL", fmt::format("stats:{}:lines{}", run_, part));
  }
  redis.command("DEL", report_lock.name());
  for (auto const* part : {"waiters", "state"})
    redis.command("DEL", fmt::format("{{{}}}:{}", report_lock.name(), part));
}

}  // namespace demo
