#pragma once

#include <vector>

#include "counter/cell.hpp"
#include "counter/entrants.hpp"
#include "counter/local_cell.hpp"
#include "counter/plan.hpp"
#include "json.hpp"
#include "run.hpp"

namespace bench::counter {

/// All that a run found out.
struct Report : Run<Plan, Entrants> {
  std::vector<Cell> cells{};
  std::vector<Local> local{};

  [[nodiscard]] Json json() const {
    return Run::json([this](Json& out) {
      auto const add_cell = [](Json& json, auto const& cell) { add(json, cell); };
      list(out, "cells", cells, add_cell);
      list(out, "local", local, add_cell);
    });
  }

 private:
  static void add(Json& out, Cell const& cell) {
    out.field("place", cell.place);
    out.field("processes", cell.shape.processes);
    out.field("threads", cell.shape.threads);
    out.field("contender", cell.contender);
    out.field("per_window", cell.per_window);
    out.field("per_process", cell.per_process());
    out.field("p50_us", cell.p50);
    out.field("p99_us", cell.p99);
    out.field("cpu_us", cell.cpu);
    out.field("commands", cell.commands);
    out.field("commands_in_scripts", cell.in_scripts);
    out.field("transfers", cell.transfers);
    out.field("lost", cell.lost);
  }
  static void add(Json& out, Local const& cell) {
    out.field("place", cell.place);
    out.field("callers", cell.threads);
    out.field("contender", cell.contender);
    out.field("ns", cell.ns);
    out.field("slices", cell.slices);
    out.field("of_linear", cell.of_linear);
  }
};

}  // namespace bench::counter
