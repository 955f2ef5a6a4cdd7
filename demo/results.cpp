#include "results.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "text.hpp"

namespace demo {
namespace {

constexpr std::size_t rows_shown = 10;
constexpr std::size_t disagreements_shown = 20;

std::int64_t reports_in(Record const& record, Holding::State state) {
  return std::count_if(record.holdings.begin(), record.holdings.end(),
                       [state](auto const& entry) { return entry.second.state == state; });
}

void print_table(Screen& screen, Record const& record) {
  auto const commonest = record.commonest(rows_shown);
  screen.print("");
  screen.print("     count  key", Style::faint);
  for (auto const& [times, key] : commonest) {
    screen.print(fmt::format("{:>10}  {}", grouped(times), printable(key)));
  }
  if (auto const more = std::ssize(record.tally) - std::ssize(commonest); more > 0) {
    screen.print(fmt::format("{:>10}  and {}", "...", counted(more, "more key")));
  }
  screen.print("");
}

template <class Figure>
void figures_of_the_killing(Figure figure, Record const& record) {
  auto const& killing = *record.killing;
  auto const held = record.holdings.find(killing.fence);
  auto const chunk = held == record.holdings.end() ? -1 : held->second.chunk;
  auto const again =
      std::count_if(record.holdings.begin(), record.holdings.end(), [&](auto const& entry) {
        return entry.second.chunk == chunk && entry.first != killing.fence;
      });
  figure("killed", fmt::format("worker {}, holding fence {}", killing.worker, killing.fence));
  if (auto const successor = record.successor()) {
    figure("recovered", fmt::format("in {}: worker {} got fence {}",
                                    seconds(successor->second.begin - killing.moment),
                                    successor->second.worker, successor->first));
  }
  figure("dropped", fmt::format("chunk {}, half counted; counted again by {}, in the tally once",
                                chunk, counted(again, "worker")));
}

}  // namespace

void print_results(Screen& screen, Together const& together) {
  auto const& record = together.record;
  auto const figure = [&screen](std::string_view name, std::string const& text) {
    screen.print(fmt::format("  {:<14}{}", name, text));
  };
  print_table(screen, record);
  figure("lines",
         fmt::format("{} in {} by {} processes in {}", grouped(record.lines()),
                     counted(together.chunks, "chunk"), together.workers, seconds(together.took)));
  figure("keys", grouped(std::ssize(record.tally)));
  figure("rate",
         fmt::format("{} in {} of {} s", counted(record.lines(), "line"),
                     counted(std::ssize(record.periods), "period"), Shared::period.count()));
  if (!record.holdings.empty()) {
    figure("lock",
           fmt::format("{}; fences from {} to {}", counted(std::ssize(record.holdings), "hold"),
                       record.holdings.begin()->first, record.holdings.rbegin()->first));
  }
  if (record.killing) figures_of_the_killing(figure, record);
  auto const repaired = std::count_if(record.holdings.begin(), record.holdings.end(),
                                      [](auto const& entry) { return entry.second.repaired; });
  figure("reports", fmt::format("{} written whole; {} found half written and written anew",
                                grouped(reports_in(record, Holding::State::ended)), repaired));
  if (auto const lost = reports_in(record, Holding::State::lost); lost > 0) {
    figure("", fmt::format("{} given up, because the lease had ended", lost));
  }
  if (together.commands) {
    auto const rate = static_cast<double>(*together.commands) /
                      std::chrono::duration<double>{together.took}.count();
    figure("commands", fmt::format("{}, {} a second", grouped(*together.commands),
                                   grouped(static_cast<std::int64_t>(rate))));
  }
  screen.print("");
}

void print_verdict(Screen& screen, PlainCount const& alone,
                   std::vector<std::string> const& disagreements) {
  if (disagreements.empty()) {
    screen.print(fmt::format("All numbers agree with what one process counts alone: {} and {}.",
                             counted(std::ssize(alone.tally), "key"), counted(alone.lines, "line")),
                 Style::good);
    return;
  }
  screen.print(
      fmt::format("NOT AS IT MUST BE: {}", counted(std::ssize(disagreements), "disagreement")),
      Style::bad);
  auto const shown = std::min(disagreements.size(), disagreements_shown);
  for (std::size_t i = 0; i < shown; ++i) screen.print("  " + disagreements[i], Style::bad);
  if (shown < disagreements.size())
    screen.print(fmt::format("  and {} more", disagreements.size() - shown));
}

}  // namespace demo
