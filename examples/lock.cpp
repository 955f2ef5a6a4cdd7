// Prints what the holder of a lock and somebody else see of it, and what two threads did in turns:
//
//     held; somebody else is refused; 10 s of its lease are left
//     given back
//     100 turns
#include <chrono>
#include <cstdio>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include <tandem/lock.hpp>
#include <tandem/mutex.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::Lock lock{redis, "example:report"};  // redis-cli GET example:report tells whose it is

  if (std::optional<tandem::Hold> hold = lock.try_acquire_for(200ms)) {
    // Work that must not go on without the lock listens to its stop token, or asks held() before
    // each step.
    std::stop_callback const lost{hold->stop_token(), [] { std::puts("lost: stop at once"); }};
    std::printf("%s; ", hold->held() ? "held" : "lost");
    std::printf("somebody else is %s; ", lock.try_acquire() ? "let in" : "refused");
    if (auto const owner = lock.owner(); owner && owner->lease_left) {
      auto const left = std::chrono::round<std::chrono::seconds>(*owner->lease_left);
      std::printf("%lld s of its lease are left\n", static_cast<long long>(left.count()));
    }
    if (hold->release() == tandem::Release::released) std::puts("given back");
  }

  // The same with the face of a mutex of the standard library, here between two threads.
  tandem::Mutex mutex{redis, "example:report"};
  int turns = 0;
  {
    auto const take_turns = [&] {
      for (int i = 0; i < 50; ++i) {
        std::scoped_lock const guard{mutex};
        ++turns;
      }
    };
    std::jthread const one{take_turns};
    std::jthread const other{take_turns};
  }
  std::printf("%d turns\n", turns);
  return 0;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
