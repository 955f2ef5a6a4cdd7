// Two threads, which might as well be processes, measure how long something takes. Prints what the
// times of this hour were like, in milliseconds:
//
//     2026-11-23 06:00:00 UTC   count 2000   mean 7.826   stddev 4.01
//     min 1.329   p50 7.03   p90 13.5   p99 20.1   max 31.19
//           1.32 to       1.74 |##                                       11
//     ...
#include <array>
#include <iostream>
#include <random>
#include <thread>

#include <tandem/statistics.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::Statistics latency{redis, "example", "latency"};
  auto const before = latency.current().count();

  std::array<std::thread, 2> threads;
  for (unsigned i = 0; i < threads.size(); ++i) {
    threads[i] = std::thread{[&latency, i] {
      std::mt19937 random{i};
      std::gamma_distribution<double> milliseconds{3, 2.3};
      for (int n = 0; n < 1000; ++n) latency.add(1 + milliseconds(random));  // no round trip
    }};
  }
  for (auto& thread : threads) thread.join();

  auto const hour = latency.current();
  std::cout << hour.render();
  if (auto const last = latency.last()) std::cout << "the hour before:\n" << last->render();
  // In a new hour it has begun anew.
  return hour.count() - before == 2000 || hour.count() <= 2000 ? 0 : 1;
} catch (tandem::Error const& fault) {
  std::cerr << fault.what() << '\n';
  return 1;
}
