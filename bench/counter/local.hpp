#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tandem/buffered_counter.hpp>
#include <tandem/client.hpp>
#include <tandem/statistics.hpp>

#include "counter/local_cell.hpp"
#include "counter/plan.hpp"
#include "overheard.hpp"
#include "quantile.hpp"
#include "turns.hpp"
#include "workers.hpp"

namespace bench::counter {

/// What an add costs the thread that adds.
class LocalAdds {
 public:
  explicit LocalAdds(std::string const& url)
      : buffered_{tandem::Client{url}, "buffered"},
        statistics_{tandem::Client{url}, "bench", "statistics"},
        atomics_(64),
        contenders_{
            {names::shared_atomic,
             [this](std::size_t, int times) {
               while (times-- > 0) shared_.fetch_add(1, std::memory_order_relaxed);
             }},
            {names::own_atomics,
             [this](std::size_t thread, int times) {
               auto& own = atomics_[thread % atomics_.size()].value;
               while (times-- > 0) own.fetch_add(1, std::memory_order_relaxed);
             }},
            {names::buffered_counter,
             [this](std::size_t, int times) {
               added_ += times;
               while (times-- > 0) buffered_.add();
             }},
            {names::statistics,
             [this](std::size_t, int times) {
               while (times-- > 0) statistics_.add(1);
             }},
        } {}

  /// All of them, with so many threads; in the same turns.
  [[nodiscard]] std::vector<Local> measure(std::string const& place, int threads,
                                           Plan const& plan) {
    auto const slices = take_turns(contenders_.size(), plan.rounds, [&](std::size_t i) {
      return slice(contenders_[i].add, threads, plan.adds_in_a_slice);
    });
    std::vector<Local> out;
    for (std::size_t i = 0; i < contenders_.size(); ++i) {
      std::vector<double> ns;
      for (auto const& each : slices[i]) {
        if (each) ns.push_back(*each);
      }
      auto& cell = out.emplace_back(Local{place, threads, contenders_[i].name});
      cell.slices = ns.size();
      if (!ns.empty()) cell.ns = median(std::move(ns));
    }
    return out;
  }

  /// How much the buffered counter has lost of what was added; < 0: counted twice.
  [[nodiscard]] std::int64_t lost() {
    buffered_.flush();
    return added_ - buffered_.value();
  }

  /// Commands for each of its intervals while it is added to all the time. `socket`: of the server.
  [[nodiscard]] double commands_for_an_interval(std::string const& socket, int intervals) {
    using Clock = std::chrono::steady_clock;
    auto const interval = tandem::BufferedCounterOptions{}.flush_interval;
    auto const add_for = [&](Clock::duration time) {
      for (auto const end = Clock::now() + time; Clock::now() < end; ++added_) buffered_.add();
    };
    add_for(2 * interval);  // the connection of the background is there
    return Overheard::of(socket,
                         [&] {
                           // In a span of time lie flushes of the intervals that it touches.
                           auto const begin = Clock::now().time_since_epoch() / interval;
                           add_for(intervals * interval);
                           auto const end = Clock::now().time_since_epoch() / interval;
                           return static_cast<std::size_t>(end - begin + 1);
                         })
        .commands;
  }

 private:
  using Add = std::function<void(std::size_t thread, int times)>;
  struct Contender {
    std::string name;
    Add add;
  };
  struct alignas(64) OwnAtomic {
    std::atomic<std::int64_t> value = 0;
  };

  /// Nanoseconds of the slowest thread for one add; none where they were not all at work for four
  /// fifths of the time: then they did not disturb each other as they would.
  std::optional<double> slice(Add const& add, int threads, int times) {
    constexpr int warm = 1000;  // the thread's first
    struct Span {
      std::int64_t begin, end;
    };
    std::vector<Span> spans(static_cast<std::size_t>(threads));
    std::int64_t begin = 0;
    // To be woken takes some time, and not all the same; by then all of them look at the clock.
    std::barrier together{threads, [&begin]() noexcept { begin = workers::now() + 200'000; }};
    workers::at_once(spans.size(), [&](std::size_t thread) {
      add(thread, warm);
      together.arrive_and_wait();
      auto now = workers::now();
      while (now < begin) now = workers::now();
      add(thread, times);
      spans[thread] = {now, workers::now()};
    });
    Span all = spans.front();
    Span common = spans.front();
    std::int64_t longest = 0;
    for (auto const& each : spans) {
      all = {std::min(all.begin, each.begin), std::max(all.end, each.end)};
      common = {std::max(common.begin, each.begin), std::min(common.end, each.end)};
      longest = std::max(longest, each.end - each.begin);
    }
    if (5 * (common.end - common.begin) < 4 * (all.end - all.begin)) return std::nullopt;
    return static_cast<double>(longest) / times;
  }

  tandem::BufferedCounter buffered_;
  tandem::Statistics statistics_;
  std::atomic<std::int64_t> shared_ = 0;
  std::vector<OwnAtomic> atomics_;
  std::vector<Contender> contenders_;
  std::atomic<std::int64_t> added_ = 0;  // to buffered_
};

}  // namespace bench::counter
