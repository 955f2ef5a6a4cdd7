#pragma once

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bare.hpp"
#include "map/libraries/tandem.hpp"
#include "map/library.hpp"
#include "map/local_cell.hpp"
#include "map/plan.hpp"
#include "overheard.hpp"
#include "quantile.hpp"
#include "turns.hpp"
#include "workers.hpp"

namespace bench::map {

/// What it costs to read an entry that is in memory, beside a map of the process under a lock.
class LocalReads {
 public:
  explicit LocalReads(std::string const& socket)
      : socket_{socket},
        plain_{filled(socket)},
        // What is read again because of its age is not what is measured here.
        cached_{cached(socket, map, {.max_age = std::chrono::hours{1}})},
        contenders_{
            {names::plain_map,
             over_and_over([this](auto const& field) { return plain_.find(field)->second; })},
            {names::locked_map, over_and_over([this](auto const& field) {
               std::shared_lock const lock{mutex_};
               return plain_.find(field)->second;
             })},
            {names::cached_map, over_and_over([this](auto const& field) {
               return present(cached_.get(field), field);
             })},
        } {
    std::shuffle(fields_.begin(), fields_.end(), std::minstd_rand{1});  // not as memory has them
    (void)cached_.get_many(fields_);
  }

  /// All of them, with so many threads; in the same turns. `cores`: that they may use.
  [[nodiscard]] std::vector<Local> measure(std::string const& place, int threads, int cores,
                                           Plan const& plan) {
    auto const slices = take_turns(contenders_.size(), plan.rounds, [&](std::size_t i) {
      return slice(contenders_[i].read, threads, std::min(threads, cores), plan.read_slice);
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

  /// How many commands anybody sends while so many threads read the CachedMap.
  [[nodiscard]] double commands_while_read(int threads, std::chrono::milliseconds time) {
    return Overheard::of(socket_,
                         [&]() -> std::size_t {
                           (void)slice(contenders_.back().read, threads, threads, time);
                           return 1;
                         })
        .commands;
  }

 private:
  static constexpr auto map = "local";
  static constexpr int reads_at_once = 100;  // between two looks at the clock

  /// Goes on with the entry at `at`. Returns what nobody needs, so that it has to be read.
  using Read = std::function<std::int64_t(std::size_t& at)>;
  struct Contender {
    std::string name;
    Read read;
  };

  template <class Get>
  Read over_and_over(Get get) const {
    return [this, get](std::size_t& at) {
      std::int64_t sum = 0;
      for (int i = 0; i < reads_at_once; ++i) {
        sum += get(fields_[at]);
        if (++at == fields_.size()) at = 0;
      }
      return sum;
    };
  }

  static std::unordered_map<std::string, std::int64_t> filled(std::string const& socket) {
    auto server = Bare::over_unix(socket);
    fill(server, map);
    std::unordered_map<std::string, std::int64_t> out;
    for (int i = 0; i < Task::entries; ++i) out[Task::field(i)] = i;
    return out;
  }

  static std::int64_t processor_time() {
    timespec used{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return used.tv_sec * std::int64_t{1'000'000'000} + used.tv_nsec;
  }

  /// Nanoseconds of processor time for one read, of all threads; none where they did not have four
  /// fifths of the cores: then they did not disturb each other as they would.
  static std::optional<double> slice(Read const& read, int threads, int cores,
                                     std::chrono::milliseconds length) {
    struct alignas(64) Share {
      std::int64_t reads = 0;
      std::int64_t used = 0;
      std::int64_t volatile sum = 0;
    };
    std::vector<Share> shares(static_cast<std::size_t>(threads));
    std::int64_t begin = 0;
    // To be woken takes some time, and not all the same; by then all of them look at the clock.
    std::barrier together{threads, [&begin]() noexcept { begin = workers::now() + 200'000; }};
    workers::at_once(shares.size(), [&](std::size_t thread) {
      auto& own = shares[thread];
      auto at = thread * Task::entries / shares.size();
      own.sum = read(at);  // the thread's first
      together.arrive_and_wait();
      while (workers::now() < begin) continue;
      auto const end = begin + std::chrono::nanoseconds{length}.count();
      auto const before = processor_time();
      for (; workers::now() < end; own.reads += reads_at_once) own.sum = read(at);
      own.used = processor_time() - before;
    });
    Share all;
    for (auto const& each : shares) {
      all.reads += each.reads;
      all.used += each.used;
    }
    auto const had = static_cast<double>(all.used);
    auto const could = static_cast<double>(std::chrono::nanoseconds{length}.count() * cores);
    if (all.reads == 0 || had < 0.8 * could) return std::nullopt;
    return had / static_cast<double>(all.reads);
  }

  std::string socket_;
  std::vector<std::string> fields_ = Task::fields();
  std::shared_mutex mutex_{};
  std::unordered_map<std::string, std::int64_t> plain_;
  Cached cached_;
  std::vector<Contender> contenders_;
};

}  // namespace bench::map
