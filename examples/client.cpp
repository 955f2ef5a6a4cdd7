// Says what the server is and whether it is fit for what is to be kept there; then counts without
// waiting for the replies. Prints something like:
//
//     warning: tandem: Redis 7.0.15 at unix:///run/redis.sock: it saves nothing: what is kept ...
//     Redis 7.0.15, noeviction, RESP3, CLIENT TRACKING
//     late: LPUSH on example:views: WRONGTYPE Operation against a key holding the wrong kind ...
//     10000 views
#include <atomic>
#include <iostream>
#include <string>

#include <tandem/client.hpp>

int main(int argc, char** argv) try {
  std::atomic<int> failures = 0;
  auto options = tandem::Options::from_url(argc > 1 ? argv[1] : "redis://localhost");
  options.on_warning = [](std::string const& line) { std::cout << "warning: " + line + "\n"; };
  options.on_error = [&](tandem::Error const& error) {
    std::cout << "late: " + std::string{error.what()} + "\n";
    ++failures;
    failures.notify_one();
  };
  tandem::Client redis{options};

  redis.command("SET", "example:views", 0);
  auto const found = redis.inspect("example:views");
  std::cout << found.product << ' ' << found.version << ", " << found.eviction;
  for (auto const& used : found.uses) std::cout << ", " << used;
  std::cout << '\n';
  for (auto const& command : found.denied) std::cout << "not allowed: " << command << '\n';

  for (int i = 0; i < 10'000; ++i) redis.post("INCR", "example:views");
  redis.post("LPUSH", "example:views", "it is no list");
  // A call is answered after all that was posted before it on its thread.
  auto const views = redis.command("GET", "example:views").as<int>();
  failures.wait(0);  // on_error is told in the background
  std::cout << views << " views\n";
  redis.command("DEL", "example:views");
  return views == 10'000 ? 0 : 1;
} catch (tandem::Error const& fault) {
  std::cerr << fault.what() << '\n';
  return 1;
}
