// Points that any number of processes give; prints the best and who is near to one:
//
//     1. ann 30
//     2. cid 20
//     around bob: cid bob dan
#include <cstdio>
#include <string>

#include <tandem/ranking.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::Ranking<std::string> players{redis, "example:players"};

  players.set("ann", 30);
  players.set("bob", 10);
  players.set("cid", 15);
  players.set("dan", 5);
  players.add("cid", 5);
  for (auto const& each : players.top(2)) {
    std::printf("%zu. %s %g\n", each.rank + 1, each.member.c_str(), each.score);
  }
  std::printf("around bob:");
  for (auto const& each : players.around("bob", 1)) std::printf(" %s", each.member.c_str());
  std::printf("\n");
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
