// Counts sales per hour and visitors per second. Prints the hour so far and, when a second is over,
// the count of the one before and of those that were kept, for example:
//
//     this hour, since 06:00 UTC: 6 pieces in 3 sales
//     the second before: 2 visitors
//     in up to 60 seconds before: 2 visitors
#include <chrono>
#include <cstdint>
#include <iostream>
#include <optional>
#include <thread>

#include <tandem/rolling_counter.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};

  tandem::RollingCounter sales{redis, "example",
                               "sales"};  // stats:example:sales, :start, :last, :pstart
  tandem::RollingCounter pieces{redis, "example", "pieces"};
  for (int const bought : {1, 2, 3}) {
    sales.add();
    pieces.add(bought);
  }
  auto const hour = sales.current();
  auto const minutes =
      std::chrono::floor<std::chrono::minutes>(hour.start.time_since_epoch() % 24h);
  std::cout << "this hour, since " << (minutes < 10h ? "0" : "") << minutes / 1h
            << ":00 UTC: " << pieces.current().count << " pieces in " << hour.count << " sales\n";

  tandem::RollingCounter visitors{redis, "example", "visitors", {.period = 1s, .keep = 60}};
  visitors.add(2);
  auto const now = visitors.current().start;
  while (visitors.current().start == now)
    std::this_thread::sleep_for(50ms);  // until the server's next second
  std::optional<tandem::RollingCounter::Period> const before = visitors.last();
  std::cout << "the second before: " << before.value().count << " visitors\n";
  visitors.add(1);
  std::int64_t sum = 0;
  for (auto const& [start, count] : visitors.history(60)) sum += count;
  std::cout << "in up to 60 seconds before: " << sum << " visitors\n";
} catch (tandem::Error const& fault) {
  std::cerr << fault.what() << '\n';
  return 1;
}
