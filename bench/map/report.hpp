#pragma once

#include <vector>

#include "json.hpp"
#include "map/cell.hpp"
#include "map/entrants.hpp"
#include "map/local_cell.hpp"
#include "map/mixed.hpp"
#include "map/news.hpp"
#include "map/plan.hpp"
#include "quantile.hpp"
#include "run.hpp"

namespace bench::map {

/// All that a run found out.
struct Report : Run<Plan, Entrants> {
  std::vector<Cell> cells{};
  std::vector<Local> local{};
  std::vector<Mixed> mixed{};
  std::vector<News> news{};

  [[nodiscard]] Json json() const {
    return Run::json([this](Json& out) {
      auto const add_cell = [](Json& json, auto const& cell) { add(json, cell); };
      list(out, "cells", cells, add_cell);
      list(out, "local", local, add_cell);
      list(out, "mixed", mixed, add_cell);
      list(out, "news", news, add_cell);
      list(out, "spread", spread(), add_cell);
    });
  }

 private:
  /// A point of a distribution: so many of a contender's changes were read by then.
  struct Point {
    std::string place;
    std::string contender;
    double part;
    double since;
  };

  [[nodiscard]] std::vector<Point> spread() const {
    std::vector<Point> out;
    for (auto const& cell : news) {
      for (int percent = 0; percent < 100; ++percent) {
        auto const part = percent / 100.;
        out.push_back({cell.place, cell.contender, part, quantile(cell.since, part)});
      }
    }
    return out;
  }

  static void add(Json& out, Cell const& cell) {
    out.field("place", cell.place);
    out.field("processes", cell.shape.processes);
    out.field("threads", cell.shape.threads);
    out.field("operation", cell.operation);
    out.field("contender", cell.contender);
    out.field("per_window", cell.per_window);
    out.field("p50_us", cell.p50);
    out.field("p99_us", cell.p99);
    out.field("cpu_us", cell.cpu);
    out.field("commands", cell.commands);
    out.field("commands_in_scripts", cell.in_scripts);
    out.field("transfers", cell.transfers);
    if (cell.lost) out.field("lost", *cell.lost);
  }
  static void add(Json& out, Local const& cell) {
    out.field("place", cell.place);
    out.field("callers", cell.threads);
    out.field("contender", cell.contender);
    out.field("ns", cell.ns);
    out.field("slices", cell.slices);
  }
  static void add(Json& out, Mixed const& cell) {
    out.field("callers", cell.processes);
    out.field("contender", cell.contender);
    out.field("per_window", cell.per_window);
    out.field("cpu_us", cell.cpu);
    out.field("changes", cell.changes);
    out.field("hits", cell.hits);
  }
  static void add(Json& out, News const& cell) {
    out.field("place", cell.place);
    out.field("contender", cell.contender);
    out.field("round_trip_us", cell.round_trip);
    out.field("p50_us", cell.p50);
    out.field("p99_us", cell.p99);
    out.field("round_trips", cell.round_trips());
    out.field("returned_p50_us", cell.returned_p50);
    out.field("changes", cell.since.size());
    out.field("unseen", cell.unseen);
  }
  static void add(Json& out, Point const& point) {
    out.field("place", point.place);
    out.field("contender", point.contender);
    out.field("part", point.part);
    out.field("since_us", point.since);
  }
};

}  // namespace bench::map
