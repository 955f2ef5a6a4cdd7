// Prints what came of four threads that move money between accounts, each holding the two it needs,
// and who holds one of them meanwhile:
//
//     400 moved, 3000 in all
//     both held: 1; the one alone: refused
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <tandem/counter.hpp>
#include <tandem/lock.hpp>
#include <tandem/multi_lock.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  std::vector<std::string> const accounts{"example:anna", "example:bert", "example:cleo"};
  for (auto const& each : accounts) tandem::Counter{redis, each + ":money"}.exchange(1000);

  std::atomic<int> moved = 0;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (std::size_t n = 0; n < 100; ++n) {
          auto const& from = accounts[(i + n) % 3];
          auto const& to = accounts[(i + n + 1 + n % 2) % 3];
          // In whichever order they are given: nobody waits in a circle.
          tandem::MultiLock both{redis, {from, to}};
          tandem::MultiHold const hold = both.acquire();
          hold.commit([&](tandem::Transaction& tx) {  // while both are held, or not at all
            tx.queue("DECR", from + ":money");
            tx.queue("INCR", to + ":money");
          });
          ++moved;
        }
      });
    }
  }
  std::int64_t all = 0;
  for (auto const& each : accounts) all += tandem::Counter{redis, each + ":money"}.value();
  std::printf("%d moved, %lld in all\n", moved.load(), static_cast<long long>(all));

  tandem::MultiLock two{redis, {accounts[0], accounts[1]}};
  auto const hold = two.try_acquire();
  auto const alone = tandem::Lock{redis, accounts[1]}.try_acquire();
  std::printf("both held: %d; the one alone: %s\n", hold && hold->held(),
              alone ? "held" : "refused");
  return 0;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
