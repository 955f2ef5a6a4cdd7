#include "check.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "text.hpp"

namespace demo {
namespace {

using Sentences = std::vector<std::string>;

void compare_tallies(std::map<std::string, Count> const& found, Tally const& expected,
                     Sentences& out) {
  for (auto const& [key, times] : expected) {
    auto const entry = found.find(key);
    auto const counted = entry == found.end() ? 0 : entry->second.times;
    if (counted != times)
      out.push_back(
          fmt::format("'{}' was counted {} times, not {}", printable(key), counted, times));
  }
  for (auto const& [key, count] : found) {
    if (!expected.contains(key)) {
      out.push_back(fmt::format("'{}' was counted {} times, and is not in the file", printable(key),
                                count.times));
    }
  }
}

void check_lines(Record const& record, std::int64_t lines, std::int64_t chunks, Sentences& out) {
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    if (!record.finished.contains(chunk))
      out.push_back(fmt::format("chunk {} was not finished", chunk));
  }
  if (std::ssize(record.finished) > chunks) {
    out.push_back(fmt::format("{} chunks were finished, of {}", record.finished.size(), chunks));
  }
  if (record.lines() != lines)
    out.push_back(fmt::format("{} lines were counted, not {}", record.lines(), lines));

  std::int64_t in_periods = 0;
  for (auto const& [start, count] : record.periods) in_periods += count;
  if (in_periods != lines)
    out.push_back(fmt::format("the periods have {} lines in all, not {}", in_periods, lines));
}

/// The fences are in the order of the holds, and no hold began before the one before it had ended.
void check_holdings(Record const& record, Sentences& out) {
  std::optional<std::pair<std::uint64_t, Moment>> before;  // whose end is known
  for (auto const& [fence, holding] : record.holdings) {
    if (before && holding.begin < before->second) {
      out.push_back(
          fmt::format("the hold with fence {} began {} before that with fence {} had ended", fence,
                      seconds(before->second - holding.begin), before->first));
    }
    if (holding.state != Holding::State::open) {
      before.emplace(fence, holding.end);
    } else if (record.killing && record.killing->fence == fence) {
      before.emplace(fence, record.killing->moment);
    }
  }
}

void check_killing(Record const& record, Sentences& out) {
  if (!record.killing) {
    out.push_back("no worker was killed while it held the lock");
  } else if (!record.successor()) {
    out.push_back("nobody got the lock after its holder was killed");
  }
}

}  // namespace

void Record::read(Shared const& shared) {
  auto const reread = [](auto& entries, auto const& map) {
    entries.clear();
    for (auto [key, value] : map) entries.insert_or_assign(std::move(key), std::move(value));
  };
  reread(tally, shared.tally);
  reread(finished, shared.finished);
  reread(holdings, shared.holdings);
  // What a period had once it has for ever: the most that was seen of it is nearest to the end.
  auto const see_count = [this](std::int64_t start, std::int64_t count) {
    auto& most = periods[start];
    most = std::max(most, count);
  };
  auto const see = [&](tandem::RollingCounter::Period const& period) {
    see_count(period.start.time_since_epoch().count(), period.count);
  };
  for (auto [start, count] : shared.rate) see_count(start, count);
  // In this order, so that a change of period between the two leaves none out.
  auto const current = shared.lines.current();
  if (current.count > 0) see(current);
  if (auto const last = shared.lines.last()) see(*last);
}

std::int64_t Record::lines() const {
  std::int64_t sum = 0;
  for (auto const& [chunk, by] : finished) sum += by.lines;
  return sum;
}

std::vector<std::pair<std::int64_t, std::string>> Record::commonest(std::size_t most) const {
  std::vector<std::pair<std::int64_t, std::string>> keys;
  for (auto const& [key, count] : tally) keys.emplace_back(count.times, key);
  std::stable_sort(keys.begin(), keys.end(),
                   [](auto const& a, auto const& b) { return a.first > b.first; });
  keys.resize(std::min(keys.size(), most));
  return keys;
}

std::optional<Record::Hold> Record::successor() const {
  if (!killing) return std::nullopt;
  auto const found = holdings.upper_bound(killing->fence);
  return found == holdings.end() ? std::nullopt : std::optional<Hold>{*found};
}

std::vector<std::string> disagreements(Record const& record, PlainCount const& expected,
                                       std::int64_t chunks) {
  Sentences out;
  compare_tallies(record.tally, expected.tally, out);
  check_lines(record, expected.lines, chunks, out);
  check_holdings(record, out);
  check_killing(record, out);
  return out;
}

}  // namespace demo
