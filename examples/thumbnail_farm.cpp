// thumbnail_farm [[PICTURES [WORKERS]] URL]
//
// One process puts pictures into a queue, others make thumbnails of them; one of those is killed in
// the middle of its work. Some pictures are broken and end as dead letters, all others have a
// thumbnail in the end, which is counted. `./dev demo queue` runs it with a server of its own.
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <tandem/queue.hpp>
#include <tandem/shared_map.hpp>
#include <tandem/worker.hpp>

using namespace std::chrono_literals;

namespace {

using Pictures = tandem::Queue<int>;
using Thumbnails = tandem::SharedMap<int, std::string>;
constexpr int broken_each = 100;

Pictures pictures_of(tandem::Client const& redis) {
  return {redis, "farm:pictures", {.visibility = 2s, .max_deliveries = 3, .auto_extend = true}};
}

/// A drawing of 1280 x 720, made small: 16 x 9 shades.
std::string thumbnail(int picture) {
  if (picture % broken_each == 7) throw std::runtime_error{"not a picture"};
  constexpr int width = 1280, height = 720, step = 80;
  std::string out;
  for (int top = 0; top < height; top += step) {
    for (int left = 0; left < width; left += step) {
      std::uint64_t sum = 0;
      for (int y = top; y < top + step; ++y) {
        for (int x = left; x < left + step; ++x)
          sum += static_cast<std::uint64_t>((x * y + picture) & 0xff);
      }
      out += static_cast<char>(sum / (step * step));
    }
  }
  return out;
}

/// Until SIGTERM, which lets it finish what it has begun.
void work(std::string const& url) {
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, nullptr);
  tandem::Client redis{url};
  Thumbnails thumbnails{redis, "farm:thumbnails"};
  tandem::Worker<int> worker{
      pictures_of(redis),
      2,
      [&](tandem::Job<int>& job) { thumbnails.set(job.value(), thumbnail(job.value())); },
      {.shortest_pause = 10ms, .longest_pause = 100ms}};
  std::jthread const running{[&](std::stop_token const& stop) { worker.run(stop); }};
  int signal = 0;
  sigwait(&term, &signal);
}

}  // namespace

int main(int argc, char** argv) try {
  std::string const url{argc > 1 ? argv[argc - 1] : "redis://localhost"};
  int const pictures = argc > 2 ? std::atoi(argv[1]) : 2000;
  int const workers = argc > 3 ? std::atoi(argv[2]) : 4;
  std::vector<pid_t> farm;
  for (int i = 0; i < workers; ++i) {
    farm.push_back(::fork());
    if (farm.back() != 0) continue;
    work(url);
    return 0;
  }

  tandem::Client redis{url};
  auto queue = pictures_of(redis);
  Thumbnails thumbnails{redis, "farm:thumbnails"};
  auto const begin = std::chrono::steady_clock::now();
  std::vector<int> batch;
  for (int i = 0; i < pictures; ++i) {
    batch.push_back(i);
    if (batch.size() < Pictures::most_at_once && i + 1 < pictures) continue;
    queue.push_many(batch);
    batch.clear();
  }
  bool const is_terminal = ::isatty(STDOUT_FILENO) == 1;
  for (bool killed = false, over = false; !over;) {
    over = queue.drain(is_terminal ? 100ms : 500ms);
    auto const state = queue.state();
    auto const done = thumbnails.size();
    std::chrono::duration<double> const time = std::chrono::steady_clock::now() - begin;
    std::printf("%5zu wait, %3zu at work, %5zu done, %5.0f a second, %3zu failed%s", state.ready,
                state.taken, done, static_cast<double>(done) / time.count(), state.dead_letters,
                is_terminal && !over ? "   \r" : "\n");
    std::fflush(stdout);
    if (!killed && workers > 1 && done > static_cast<std::size_t>(pictures) / 3) {
      ::kill(farm[0], SIGKILL);  // what it had is done by another
      std::printf("%skilled a worker, pid %d\n", is_terminal ? "\n" : "", farm[0]);
      killed = true;
    }
  }
  for (auto const pid : farm) ::kill(pid, SIGTERM);
  for (auto const pid : farm) ::waitpid(pid, nullptr, 0);

  auto const expected = static_cast<std::size_t>((pictures + broken_each - 8) / broken_each);
  auto const dead = queue.dead_letters(1000);
  bool const right =
      dead.size() == expected && thumbnails.size() + expected == static_cast<std::size_t>(pictures);
  std::printf("%zu thumbnails of %d pictures, %zu broken: %s\n", thumbnails.size(), pictures,
              dead.size(), right ? "all is as it should be" : "SOMETHING IS WRONG");
  redis.command("UNLINK", "farm:pictures", "farm:thumbnails", "{farm:pictures}:dead",
                "{farm:pictures}:state");
  return right ? 0 : 1;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}
