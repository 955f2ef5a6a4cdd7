// Sells the last apples of a shop with several tills, and reserves a pear for half a minute:
//
//     sold; apple: 1 left
//     sold; apple: 0 left
//     sold out
//     the pear is somebody's for another 30 s; what the shop knows:
//     apple 0, reserved 1, sold 2
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include <tandem/shared_map.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::SharedMap<std::string, std::int64_t> shop{redis, "example:shop"};
  shop.clear();
  shop.set("apple", 2);

  for (int customer = 0; customer < 3; ++customer) {
    // One step: no till sees an apple less that is not sold yet. Called again should another till
    // change what it reads.
    auto const left = shop.atomically([](auto& entries) -> std::int64_t {
      auto const apples = entries.get("apple").value_or(0);
      if (apples == 0) return -1;
      entries.set("apple", apples - 1);
      entries.set("sold", entries.get("sold").value_or(0) + 1);
      return apples - 1;
    });
    if (left < 0) {
      std::puts("sold out");
    } else {
      std::printf("sold; apple: %lld left\n", static_cast<long long>(left));
    }
  }

  shop.insert("reserved", 1, {.ttl = 30s});  // refused to others until then; gone by itself
  auto const rest = std::chrono::ceil<std::chrono::seconds>(shop.ttl("reserved").value_or(0ms));
  std::printf("the pear is somebody's for another %lld s; what the shop knows:\n",
              static_cast<long long>(rest.count()));
  auto all = shop.snapshot();  // of one moment
  std::sort(all.begin(), all.end());
  for (auto const& [what, number] : all)
    std::printf("%s%s %lld", what == all.front().first ? "" : ", ", what.c_str(),
                static_cast<long long>(number));
  std::puts("");
  return 0;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
