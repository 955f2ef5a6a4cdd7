// Somebody else's program: it knows only the installed package. packaging_test.cmake builds and
// runs it.
#include <cstdint>
#include <iostream>
#include <string>

#include <tandem/tandem.hpp>
#include <tandem/testing/redis_server.hpp>

int main() {
  tandem::testing::RedisServer server;
  tandem::Client redis{server.url()};
  tandem::Hold const hold = tandem::Lock{redis, "till"}.acquire();
  tandem::Counter sold{redis, "sold"};
  tandem::SharedMap<std::string, std::int64_t> stock{redis, "stock"};
  stock.set("apple", 3);
  bool const right = hold.held() && ++sold == 1 && stock.get("apple") == 3;
  std::cout << (right ? "consumer: works\n" : "consumer: wrong answers\n");
  return right ? 0 : 1;
}
