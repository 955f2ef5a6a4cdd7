#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "answer.hpp"
#include "candidate.hpp"
#include "map/cell.hpp"
#include "map/entrants.hpp"
#include "map/libraries/bare.hpp"
#include "map/libraries/tandem.hpp"
#include "map/library.hpp"
#include "map/plan.hpp"
#include "map/team.hpp"
#include "process.hpp"
#include "quantile.hpp"
#include "turns.hpp"
#include "workers.hpp"

namespace bench::map {

/// Names of the ways in which a change reaches a reader in another process.
namespace names {
inline constexpr auto told = "CachedMap::set";
inline constexpr auto foreign = "HSET";
inline constexpr auto polled = "HSET, polled by HGET";
inline constexpr auto bare_told = "HSET and PUBLISH";
}  // namespace names

/// How long it takes until a change by one process is what another one reads.
struct News {
  std::string place;
  std::string contender;
  double round_trip = 0;        ///< microseconds, p50 of HGET by hiredis in the same turns
  std::vector<double> since{};  ///< microseconds since each change was sent
  double p50 = 0;
  double p99 = 0;
  double returned_p50 = 0;  ///< microseconds until the call that changed it returned
  std::size_t unseen = 0;   ///< changes that were not read until the slice was over

  [[nodiscard]] double round_trips() const { return p50 / round_trip; }
};

/// One of two processes: one that changes an entry, and one that reads it over and over meanwhile.
/// Both are told "run BEGIN END". The values are 1, 2, ... over all slices. They answer, with
/// nanoseconds since BEGIN:
///
///     {"values": [1, 2, ...], "seen_ns": [251000, ...]}                       who reads
///     {"values": [1, 2, ...], "sent_ns": [210000, ...], "returned_ns": [...]} who changes
class NewsWorker {
 public:
  static constexpr auto reads = "read";
  static constexpr auto changes = "change";

  NewsWorker(Task const& task, std::string const& how, std::string role) : role_{std::move(role)} {
    bool const by_cache = how == names::told || (how == names::foreign && role_ == reads);
    if (by_cache) {
      library_ = std::make_unique<FromCache>(task);
    } else if (how == names::bare_told) {
      library_ = std::make_unique<BareTold>(task);
    } else {
      library_ = std::make_unique<BareMap>(task);
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
      workers::say(role_ == reads ? read(begin, end) : change(begin, end));
    });
  }

 private:
  /// A CachedMap that reads from memory.
  class FromCache final : public Library {
   public:
    explicit FromCache(Task const& task) : map_{cached(task.socket, task.map)} {}
    [[nodiscard]] std::string text() const override { return "tandem::CachedMap"; }
    std::int64_t get(int /*caller*/, std::string const& field) override {
      return present(map_.get(field), field);
    }
    void set(int /*caller*/, std::string const& field, std::int64_t value) override {
      map_.set(field, value);
    }
    void update(int /*caller*/, std::string const& field) override {
      (void)map_.update(field, one_more);
    }

   private:
    Cached map_;
  };

  /// The least that who reads from memory has to be told, by hiredis alone.
  class BareTold final : public Library {
   public:
    explicit BareTold(Task const& task)
        : map_{task.map},
          mouth_{Bare::over_unix(task.socket)},
          ears_{Bare::over_unix(task.socket)} {
      ears_.command("SUBSCRIBE", map_);
      // As long as the process.
      std::thread{[this] {
        for (;;) last_ = std::strtoll(ears_.next()->element[2]->str, nullptr, 10);
      }}.detach();
    }
    [[nodiscard]] std::string text() const override { return "SUBSCRIBE by hiredis"; }
    std::int64_t get(int /*caller*/, std::string const& /*field*/) override { return last_; }
    void set(int /*caller*/, std::string const& field, std::int64_t value) override {
      auto const text = std::to_string(value);
      mouth_.append("HSET", map_, field, text);
      mouth_.append("PUBLISH", map_, text);
      mouth_.next();
      mouth_.next();
    }
    void update(int /*caller*/, std::string const& /*field*/) override {}

   private:
    std::string map_;
    Bare mouth_;
    Bare ears_;
    std::atomic<std::int64_t> last_ = 0;
  };

  static constexpr std::int64_t rest = 1'000'000;    // between two changes, and some
  static constexpr std::int64_t grace = 20'000'000;  // in which the last is still seen

  std::string read(std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> values;
    std::vector<std::int64_t> seen;
    auto last = library_->get(0, field_);
    workers::sleep_until(begin);
    for (std::int64_t now = 0; now < end + grace;) {
      auto const value = library_->get(0, field_);
      now = workers::now();
      if (value == last) {
        std::this_thread::yield();
        continue;
      }
      values.push_back(value);
      seen.push_back(now - begin);
      last = value;
    }
    return fmt::format(R"({{"values": [{}], "seen_ns": [{}]}})", fmt::join(values, ","),
                       fmt::join(seen, ","));
  }

