#include "statistics_sample.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace tandem::detail {
namespace {

// In every hash that is stored; never to be changed.
constexpr double growth = 1.02;
constexpr double smallest = 1e-300;
// Places of positive values begin behind that of the smallest number.
constexpr int middle_place = 40'000;

double const log_growth = std::log(growth);

}  // namespace

void ExactSum::add(double value, double its_rest) noexcept {
  double const total = sum + value;
  double const part = total - sum;
  double const lack = (sum - (total - part)) + (value - part) + rest + its_rest;
  sum = total + lack;
  rest = lack - (sum - total);
  if (std::isnan(rest)) {  // beyond the range of numbers there is none
    sum = total;
    rest = 0;
  }
}

int Buckets::place_of(double value) noexcept {
  auto const size = std::abs(value);
  if (size < smallest) return 0;
  auto const place = static_cast<int>(std::ceil(std::log(size) / log_growth)) + middle_place;
  return value < 0 ? -place : place;
}

std::string Buckets::name(int place) {
  if (place == 0) return "0";
  return fmt::format("{}{} ~{:.3g}", place < 0 ? '-' : '+', std::abs(place) - middle_place,
                     middle(place));
}

std::optional<int> Buckets::place(std::string_view name) noexcept {
  if (name == "0") return 0;
  if (name.size() < 2 || (name[0] != '+' && name[0] != '-')) return std::nullopt;
  int number = 0;
  auto const [end, fault] = std::from_chars(name.data() + 1, name.data() + name.size(), number);
  if (fault != std::errc{} || std::abs(number) >= middle_place) return std::nullopt;
  if (end != name.data() + name.size() && *end != ' ') return std::nullopt;
  return name[0] == '-' ? -(number + middle_place) : number + middle_place;
}

double Buckets::middle(int place) noexcept {
  if (place == 0) return 0;
  auto const lower = std::exp((std::abs(place) - middle_place - 1) * log_growth);
  auto const out = lower * (2 * growth / (1 + growth));
  return place < 0 ? -out : out;
}

std::pair<double, double> Buckets::bounds(int place) noexcept {
  if (place == 0) return {0, 0};
  auto const lower = std::exp((std::abs(place) - middle_place - 1) * log_growth);
  auto const upper = std::min(lower * growth, std::numeric_limits<double>::max());
  return place < 0 ? std::pair{-upper, -lower} : std::pair{lower, upper};
}

void Sample::add(double value) {
  ++buckets[Buckets::place_of(value)];  // first: there may be no memory for it
  ++count;
  sum.add(value);
  auto const apart = value - mean_;
  mean_ += apart / static_cast<double>(count);
  squares += apart * (value - mean_);
  min = std::min(min, value);
  max = std::max(max, value);
}

void Sample::take(Sample& other) noexcept {
  if (other.count == 0) return;
  auto const n = static_cast<double>(count);
  auto const m = static_cast<double>(other.count);
  auto const apart = count == 0 ? 0 : other.sum.sum / m - sum.sum / n;
  squares += other.squares + apart * apart * n * m / (n + m);
  count += other.count;
  sum.add(other.sum.sum, other.sum.rest);
  mean_ = sum.sum / static_cast<double>(count);
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  buckets.merge(other.buckets);  // no memory is needed for it
  for (auto const& [place, more] : other.buckets) buckets.find(place)->second += more;
  other = Sample{};
}

}  // namespace tandem::detail
