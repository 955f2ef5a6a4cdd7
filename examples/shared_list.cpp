// The last three lines of what any number of processes have to say; prints:
//
//     line 5
//     line 4
//     line 3
#include <cstdio>
#include <string>

#include <tandem/shared_list.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  // redis-cli LRANGE example:latest 0 -1
  tandem::SharedList<std::string> latest{redis, "example:latest", {.most = 3}};

  for (int i = 1; i <= 5; ++i) latest.push_front("line " + std::to_string(i));
  for (auto const& line : latest.range(0, 10)) std::printf("%s\n", line.c_str());
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