  std::string change(std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> values;
    std::vector<std::int64_t> sent;
    std::vector<std::int64_t> returned;
    // Not in step with anybody's clock.
    for (auto next = begin + rest; next < end; next += rest + next % (rest / 3)) {
      workers::sleep_until(next);
      auto const before = workers::now();
      if (before >= end) break;  // a call may take longer than the rest
      library_->set(0, field_, ++value_);
      auto const after = workers::now();
      values.push_back(value_);
      sent.push_back(before - begin);
      returned.push_back(after - begin);
    }
    return fmt::format(R"({{"values": [{}], "sent_ns": [{}], "returned_ns": [{}]}})",
                       fmt::join(values, ","), fmt::join(sent, ","), fmt::join(returned, ","));
  }

  std::string role_;
  std::unique_ptr<Library> library_;
  std::string field_ = Task::field(0);
  std::int64_t value_ = 0;
};

/// What one slice tells: when each change was sent, and when it was seen; by values that rise.
struct Told {
  std::vector<std::int64_t> values, sent, returned;
  std::vector<std::int64_t> seen_values, seen;

  /// Adds to the cell's. A change is seen when its value is read, or a later one. `returned`:
  /// microseconds until the call that changed it returned.
  void add_to(News& cell, std::vector<double>& until_returned) const {
    std::size_t at = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      while (at < seen_values.size() && seen_values[at] < values[i]) ++at;
      if (at == seen_values.size()) {
        ++cell.unseen;
      } else {
        cell.since.push_back(static_cast<double>(seen[at] - sent[i]) / 1000);
      }
      until_returned.push_back(static_cast<double>(returned[i] - sent[i]) / 1000);
    }
  }
};

/// The two processes.
class NewsTeam {
 public:
  NewsTeam(std::string how, std::string const& socket) : how_{std::move(how)} {
    Task const task{socket, "news of " + how_, 1};
    auto server = Bare::over_unix(socket);
    server.command("HSET", task.map, Task::field(0), "0");
    auto const start = [&](std::string const& role) {
      auto process = Candidate{how_, {own_program(), "--news", how_, role}}.start(task.words());
      (void)Answer::from(*process);
      return process;
    };
    reader_ = start(NewsWorker::reads);
    writer_ = start(NewsWorker::changes);
  }

  [[nodiscard]] std::string const& name() const noexcept { return how_; }

  [[nodiscard]] Told run(std::chrono::milliseconds length) {
    auto const begin = workers::now() + 4'000'000;  // by then both have heard it
    auto const line =
        fmt::format("run {} {}", begin, begin + std::chrono::nanoseconds{length}.count());
    reader_->say(line);
    writer_->say(line);
    auto const told = Answer::from(*writer_);
    auto const seen = Answer::from(*reader_);
    auto const numbers = [](Answer const& answer, char const* name) {
      return answer.numbers<std::int64_t>(name);
    };
    return {numbers(told, "values"), numbers(told, "sent_ns"), numbers(told, "returned_ns"),
            numbers(seen, "values"), numbers(seen, "seen_ns")};
  }

 private:
  std::string how_;
  std::unique_ptr<Process> reader_{};
  std::unique_ptr<Process> writer_{};
};

/// All ways, in the same turns, and a bare round trip in these, too.
inline std::vector<News> measure_news(std::string const& socket, std::string const& place,
                                      Plan const& plan) {
  std::vector<std::unique_ptr<NewsTeam>> teams;
  for (auto const* const how : {names::told, names::foreign, names::polled, names::bare_told})
    teams.push_back(std::make_unique<NewsTeam>(how, socket));
  Team bare{own_candidate(names::bare), socket, {1}};
  std::vector<News> out(teams.size());
  std::vector<std::vector<double>> returned(teams.size());
  std::vector<double> round_trips;
  for (auto const& team : teams) (void)team->run(plan.window);  // warm
  (void)bare.run(plan.window, operations::get);
  (void)take_turns(teams.size() + 1, plan.news_slices, [&](std::size_t i) {
    if (i < teams.size()) {
      teams[i]->run(plan.window).add_to(out[i], returned[i]);
    } else {
      for (auto const ns : bare.run(plan.window, operations::get).took)
        round_trips.push_back(static_cast<double>(ns) / 1000);
    }
    return 0;
  });
  for (std::size_t i = 0; i < teams.size(); ++i) {
    auto& cell = out[i];
    cell.place = place;
    cell.contender = teams[i]->name();
    cell.round_trip = median(round_trips);
    cell.p50 = median(cell.since);
    cell.p99 = quantile(cell.since, 0.99);
    cell.returned_p50 = median(std::move(returned[i]));
  }
  return out;
}

}  // namespace bench::map
