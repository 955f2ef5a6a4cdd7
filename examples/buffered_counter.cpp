// Two threads count a million visits between them, which nobody waits for: the adds are shared in
// bulk, ten times a second and once more by flush(). Prints
//
//     1000000 visits, all of them shared
#include <array>
#include <chrono>
#include <iostream>
#include <thread>

#include <tandem/buffered_counter.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  redis.command("DEL", "example:visits");

  tandem::BufferedCounter visits{redis, "example:visits", {.flush_interval = 100ms}};
  std::array<std::thread, 2> threads;
  for (auto& thread : threads) {
    thread = std::thread{[&] {
      for (int i = 0; i < 500'000; ++i) visits.add();  // nanoseconds, whatever the server does
    }};
  }
  for (auto& thread : threads) thread.join();
  auto const counted = visits.value();  // with what is not shared yet
  visits.flush();

  std::cout << counted << " visits, "
            << (redis.command("GET", "example:visits").as<long long>() == counted ? "all"
                                                                                  : "not all")
            << " of them shared\n";
  return counted == 1'000'000 && visits.pending() == 0 ? 0 : 1;
} catch (tandem::Error const& fault) {
  std::cerr << fault.what() << '\n';
  return 1;
}
