#pragma once

#include <string>
#include <vector>

#include "json.hpp"
#include "lock/cell.hpp"
#include "lock/entrants.hpp"
#include "lock/plan.hpp"
#include "machine.hpp"
#include "verdict.hpp"

namespace bench::lock {

/// All that a run found out, for document.py and for whoever wants to compare two runs.
struct Report {
  Machine machine;
  std::string server;  ///< its version
  Plan plan;
  Entrants entrants;
  std::vector<Uncontended> uncontended{};
  std::vector<Contended> contended{};
  std::vector<Crash> crashes{};
  std::vector<Verdict> verdicts{};

  [[nodiscard]] Json json() const {
    Json out;
    auto const list = [&out](char const* name, auto const& all, auto const& add) {
      out.array(name, [&] {
        for (auto const& each : all) out.object([&] { add(each); });
      });
    };
    out.object([&] {
      out.object("machine", [&] {
        machine.add_to(out);
        out.field("server", server);
      });
      out.field("window_ms", plan.window.count());
      out.field("windows", plan.windows);
      list("contenders", entrants.present, [&](Entrant const& each) {
        out.field("name", each.name);
        out.field("version", each.version);
      });
      out.array("absent", [&] {
        for (auto const& why : entrants.absent) out.element(why);
      });
      list("uncontended", uncontended, [&](Uncontended const& cell) { add(out, cell); });
      list("contended", contended, [&](Contended const& cell) { add(out, cell); });
      list("crashes", crashes, [&](Crash const& cell) { add(out, cell); });
      list("targets", verdicts, [&](Verdict const& verdict) { verdict.add_to(out); });
    });
    return out;
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
    out.field("section_us", cell.section.count());
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
