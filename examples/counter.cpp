// Eight threads, which might as well be eight processes, share out the numbers from 1 to 100: each
// takes the next one until none is left. Prints how many were taken in all, and the counter:
//
//     100 numbers taken, each once
//     the counter stands at 108
//
// Then it sells two seats, never more:
//
//     seats left: 1 0, and none
#include <array>
#include <future>
#include <iostream>

#include <tandem/counter.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::Counter next{redis, "example:tickets"};
  next.exchange(0);

  std::array<std::future<int>, 8> takers;
  for (auto& taker : takers) {
    taker = std::async(std::launch::async, [&] {
      int taken = 0;
      while (++next <= 100) ++taken;  // one round trip; no two callers get the same number
      return taken;
    });
  }
  int taken = 0;
  for (auto& taker : takers) taken += taker.get();  // throws what the thread threw

  std::cout << taken << " numbers taken, each once\n";
  std::cout << "the counter stands at " << next.value() << '\n';  // each has asked for one too many

  tandem::Counter seats{redis, "example:seats", {.exactly_once = true}};  // asked again in doubt
  seats.exchange(2);
  std::cout << "seats left:";
  while (auto const left = seats.add_within(-1, 0, 2)) std::cout << ' ' << *left;
  std::cout << ", and none\n";
  return taken == 100 && next.compare_exchange(108, 0) ? 0 : 1;
} catch (tandem::Error const& fault) {
  std::cerr << fault.what() << '\n';
  return 1;
}
