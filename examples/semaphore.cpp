// Prints how many of eight threads were at work at the same time, with three permits among them, and
// what a changed limit does:
//
//     8 jobs done, never more than 3 at a time
//     with 1 permit: held, then refused
#include <atomic>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>
#include <vector>

#include <tandem/semaphore.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::Semaphore encoders{redis, "example:encoders", 3};
  encoders.set_limit(3);  // whatever it was in the run before

  std::atomic<int> at_work = 0, most = 0, done = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        tandem::Hold const permit = encoders.acquire();
        int const now = ++at_work;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) continue;
        std::this_thread::sleep_for(20ms);  // the work
        --at_work;
        ++done;
      });
    }
  }
  std::printf("%d jobs done, %s\n", done.load(),
              most <= 3 ? "never more than 3 at a time" : "too many at a time");

  encoders.set_limit(1);
  std::optional<tandem::Hold> const permit = encoders.try_acquire();
  std::printf("with 1 permit: %s, ", permit ? "held" : "refused");
  std::printf("then %s\n", encoders.try_acquire() ? "held" : "refused");
  return 0;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
