// What can be asked of a period, and its picture.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "statistics_sample.hpp"
#include "tandem/statistics.hpp"

namespace tandem {
namespace {

using detail::Buckets;

constexpr int rows_of_a_side = 12;
constexpr std::size_t longest_bar = 40;

struct Row {
  double lower, upper;
  std::int64_t count;
};

std::string utc(std::chrono::sys_seconds time) {
  auto const day = std::chrono::floor<std::chrono::days>(time);
  std::chrono::year_month_day const date{day};
  std::chrono::hh_mm_ss const clock{time - day};
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

}  // namespace

double Statistics::Period::mean() const noexcept {
  return count_ == 0 ? std::numeric_limits<double>::quiet_NaN()
                     : sum_ / static_cast<double>(count_);
}

double Statistics::Period::stddev() const noexcept {
  return count_ == 0 ? std::numeric_limits<double>::quiet_NaN()
                     : std::sqrt(squares_ / static_cast<double>(count_));
}

double Statistics::Period::quantile(double q) const {
  if (!(q >= 0 && q <= 1)) {
    throw std::invalid_argument{
        fmt::format("tandem: a quantile was asked for {}; it is from 0 to 1", q)};
  }
  if (count_ == 0) return min_;
  if (q == 0) return min_;
  if (q == 1) return max_;
  auto const rank = static_cast<std::int64_t>(q * static_cast<double>(count_ - 1));
  std::int64_t below = 0;
  for (auto const& each : buckets_) {
    below += each.count;
    if (below > rank) return std::clamp(Buckets::middle(each.place), min_, max_);
  }
  return max_;
}

std::string Statistics::Period::render() const {
  auto out = fmt::format("{}   count {}", utc(start_), count_);
  if (count_ == 0) return out + '\n';
  out += fmt::format("   mean {:.4g}   stddev {:.3g}\n", mean(), stddev());
  out += fmt::format("min {:.4g}   p50 {:.3g}   p90 {:.3g}   p99 {:.3g}   max {:.4g}\n", min_,
                     quantile(0.5), quantile(0.9), quantile(0.99), max_);

  std::vector<Row> rows;
  for (int const side : {-1, 0, 1}) {
    auto const is_here = [side](Bucket const& each) { return Buckets::side(each.place) == side; };
    auto const first = std::find_if(buckets_.begin(), buckets_.end(), is_here);
    if (first == buckets_.end()) continue;
    auto const end = std::find_if_not(first, buckets_.end(), is_here);
    auto const places = std::prev(end)->place - first->place + 1;
    auto const in_a_row = (places + rows_of_a_side - 1) / rows_of_a_side;
    auto const of_side = rows.size();
    for (int at = 0; at < places; at += in_a_row) {
      auto const from = first->place + at;
      auto const to = std::min(from + in_a_row, first->place + places) - 1;
      rows.push_back({Buckets::bounds(from).first, Buckets::bounds(to).second, 0});
    }
    for (auto each = first; each != end; ++each)
      rows[of_side + static_cast<std::size_t>((each->place - first->place) / in_a_row)].count +=
          each->count;
  }
  std::int64_t most = 1;
  for (auto const& row : rows) most = std::max(most, row.count);
  for (auto const& row : rows) {
    auto const part = static_cast<double>(row.count) / static_cast<double>(most);
    std::string const bar(static_cast<std::size_t>(std::ceil(part * longest_bar)), '#');
    out += fmt::format("{:>10.3g} to {:>10.3g} |{:<40} {}\n", row.lower, row.upper, bar, row.count);
  }
  return out;
}

}  // namespace tandem
