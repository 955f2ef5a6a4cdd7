#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

namespace tandem::support {

/// What values are like, by looking at each: with long doubles, in two passes.
class TrueStatistics {
 public:
  explicit TrueStatistics(std::vector<double> values) : values_{std::move(values)} {
    std::sort(values_.begin(), values_.end());
    std::vector<double> by_size = values_;
    std::sort(by_size.begin(), by_size.end(),
              [](double a, double b) { return std::abs(a) < std::abs(b); });
    for (auto const each : by_size) sum_ += each;
    for (auto const each : values_) squares_ += (each - mean()) * (each - mean());
  }

  [[nodiscard]] long long count() const { return static_cast<long long>(values_.size()); }
  [[nodiscard]] double min() const { return values_.front(); }
  [[nodiscard]] double max() const { return values_.back(); }
  [[nodiscard]] long double sum() const { return sum_; }
  [[nodiscard]] long double mean() const { return sum_ / static_cast<long double>(values_.size()); }
  [[nodiscard]] long double stddev() const {
    return std::sqrt(squares_ / static_cast<long double>(values_.size()));
  }
  [[nodiscard]] double quantile(double q) const {
    return values_[static_cast<std::size_t>(q * static_cast<double>(values_.size() - 1))];
  }

 private:
  std::vector<double> values_;
  long double sum_ = 0;
  long double squares_ = 0;
};

/// Times, zeros, negatives, and a few that are far away; the same for the same seed.
inline std::vector<double> odd_values(unsigned seed, int count) {
  std::mt19937_64 random{seed};
  std::lognormal_distribution<double> times{2, 1.5};
  std::vector<double> out;
  for (int i = 0; i < count; ++i) {
    auto const value = times(random);
    switch (random() % 16) {
      case 0:
        out.push_back(0);
        break;
      case 1:
      case 2:
        out.push_back(-value);
        break;
      case 3:
        out.push_back(value * 1e9);
        break;
      case 4:
        out.push_back(value * 1e-9);
        break;
      default:
        out.push_back(value);
    }
  }
  return out;
}

}  // namespace tandem::support
