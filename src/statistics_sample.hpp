#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tandem::detail {

/// A sum that also keeps what its rounding loses.
///
/// Source:  Knuth, The Art of Computer Programming, volume 2, 4.2.2 (TwoSum).
struct ExactSum {
  double sum = 0;
  double rest = 0;

  void add(double value, double its_rest = 0) noexcept;
};

/// Buckets, each reaching 2 % further from 0 than the one before it: their middles are off by less
/// than 1 %. Their bounds are powers of 1.02 for all processes and for ever.
///
/// A bucket has a place in the order of values, and a name: `+128 ~12.5` for the values from
/// 1.02^127 (exclusive) to 1.02^128 (inclusive), `-128 ~-12.5` for their negatives, `0`.
struct Buckets {
  [[nodiscard]] static int place_of(double value) noexcept;
  [[nodiscard]] static std::string name(int place);
  /// Empty for what is no bucket's name; what stands after its number is for people.
  [[nodiscard]] static std::optional<int> place(std::string_view name) noexcept;
  /// The value that is within 1 % of all in it.
  [[nodiscard]] static double middle(int place) noexcept;
  /// The least and the greatest value that belong there.
  [[nodiscard]] static std::pair<double, double> bounds(int place) noexcept;
  /// -1, 0 or 1 for negatives, zero, positives.
  [[nodiscard]] static int side(int place) noexcept { return (place > 0) - (place < 0); }
};

/// What some values were like.
class Sample {
 public:
  void add(double value);
  /// What `other` had is here then; it is empty.
  void take(Sample& other) noexcept;

  std::int64_t count = 0;
  ExactSum sum{};
  double squares = 0;  // of the distances from the mean
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
  std::map<int, std::int64_t> buckets{};  // by place

 private:
  double mean_ = 0;
};

}  // namespace tandem::detail
