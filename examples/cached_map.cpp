// Prices that are read from memory, in as many processes as there are, and changed by any of them;
// prints
//
//     EUR was 1.08, is 1.09
//     read 1000 times: 1.09
#include <chrono>
#include <cstdio>
#include <latch>
#include <string>

#include <tandem/cached_map.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::CachedMap<std::string, double> prices{redis, "example:prices"};
  prices.set("EUR", 1.08);

  std::latch heard{1};
  auto const watch = prices.on_change([&](auto const& change) {
    if (change.resync || !change.before || !change.now) return;  // look anew at what matters
    std::printf("%s was %.2f, is %.2f\n", change.key.c_str(), *change.before, *change.now);
    heard.count_down();
  });

  // Another process, as a rule.
  tandem::Client elsewhere{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::CachedMap<std::string, double>{elsewhere, "example:prices"}.set("EUR", 1.09);
  heard.wait();

  double price = 0;
  for (int i = 0; i < 1000; ++i) price = prices.get("EUR").value_or(0);  // one command at most
  std::printf("read 1000 times: %.2f\n", price);
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
