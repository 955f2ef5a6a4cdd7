// Who is there, as all processes see it; prints:
//
//     ann came
//     2 are there, bob among them
#include <cstdio>
#include <string>

#include <tandem/shared_set.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::SharedSet<std::string> online{redis,
                                        "example:online"};  // redis-cli SMEMBERS example:online

  online.erase_many({"ann", "bob"});
  for (auto const* name : {"ann", "ann"}) {
    if (online.insert(name)) std::printf("%s came\n", name);  // the second time it is there already
  }
  online.insert("bob");
  std::printf("%zu are there%s\n", online.size(), online.contains("bob") ? ", bob among them" : "");
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
