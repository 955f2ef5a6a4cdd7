// Prints what is in stock, in a map that any number of processes may change at once:
//
//     apple: 10 at EUR 0.25
//     plum: 7 at EUR 1
//     cherry: reserved by somebody else
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include <tandem/shared_map.hpp>

struct Price {
  std::string currency;
  double amount;
};

template <>
struct tandem::Codec<Price> {  // stored as "EUR 0.25"
  static std::string encode(Price const& price) {
    return price.currency + " " + Codec<double>::encode(price.amount);
  }
  static Price decode(std::string_view bytes) {
    if (bytes.size() < 4 || bytes[3] != ' ')
      throw CodecError{"a currency, a space and an amount were wanted"};
    return {std::string{bytes.substr(0, 3)}, Codec<double>::decode(bytes.substr(4))};
  }
};

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::SharedMap<std::string, std::int64_t> stock{
      redis, "example:stock"};  // redis-cli HGETALL example:stock
  tandem::SharedMap<std::string, Price> prices{redis, "example:prices"};

  stock.clear();
  stock.set_many({{"apple", 4}, {"plum", 8}});
  prices.set("apple", {"EUR", 0.25});

  stock.add("apple", 6);
  stock.update("plum", [](std::optional<std::int64_t> pieces) {
    // Called again should another process be faster; an empty optional erases the entry.
    return pieces.value_or(0) > 1 ? std::optional{*pieces - 1} : std::nullopt;
  });

  for (auto [fruit, pieces] : stock) {
    auto const price = prices.get(fruit).value_or(Price{"EUR", 1});
    std::printf("%s: %lld at %s %g\n", fruit.c_str(), static_cast<long long>(pieces),
                price.currency.c_str(), price.amount);
  }

  stock.insert("cherry", 0);
  if (!stock.compare_exchange("cherry", 1, 0)) std::puts("cherry: reserved by somebody else");
  return 0;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
