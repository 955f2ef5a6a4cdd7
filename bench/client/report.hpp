#pragma once

#include <string>
#include <vector>

#include "client/cell.hpp"
#include "client/entrants.hpp"
#include "client/measure.hpp"
#include "json.hpp"
#include "machine.hpp"
#include "verdict.hpp"

namespace bench {

/// All that a run found out, for document.py and for whoever wants to compare two runs.
struct Report {
  Machine machine;
  std::string server;  ///< its version
  Plan plan;
  Entrants entrants;
  std::vector<Cell> cells{};
  std::vector<Verdict> verdicts{};

  [[nodiscard]] Json json() const {
    Json out;
    out.object([&] {
      out.object("machine", [&] {
        machine.add_to(out);
        out.field("server", server);
      });
      out.field("window_ms", plan.window.count());
      out.field("windows", plan.windows);
      out.array("contenders", [&] {
        for (auto const& each : entrants.present) {
          out.object([&] {
            out.field("name", each.name);
            out.field("version", each.version);
          });
        }
      });
      out.array("absent", [&] {
        for (auto const& why : entrants.absent) out.element(why);
      });
      out.array("cells", [&] {
        for (auto const& cell : cells) out.object([&] { add(out, cell); });
      });
      out.array("targets", [&] {
        for (auto const& verdict : verdicts) out.object([&] { verdict.add_to(out); });
      });
    });
    return out;
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
