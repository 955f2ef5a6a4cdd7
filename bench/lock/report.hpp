#pragma once

#include <vector>

#include "json.hpp"
#include "lock/cell.hpp"
#include "lock/entrants.hpp"
#include "lock/plan.hpp"
#include "run.hpp"

namespace bench::lock {

/// All that a run found out.
struct Report : Run<Plan, Entrants> {
  std::vector<Uncontended> uncontended{};
  std::vector<Contended> contended{};
  std::vector<Crash> crashes{};

  [[nodiscard]] Json json() const {
    return Run::json([this](Json& out) {
      auto const add_cell = [](Json& json, auto const& cell) { add(json, cell); };
      list(out, "uncontended", uncontended, add_cell);
      list(out, "contended", contended, add_cell);
      list(out, "crashes", crashes, add_cell);
    });
  }

 private:
  static void add(Json& out, Uncontended const& cell) {
    out.field("place", cell.place);
    out.field("contender", cell.contender);
    out.field("p50_us", cell.p50);
    out.field("p99_us", cell.p99);
    out.field("per_window", cell.per_window);
    out.field("cpu_us", cell.cpu);
    out.field("commands", cell.commands);
    out.field("commands_in_scripts", cell.in_scripts);
  }
  static void add(Json& out, Contended const& cell) {
    out.field("place", cell.place);
    out.field("processes", cell.shape.processes);
    out.field("threads", cell.shape.threads);
    out.field("section_us", cell.work.section.count());
    out.field("rest_us", cell.work.rest.count());
    out.field("contender", cell.contender);
    out.field("round_trip_us", cell.round_trip);
    out.field("per_window", cell.per_window);
    out.field("wait_p50_us", cell.wait_p50);
    out.field("wait_p99_us", cell.wait_p99);
    out.field("typical_wait_us", cell.typical_wait);
    out.field("hand_off_us", cell.hand_off);
    out.field("hand_off_in_round_trips", cell.hand_off_in_round_trips());
    out.field("handed_over", cell.handed_over);
    out.field("fairness", cell.fairness);
    out.field("cpu_us", cell.cpu);
    out.field("commands", cell.commands);
    out.field("commands_in_scripts", cell.in_scripts);
    out.field("idle_commands_per_second", cell.idle);
    out.field("overlaps", cell.overlaps);
  }
  static void add(Json& out, Crash const& cell) {
    out.field("contender", cell.contender);
    out.field("lease_ms", cell.lease.count());
    out.field("kills", cell.kills);
    out.field("p50_ms", cell.p50);
    out.field("worst_ms", cell.worst);
    out.field("pidfd_p50_ms", cell.watched);
  }
};

}  // namespace bench::lock
