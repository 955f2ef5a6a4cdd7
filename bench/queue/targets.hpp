#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "places.hpp"
#include "queue/cell.hpp"
#include "queue/entrants.hpp"
#include "queue/flow.hpp"
#include "queue/load.hpp"
#include "queue/slice.hpp"
#include "verdict.hpp"

namespace bench::queue {

/// Holds cells against what tandem's queue has set itself. Each of them is given all contenders of
/// the same lines of the table.
namespace targets {

/// The cell in which tandem did that to so many at once; none where it did not take part.
inline Cell const* ours(std::vector<Cell> const& group, std::string_view verb, int at_once) {
  auto const found = std::find_if(group.begin(), group.end(), [&](Cell const& cell) {
    return cell.contender == names::ours && cell.operation.verb == verb &&
           cell.operation.at_once == at_once;
  });
  return found == group.end() ? nullptr : &*found;
}

inline std::vector<Verdict> of(std::vector<Cell> const& group) {
  std::vector<Verdict> out;
  for (int const at_once : {1, Plan::at_once}) {
    auto const* const push = ours(group, Operation::push, at_once);
    auto const* const work = ours(group, Operation::work, at_once);
    if (push == nullptr || work == nullptr) continue;
    auto const add = [&](std::string const& what, double figure, double limit) {
      out.push_back({what, push->place, push->shape.callers(), figure, limit});
    };
    auto const commands = push->commands + work->commands;
    if (at_once == 1) {
      add("jobs lost or given twice", std::abs(static_cast<double>(push->lost)), 0);
      add("commands per job", commands, 3);
    } else {
      add(fmt::format("commands per job, {} at once", at_once), commands, 1.2);
    }
  }
  return out;
}

inline std::vector<Verdict> of(std::vector<Flow> const& cells) {
  std::vector<Verdict> out;
  for (auto const& cell : cells) {
    if (cell.contender != names::ours) continue;
    out.push_back(
        {"commands per job where workers wait", cell.place, cell.workers, cell.commands, 3});
  }
  return out;
}

inline std::vector<Verdict> of(std::vector<Idle> const& cells) {
  std::vector<Verdict> out;
  for (auto const& cell : cells) {
    if (cell.contender == names::ours) {
      out.push_back(
          {"commands per second of an idle worker", any_cores, cell.workers, cell.commands, 1});
    }
  }
  return out;
}

inline std::vector<Verdict> of(std::vector<Load> const& cells) {
  std::vector<Verdict> out;
  auto const* const reference = queue::reference(cells);
  for (auto const& cell : cells) {
    if (cell.contender != names::ours || reference == nullptr) continue;
    auto const how = cell.at_once == 1 ? "" : fmt::format(", {} at once", cell.at_once);
    out.push_back({"processor time / that of redis-benchmark" + how, any_cores, cell.workers,
                   cell.total / reference->total, 3});
  }
  return out;
}

}  // namespace targets
}  // namespace bench::queue
