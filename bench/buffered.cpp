// What an add to a BufferedCounter costs the thread that adds, beside the quickest that is exact
// without buffers: one atomic number that all threads share.
//
//   buffered [--json FILE] [--milliseconds N]     N: measured for each line, default 2000

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <tandem/buffered_counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "arguments.hpp"
#include "json.hpp"
#include "quantile.hpp"

namespace {

using Clock = std::chrono::steady_clock;

struct Cell {
  int threads;
  double atomic_ns, buffered_ns;  // of a thread for one add: medians over slices
};

/// Nanoseconds for each of `count` adds.
double slice(std::function<void(int)> const& adds, int count) {
  auto const begin = Clock::now();
  adds(count);
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / count;
}

Cell measure(int threads, std::chrono::milliseconds total, std::function<void(int)> const& atomic,
             std::function<void(int)> const& buffered) {
  constexpr int in_a_slice = 200'000;
  std::vector<double> theirs(0);
  std::vector<double> ours(0);
  std::barrier together{threads};
  std::atomic<bool> over = false;
  std::vector<std::thread> crowd;
  for (int i = 0; i < threads; ++i) {
    crowd.emplace_back([&, first = i == 0] {
      auto const end = Clock::now() + total;
      while (!over) {
        together.arrive_and_wait();
        auto const a = slice(atomic, in_a_slice);
        together.arrive_and_wait();
        auto const b = slice(buffered, in_a_slice);
        if (first) {
          theirs.push_back(a);
          ours.push_back(b);
          over = Clock::now() >= end;
        }
        together.arrive_and_wait();
      }
    });
  }
  for (auto& thread : crowd) thread.join();
  return {threads, bench::quantile(theirs, 0.5), bench::quantile(ours, 0.5)};
}

}  // namespace

int main(int argc, char** argv) try {
  bench::Arguments arguments{argc, argv};
  auto const json = arguments.text("--json");
  std::chrono::milliseconds const total{arguments.number("--milliseconds").value_or(2000)};
  arguments.expect_no_more();

  tandem::testing::RedisServer server;
  tandem::BufferedCounter counter{tandem::Client{server.url()}, "hits"};
  std::atomic<std::int64_t> shared = 0;
  auto const atomic = [&](int count) {
    for (int i = 0; i < count; ++i) shared.fetch_add(1, std::memory_order_relaxed);
  };
  auto const buffered = [&](int count) {
    for (int i = 0; i < count; ++i) counter.add();
  };

  auto const cores = static_cast<int>(std::thread::hardware_concurrency());
  std::vector<Cell> cells;
  for (int threads = 1; threads <= cores; threads *= 2)
    cells.push_back(measure(threads, total, atomic, buffered));

  fmt::print("{:>8} {:>20} {:>20} {:>24}\n", "threads", "shared atomic, ns", "BufferedCounter, ns",
             "of linear (target 0.8)");
  bench::Json out;
  out.array([&] {
    for (auto const& each : cells) {
      auto const linear = cells[0].buffered_ns / each.buffered_ns;
      fmt::print("{:>8} {:>20.2f} {:>20.2f} {:>24.2f}\n", each.threads, each.atomic_ns,
                 each.buffered_ns, linear);
      out.object([&] {
        out.field("threads", each.threads);
        out.field("atomic_ns", each.atomic_ns);
        out.field("buffered_ns", each.buffered_ns);
        out.field("of_linear", linear);
      });
    }
  });
  if (json) out.save(*json);
} catch (std::exception const& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}
