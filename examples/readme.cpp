// Prints what this process added, while any number of others may run the same program beside it.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include <tandem/tandem.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};

  tandem::Counter visits{redis, "visits"};
  std::printf("visit %lld\n", static_cast<long long>(++visits));

  tandem::SharedMap<std::string, std::int64_t> stock{redis, "stock"};
  stock.update("apple", [](std::optional<std::int64_t> have) { return have.value_or(0) + 3; });
  std::printf("%lld apples\n", static_cast<long long>(*stock.get("apple")));

  tandem::Lock lock{redis, "report"};
  if (auto hold = lock.try_acquire_for(200ms)) {
    std::printf("only one process at a time comes here; fence %llu\n",
                static_cast<unsigned long long>(hold->fence()));
  }
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
