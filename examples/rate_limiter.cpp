// Eight threads, which might as well be eight processes, ask twice each where ten may pass. Prints
// how many did; then, at fifty in a second, when the next may come, and that waiters do:
//
//     10 of 16 let through
//     the next may come in less than 20 ms: yes
//     three more waited for their turn, none of them in vain
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include <tandem/rate_limiter.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  redis.command("DEL", "example:api");  // what the run before took
  tandem::RateLimiter once{redis, "example:api", {.rate = 1, .per = 1h, .burst = 10}};

  std::atomic<int> let_through = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 2; ++n) let_through += once.try_acquire() ? 1 : 0;
      });
    }
  }
  std::printf("%d of 16 let through\n", let_through.load());

  redis.command("DEL", "example:api");
  tandem::RateLimiter api{redis, "example:api", {.rate = 50, .per = 1s, .burst = 10}};
  tandem::RateLimiter::Decision decision = api.try_acquire(10);
  while (decision) decision = api.try_acquire();
  std::printf("the next may come in less than 20 ms: %s\n",
              decision.retry_after() <= 20ms ? "yes" : "no");

  int waited = 0;
  for (int n = 0; n < 3; ++n) waited += api.try_acquire_for(10s) ? 1 : 0;
  std::printf("three more waited for their turn, %s\n",
              waited == 3 ? "none of them in vain" : "some of them in vain");
  return let_through == 10 && waited == 3 ? 0 : 1;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
