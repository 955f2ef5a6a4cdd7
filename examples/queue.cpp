// Orders that are put into a queue and worked off, one of them only at the second attempt and one
// never; prints
//
//     order 1 is packed
//     order 2: out of stock, in a moment again
//     order 2 is packed
//     order 3 is nobody's: no such customer
#include <chrono>
#include <cstdio>
#include <string>

#include <tandem/queue.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::Queue<int> orders{redis, "example:orders", {.visibility = 30s, .max_deliveries = 5}};
  for (int const order : {1, 2, 3}) orders.push(order, {.id = "order-" + std::to_string(order)});

  // In other processes, as a rule: `Worker` is their main loop.
  while (auto job = orders.pop(500ms)) {
    if (job->value() == 2 && job->delivery() == 1) {
      std::printf("order 2: out of stock, in a moment again\n");
      job->retry_after(10ms);
    } else if (job->value() == 3) {
      job->reject("no such customer");
    } else {
      std::printf("order %d is packed\n", job->value());
      job->ack();  // without it the order would be given to another after 30 s
    }
  }

  for (auto const& letter : orders.dead_letters()) {
    std::printf("order %d is nobody's: %s\n", letter.value.value_or(0), letter.error.c_str());
    (void)orders.purge(std::vector{letter.id});
  }
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
