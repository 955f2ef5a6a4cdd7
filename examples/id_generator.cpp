// Eight threads, which might as well be eight processes, number 1,000 orders each. Prints how many
// different numbers they got, and how often the server was asked:
//
//     8000 orders, 8000 numbers
//     the server was asked 8 times
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <future>
#include <set>
#include <vector>

#include <tandem/id_generator.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  redis.command("DEL", "example:orders");
  tandem::IdGenerator ids{redis, "example:orders", {.block = 1000}};

  std::vector<std::future<std::vector<std::int64_t>>> clerks;
  for (int i = 0; i < 8; ++i) {
    clerks.push_back(std::async(std::launch::async, [&] {
      std::vector<std::int64_t> numbers(1000);
      std::generate(numbers.begin(), numbers.end(), [&] { return ids.next(); });
      return numbers;
    }));
  }
  std::size_t orders = 0;
  std::set<std::int64_t> different;
  for (auto& clerk : clerks) {
    auto const numbers = clerk.get();
    orders += numbers.size();
    different.insert(numbers.begin(), numbers.end());
  }
  std::printf("%zu orders, %zu numbers\n", orders, different.size());
  std::printf("the server was asked %lld times\n",
              redis.command("GET", "example:orders").as<long long>() / 1000);
  return different.size() == orders ? 0 : 1;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
