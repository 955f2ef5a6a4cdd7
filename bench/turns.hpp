#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <random>
#include <vector>

namespace bench {

/// Contenders take turns in slices: each has one in every round, in an order drawn anew. So a stall
/// of the machine meets all alike, and none always comes after the same other one.
///
/// `run`: a slice of the contender of that number. Returns the slices of each.
template <class Run>
auto take_turns(std::size_t contenders, int rounds, Run const& run) {
  std::vector<std::vector<decltype(run(std::size_t{}))>> out(contenders);
  std::vector<std::size_t> order(contenders);
  std::iota(order.begin(), order.end(), 0U);
  std::minstd_rand random{1};
  for (int round = 0; round < rounds; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (auto const i : order) out[i].push_back(run(i));
  }
  return out;
}

}  // namespace bench
