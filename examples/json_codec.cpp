// Prints a price that any language can read, and what a program of an older version says to a newer
// one's:
//
//     {"amount":0.25,"currency":"EUR"}
//     tandem: map "example:prices", field "pear": JSON of another type or version is there:
//     /discount would be lost or changed
//
// <tandem/codec/msgpack.hpp> does the same in binary, with MSGPACK_DEFINE_MAP and MsgpackCodec.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include <tandem/codec/json.hpp>
#include <tandem/shared_map.hpp>

struct Price {
  std::string currency;
  double amount;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Price, currency, amount)
template <>
struct tandem::Codec<Price> : tandem::JsonCodec<Price> {};

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::SharedMap<std::string, Price> prices{redis, "example:prices"};
  prices.clear();
  prices.set("apple", {"EUR", 0.25});
  std::puts(redis.command("HGET", prices.name(), "apple").as<std::string>().c_str());

  tandem::SharedMap<std::string, nlohmann::json> documents{redis, prices.name()};
  documents.set("pear", {{"currency", "EUR"}, {"amount", 1}, {"discount", 0.1}});
  for (auto entry = prices.begin(); entry != prices.end(); ++entry) {
    try {
      (void)*entry;
    } catch (tandem::CodecError const& error) {
      std::puts(error.what());
    }
  }
  return 0;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
