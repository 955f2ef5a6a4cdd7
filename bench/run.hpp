#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "json.hpp"
#include "machine.hpp"
#include "verdict.hpp"

namespace bench {

/// What every run tells of itself, for page.py and for whoever wants to compare two runs. A
/// benchmark's own report has its cells besides.
template <class Plan, class Entrants>
struct Run {
  Machine machine;
  std::string server;  ///< its version
  Plan plan;
  Entrants entrants;
  std::vector<Verdict> verdicts{};

  /// What was run, and where.
  void print_head() const {
    fmt::print("{}; {}\n", server, machine.text());
    for (auto const& each : entrants.present) fmt::print("{}: {}\n", each.name, each.version);
    for (auto const& why : entrants.absent) fmt::print("absent: {}\n", why);
  }

  /// Adds a group of cells to all of their kind, and what was judged of it, which it prints.
  template <class Cells>
  void note(Cells& all, Cells const& group, std::vector<Verdict> const& judged) {
    print(judged);
    all.insert(all.end(), group.begin(), group.end());
    verdicts.insert(verdicts.end(), judged.begin(), judged.end());
  }

  /// `add_cells`: adds the lists of cells.
  template <class AddCells>
  [[nodiscard]] Json json(AddCells const& add_cells) const {
    Json out;
    out.object([&] {
      out.object("machine", [&] {
        machine.add_to(out);
        out.field("server", server);
      });
      out.field("window_ms", plan.window.count());
      out.field("windows", plan.windows);
      list(out, "contenders", entrants.present, [](Json& json, auto const& each) {
        json.field("name", each.name);
        json.field("version", each.version);
      });
      out.array("absent", [&] {
        for (auto const& why : entrants.absent) out.element(why);
      });
      add_cells(out);
      list(out, "targets", verdicts,
           [](Json& json, Verdict const& verdict) { verdict.add_to(json); });
    });
    return out;
  }

  /// `add`: adds the fields of one.
  template <class All, class Add>
  static void list(Json& out, std::string_view name, All const& all, Add const& add) {
    out.array(name, [&] {
      for (auto const& each : all) out.object([&] { add(out, each); });
    });
  }
};

}  // namespace bench
