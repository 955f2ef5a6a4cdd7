#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/cell.hpp"
#include "client/entrants.hpp"
#include "verdict.hpp"

namespace bench {

/// Holds groups of cells against the targets. A group has the same transport and number of callers,
/// and all contenders.
class Targets {
 public:
  static constexpr int many = 16;

  /// `delayed`: the name of the transport that has the delay.
  explicit Targets(std::string delayed) : delayed_{std::move(delayed)} {}

  /// To be given the groups in the order of their callers, fewest first.
  [[nodiscard]] std::vector<Verdict> of(std::vector<Cell> const& group) {
    std::vector<Verdict> out;
    auto const* const ours = find(group, names::ours);
    if (ours == nullptr) return out;
    auto const add = [&](std::string what, double figure, double limit, bool at_least) {
      out.push_back({std::move(what), ours->transport, ours->callers, figure, limit, at_least});
    };
    auto const* const bare = find(group, names::bare);
    if (bare != nullptr && ours->callers == 1) {
      add("p50 / hiredis' p50", ours->p50 / bare->p50, 1.05, false);
      if (ours->transport == delayed_) one_far_connection_ = bare->per_window;
    }
    if (ours->callers == many && ours->calls()) {
      add("system calls per command", *ours->calls(), 0.5, false);
    }
    if (ours->callers == many && ours->transport == delayed_ && one_far_connection_ > 0) {
      add("commands / those of one hiredis connection", ours->per_window / one_far_connection_, 12,
          true);
    }
    if (auto const* const mutex = find(group, names::mutex)) {
      add("commands / those of the mutex", ours->per_window / mutex->per_window, 1, true);
    }
    return out;
  }

 private:
  static Cell const* find(std::vector<Cell> const& group, std::string_view contender) {
    auto const found = std::find_if(group.begin(), group.end(),
                                    [&](auto const& cell) { return cell.contender == contender; });
    return found == group.end() ? nullptr : &*found;
  }

  std::string delayed_;
  double one_far_connection_ = 0;
};

}  // namespace bench
