#pragma once

#include <vector>

#include "client/cell.hpp"
#include "client/entrants.hpp"
#include "client/measure.hpp"
#include "json.hpp"
#include "run.hpp"

namespace bench {

/// All that a run found out.
struct Report : Run<Plan, Entrants> {
  std::vector<Cell> cells{};

  [[nodiscard]] Json json() const {
    return Run::json([this](Json& out) { list(out, "cells", cells, add); });
  }

 private:
  static void add(Json& out, Cell const& cell) {
    out.field("transport", cell.transport);
    out.field("callers", cell.callers);
    out.field("contender", cell.contender);
    out.field("p50_us", cell.p50);
    out.field("p99_us", cell.p99);
    out.field("per_window", cell.per_window);
    out.field("cpu_us", cell.cpu);
    out.field("transfers", cell.transfers);
    out.field("waits", cell.waits);
    out.field("switches", cell.switches);
  }
};

}  // namespace bench
