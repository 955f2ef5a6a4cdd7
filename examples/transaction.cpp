// Moves pieces from the warehouse to the shop, never more than there are, while others do the same at the same time.
// Prints what was moved, how often somebody else was quicker, and that no piece was lost or made:
//
//     40 moved, 0 left in the warehouse, 40 in the shop
//     begun again 57 times
#include <algorithm>
#include <atomic>
#include <iostream>
#include <optional>
#include <thread>
#include <vector>

#include <tandem/client.hpp>

/// Moves up to `wanted` pieces; how many it moved.
long long move_to_shop(tandem::Client& redis, long long wanted, std::atomic<int>& tries) {
  return redis.transaction({"warehouse"}, [&](tandem::Transaction& tx) {
    ++tries;
    auto const there = tx.read("GET", "warehouse").as<std::optional<long long>>().value_or(0);  // after WATCH
    auto const moved = std::min(there, wanted);
    if (moved > 0) {
      tx.queue("DECRBY", "warehouse", moved);  // inside MULTI: both or none, and only if nobody came between
      tx.queue("INCRBY", "shop", moved);
    }
    return moved;
  });
}

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  redis.command("MSET", "warehouse", 40, "shop", 0);

  std::atomic<long long> moved = 0;
  std::atomic<int> tries = 0;
  std::atomic<int> calls = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (long long n = 1; n != 0; moved += n, ++calls) n = move_to_shop(redis, 3, tries);
    });
  }
  for (auto& thread : threads) thread.join();

  auto const left = redis.command("GET", "warehouse").as<long long>();
  auto const shop = redis.command("GET", "shop").as<long long>();
  std::cout << moved << " moved, " << left << " left in the warehouse, " << shop << " in the shop\n";
  std::cout << "begun again " << tries - calls << " times\n";
  return moved == 40 && left == 0 && shop == 40 ? 0 : 1;
} catch (tandem::Error const& fault) {
  std::cerr << fault.what() << '\n';
  return 1;
}
