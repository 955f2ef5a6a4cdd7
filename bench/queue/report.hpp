#pragma once

#include <string>
#include <vector>

#include "json.hpp"
#include "quantile.hpp"
#include "queue/cell.hpp"
#include "queue/entrants.hpp"
#include "queue/flow.hpp"
#include "queue/load.hpp"
#include "queue/plan.hpp"
#include "run.hpp"

namespace bench::queue {

/// All that a run found out.
struct Report : Run<Plan, Entrants> {
  std::vector<Cell> cells{};
  std::vector<Flow> flow{};
  std::vector<Idle> idle{};
  std::vector<Load> load{};

  [[nodiscard]] Json json() const {
    return Run::json([this](Json& out) {
      auto const add_cell = [](Json& json, auto const& cell) { add(json, cell); };
      list(out, "cells", cells, add_cell);
      list(out, "flow", flow, add_cell);
      list(out, "idle", idle, add_cell);
      list(out, "load", load, add_cell);
      list(out, "spread", spread(), add_cell);
    });
  }

 private:
  /// A point of a distribution: so many of a contender's jobs had come by then.
  struct Point {
    std::string place;
    int workers;
    std::string contender;
    double part;
    double since;
  };

  [[nodiscard]] std::vector<Point> spread() const {
    std::vector<Point> out;
    for (auto const& cell : flow) {
      for (int percent = 0; percent < 100; ++percent) {
        auto const part = percent / 100.;
        out.push_back({cell.place, cell.workers, cell.contender, part, quantile(cell.since, part)});
      }
    }
    return out;
  }

  static void add(Json& out, Cell const& cell) {
    out.field("place", cell.place);
    out.field("callers", cell.shape.callers());
    out.field("verb", cell.operation.verb);
    out.field("at_once", cell.operation.at_once);
    out.field("contender", cell.contender);
    out.field("per_window", cell.per_window);
    out.field("p50_us", cell.p50);
    out.field("p99_us", cell.p99);
    out.field("cpu_us", cell.cpu);
    out.field("server_cpu_us", cell.server_cpu);
    out.field("commands", cell.commands);
    out.field("commands_in_scripts", cell.in_scripts);
    out.field("lost", cell.lost);
  }
  static void add(Json& out, Flow const& cell) {
    out.field("place", cell.place);
    out.field("callers", cell.workers);
    out.field("contender", cell.contender);
    out.field("round_trip_us", cell.round_trip);
    out.field("p50_us", cell.p50);
    out.field("p99_us", cell.p99);
    out.field("round_trips", cell.round_trips());
    out.field("commands", cell.commands);
    out.field("commands_in_scripts", cell.in_scripts);
    out.field("jobs", cell.since.size());
  }
  static void add(Json& out, Idle const& cell) {
    out.field("callers", cell.workers);
    out.field("contender", cell.contender);
    out.field("commands_per_second", cell.commands);
  }
  static void add(Json& out, Load const& cell) {
    out.field("callers", cell.workers);
    out.field("contender", cell.contender);
    out.field("at_once", cell.at_once);
    out.field("jobs", cell.jobs);
    out.field("clients_us", cell.clients);
    out.field("server_us", cell.server);
    out.field("together_us", cell.total);
  }
  static void add(Json& out, Point const& point) {
    out.field("place", point.place);
    out.field("callers", point.workers);
    out.field("contender", point.contender);
    out.field("part", point.part);
    out.field("since_us", point.since);
  }
};

}  // namespace bench::queue
