// News that one part of a program, or another process, is told by the other; prints
//
//     late: the first
//     late: the second
//     at hand: the second
#include <cstdio>
#include <latch>
#include <string>

#include <tandem/topic.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::Topic<std::string> news{redis, "example:news", {.history = 100}};
  redis.command("DEL", "{example:news}:history");  // what an earlier run has published
  news.publish("the first");

  // Its handler runs on a thread of its own; what it prints waits until both have been told.
  std::string late;
  std::latch both_told{2};
  auto const replayed = news.subscribe(
      [&](std::string const& message) {
        late += "late: " + message + "\n";
        both_told.count_down();
      },
      {.on_gap = [](tandem::TopicGap const& gap) {
        std::printf("%llu are missing\n", static_cast<unsigned long long>(gap.lost.value_or(0)));
      }});

  // By a pattern: plain messages of all topics that match, from now on.
  std::string at_hand;
  std::latch told{1};
  tandem::TopicPattern<std::string> all{redis, "example:*"};
  auto const heard = all.subscribe([&](std::string const&, std::string const& message) {
    at_hand += "at hand: " + message + "\n";
    told.count_down();
  });

  news.publish("the second");
  both_told.wait();
  told.wait();
  std::printf("%s%s", late.c_str(), at_hand.c_str());
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
