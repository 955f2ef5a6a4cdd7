#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace bench {

/// The value that `part` (0 to 1) of the others do not exceed: 0.5 for the median. 0 for no values.
template <class Number>
[[nodiscard]] Number quantile(std::vector<Number> of, double part) {
  if (of.empty()) return Number{};
  auto const at =
      of.begin() + static_cast<std::ptrdiff_t>(part * static_cast<double>(of.size() - 1));
  std::nth_element(of.begin(), at, of.end());
  return *at;
}

template <class Number>
[[nodiscard]] Number median(std::vector<Number> of) {
  return quantile(std::move(of), 0.5);
}

}  // namespace bench
