// Moves pieces from the warehouse to the shop, never more than there are, while others do the same
// at the same time. Prints that no piece was lost or made, and how many tries it took because
// somebody else was quicker, for example:
//
//     40 moved, 0 left in the warehouse, 40 in the shop
//     31 tries
#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <iostream>
#include <optional>

#include <tandem/client.hpp>

/// Moves up to `wanted` pieces; how many it moved.
long long move_to_shop(tandem::Client& redis, long long wanted, std::atomic<int>& tries) {
  return redis.transaction({"example:warehouse"}, [&](tandem::Transaction& tx) {
    ++tries;
    auto const there = tx.read("GET", "example:warehouse")
                           .as<std::optional<long long>>()
                           .value_or(0);  // after WATCH
    auto const moved = std::min(there, wanted);
    if (moved > 0) {
      tx.queue("DECRBY", "example:warehouse",
               moved);  // inside MULTI: both or none, and only if nobody came between
      tx.queue("INCRBY", "example:shop", moved);
    }
    return moved;
  });
}

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  redis.command("MSET", "example:warehouse", 40, "example:shop", 0);

  std::atomic<int> tries = 0;
  std::array<std::future<long long>, 4> movers;
  for (auto& mover : movers) {
    mover = std::async(std::launch::async, [&] {
      long long all = 0;
      while (auto const n = move_to_shop(redis, 3, tries)) all += n;
      return all;
    });
  }
  long long moved = 0;
  for (auto& mover : movers) moved += mover.get();  // throws what the thread threw

  auto const left = redis.command("GET", "example:warehouse").as<long long>();
  auto const shop = redis.command("GET", "example:shop").as<long long>();
  std::cout << moved << " moved, " << left << " left in the warehouse, " << shop
            << " in the shop\n";
  std::cout << tries << " tries\n";
  return moved == 40 && left == 0 && shop == 40 ? 0 : 1;
} catch (tandem::Error const& fault) {
  std::cerr << fault.what() << '\n';
  return 1;
}
