#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "json.hpp"
#include "quantile.hpp"

namespace bench {

/// Times two ways of doing the same, a slice of one and a slice of the other in turn, so that a
/// stall of the machine meets both alike. The figure is the ratio of medians; means and totals say
/// nothing here.
class Paired {
 public:
  using Operation = std::function<void()>;

  struct Row {
    std::string name;
    double reference_p50, reference_p99, ours_p50, ours_p99;  // microseconds
    double target;  // of ours_p50 / reference_p50; 0: none
    [[nodiscard]] double ratio() const { return ours_p50 / reference_p50; }
  };

  explicit Paired(std::chrono::milliseconds total) : total_{total} {}

  void compare(std::string name, Operation const& reference, Operation const& ours, double target) {
    std::vector<double> theirs;
    std::vector<double> own;
    for (int i = 0; i < 200; ++i) reference(), ours();  // warm: connections, scripts, caches
    auto const end = Clock::now() + total_;
    while (Clock::now() < end) {
      slice(reference, theirs);
      slice(ours, own);
    }
    rows_.push_back({std::move(name), quantile(theirs, 0.5), quantile(theirs, 0.99),
                     quantile(own, 0.5), quantile(own, 0.99), target});
  }

  void print() const {
    fmt::print("{:<34} {:>12} {:>12} {:>12} {:>12} {:>8} {:>8}\n", "microseconds", "bare p50",
               "bare p99", "tandem p50", "tandem p99", "ratio", "target");
    for (auto const& row : rows_) {
      auto const target = row.target > 0 ? fmt::format("{:.2f}", row.target) : std::string{"-"};
      fmt::print("{:<34} {:>12.2f} {:>12.2f} {:>12.2f} {:>12.2f} {:>8.2f} {:>8}\n", row.name,
                 row.reference_p50, row.reference_p99, row.ours_p50, row.ours_p99, row.ratio(),
                 target);
    }
  }

  [[nodiscard]] Json json() const {
    Json out;
    out.array([&] {
      for (auto const& row : rows_) {
        out.object([&] {
          out.field("name", row.name);
          out.field("bare_p50_us", row.reference_p50);
          out.field("bare_p99_us", row.reference_p99);
          out.field("tandem_p50_us", row.ours_p50);
          out.field("tandem_p99_us", row.ours_p99);
          out.field("ratio_of_medians", row.ratio());
        });
      }
    });
    return out;
  }

 private:
  using Clock = std::chrono::steady_clock;

  static void slice(Operation const& operation, std::vector<double>& out) {
    auto const end = Clock::now() + std::chrono::milliseconds{10};
    for (auto begin = Clock::now(); begin < end;) {
      operation();
      auto const now = Clock::now();
      out.push_back(std::chrono::duration<double, std::micro>(now - begin).count());
      begin = now;
    }
  }

  std::chrono::milliseconds total_;
  std::vector<Row> rows_;
};

}  // namespace bench
