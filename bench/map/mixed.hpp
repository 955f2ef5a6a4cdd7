#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bare.hpp"
#include "crew.hpp"
#include "map/asked.hpp"
#include "map/libraries/tandem.hpp"
#include "map/library.hpp"
#include "map/plan.hpp"
#include "quantile.hpp"
#include "turns.hpp"
#include "usage.hpp"
#include "workers.hpp"

namespace bench::map {

/// Names of those by which entries are changed that others read from a CachedMap.
namespace names {
inline constexpr auto cached_set = "CachedMap::set";
inline constexpr auto shared_set = "SharedMap::set";
}  // namespace names

/// The figures of processes that read entries from a CachedMap, and change them now and then.
struct Mixed {
  int processes;
  std::string contender;  ///< by what they are changed
  double per_window = 0;  ///< operations, of all processes together: median of the slices
  double cpu = 0;         ///< microseconds of the clients' time for one: median of the slices
  double changes = 0;     ///< of all operations
  double hits = 0;        ///< of the reads: those for which nobody asked the server

  [[nodiscard]] int callers() const { return processes; }
};

/// A process that reads, and changes one time in a hundred, any entry of all as often as any other.
/// It is told
///
///     warm            reads each entry once. Answers "warm"
///     run BEGIN END   as in worker.hpp. Answers
///         {"in_window": 4190, "reads": 4150, "changes": 41, "cpu_us": 48000}
class MixedWorker {
 public:
  explicit MixedWorker(Task const& task, std::string const& how)
      : cached_{cached(task.socket, task.map)} {
    if (how == names::shared_set) {
      shared_.emplace(client_of(task.socket), task.map);
    } else if (how != names::cached_set) {
      throw std::invalid_argument{"nothing is changed by '" + how + "'"};
    }
  }

  /// Until its input ends.
  void serve() {
    workers::say("ready");
    workers::listen([this](std::string const& line) {
      std::istringstream words{line};
      std::string verb;
      std::int64_t begin = 0;
      std::int64_t end = 0;
      words >> verb >> begin >> end;
      if (verb == "warm") {
        (void)cached_.get_many(fields_);
        workers::say("warm");
      } else {
        workers::say(answer_to(begin, end));
      }
    });
  }

 private:
  static constexpr unsigned operations_to_a_change = 100;

  std::string answer_to(std::int64_t begin, std::int64_t end) {
    std::int64_t in_window = 0;
    std::int64_t reads = 0;
    std::int64_t changes = 0;
    auto const usage = Usage::so_far();
    workers::sleep_until(begin);
    for (auto now = workers::now(); now < end;) {
      auto const& field = fields_[random_() % fields_.size()];
      if (++operations_ % operations_to_a_change == 0) {
        change(field, now);
        ++changes;
      } else {
        (void)present(cached_.get(field), field);
        ++reads;
      }
      now = workers::now();
      if (now <= end) ++in_window;
    }
    auto const used = Usage::so_far() - usage;
    return fmt::format(R"({{"in_window": {}, "reads": {}, "changes": {}, "cpu_us": {:.0f}}})",
                       in_window, reads, changes, used.cpu_microseconds);
  }

  void change(std::string const& field, std::int64_t value) {
    if (shared_) {
      shared_->set(field, value);
    } else {
      cached_.set(field, value);
    }
  }

  Cached cached_;
  std::optional<Shared> shared_{};
  std::vector<std::string> fields_ = Task::fields();
  std::mt19937_64 random_{std::random_device{}()};
  // From a moment of its own, so that processes do not change at the same time; over all windows, as
  // a short one on a slow machine may have less than a hundred.
  std::uint64_t operations_ = random_() % operations_to_a_change;
};

/// The processes that do so, with one map.
class MixedTeam final : public Crew {
 public:
  struct Slice {
    double in_window = 0;
    double reads = 0;
    double changes = 0;
    double cpu_microseconds = 0;
    double asked = 0;
  };

  MixedTeam(std::string const& how, std::string const& socket, int processes)
      : MixedTeam{how, Task{socket, fmt::format("{} by {}", how, processes), 1}, processes} {}

  [[nodiscard]] Slice run(std::chrono::milliseconds length) {
    Slice out;
    auto const before = Asked::so_far(server_);
    for (auto const& answer : run_all(length)) {
      out.in_window += answer.number("in_window");
      out.reads += answer.number("reads");
      out.changes += answer.number("changes");
      out.cpu_microseconds += answer.number("cpu_us");
    }
    out.asked = static_cast<double>((Asked::so_far(server_) - before).entries());
    return out;
  }

 private:
  MixedTeam(std::string const& how, Task const& task, int processes)
      : Crew{Candidate{how, {own_program(), "--mix", how}}, {processes}, task.words()},
        server_{Bare::over_unix(task.socket)} {
    fill(server_, task.map);
    (void)ask_all("warm");
  }

  Bare server_;
};

/// With so many processes.
inline std::vector<Mixed> measure_mixed(std::string const& socket, int processes,
                                        Plan const& plan) {
  std::vector<std::unique_ptr<MixedTeam>> teams;
  for (auto const* const how : {names::cached_set, names::shared_set})
    teams.push_back(std::make_unique<MixedTeam>(how, socket, processes));
  for (auto const& team : teams) (void)team->run(plan.window);
  auto slices = take_turns(teams.size(), plan.windows,
                           [&](std::size_t i) { return teams[i]->run(plan.window); });
  std::vector<Mixed> out;
  for (std::size_t i = 0; i < teams.size(); ++i) {
    // Where the machine stalls for whole windows, there are more of them.
    auto const operations = [&] {
      double sum = 0;
      for (auto const& slice : slices[i]) sum += slice.reads + slice.changes;
      return sum;
    };
    for (int more = 0; more < 100 && operations() < 1000; ++more)
      slices[i].push_back(teams[i]->run(plan.window));
    auto& cell = out.emplace_back(Mixed{processes, teams[i]->name()});
    std::vector<double> in_window;
    std::vector<double> cpu;
    double reads = 0;
    double changes = 0;
    double asked = 0;
    for (auto const& slice : slices[i]) {
      in_window.push_back(slice.in_window);
      cpu.push_back(slice.cpu_microseconds / std::max(1., slice.reads + slice.changes));
      reads += slice.reads;
      changes += slice.changes;
      asked += slice.asked;
    }
    cell.per_window = median(std::move(in_window));
    cell.cpu = median(std::move(cpu));
    cell.changes = changes / std::max(1., reads + changes);
    cell.hits = 1 - asked / std::max(1., reads);
  }
  return out;
}

}  // namespace bench::map
