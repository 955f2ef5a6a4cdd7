#include "run.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

#include "check.hpp"
#include "results.hpp"
#include "screen.hpp"
#include "shared.hpp"
#include "team.hpp"
#include "text.hpp"
#include "worker.hpp"

namespace demo {
namespace {

using Clock = std::chrono::steady_clock;

/// While it lives signals are waited for, so that nothing is interrupted half-way.
class Signals {
 public:
  Signals() {
    ::sigemptyset(&awaited_);
    for (auto const signal :
         {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGCHLD, SIGWINCH}) {
      ::sigaddset(&awaited_, signal);
    }
    ::pthread_sigmask(SIG_BLOCK, &awaited_, &before_);
  }
  Signals(Signals const&) = delete;
  Signals& operator=(Signals const&) = delete;
  ~Signals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  /// The next signal; 0 when none comes for that long.
  [[nodiscard]] int wait(std::chrono::milliseconds longest) const {
    timespec const time{0, std::chrono::nanoseconds{longest}.count()};
    return std::max(0, ::sigtimedwait(&awaited_, nullptr, &time));
  }

 private:
  sigset_t awaited_{}, before_{};
};

/// Erases the run's keys at the end, however it ends.
class Leftovers {
 public:
  explicit Leftovers(Shared& shared) : shared_{shared} {}
  Leftovers(Leftovers const&) = delete;
  Leftovers& operator=(Leftovers const&) = delete;
  ~Leftovers() {
    try {
      shared_.erase_all();
    } catch (tandem::Error const& error) {
      shared_.redis.options().report(error);
    }
  }

 private:
  Shared& shared_;
};

tandem::Options server_options(std::string const& url) try {
  auto options = tandem::Options::from_url(url);
  tandem::Connection{options}.command("PING").throw_if_error();
  return options;
} catch (std::invalid_argument const& error) {
  throw Refused{error.what()};
} catch (tandem::Error const& error) {
  throw Refused{error.what()};
}

std::string name_of_run() {
  std::random_device random;
  return fmt::format("tandem-demo:{:08x}", random());
}

/// Some hundreds of chunks for a file of any size, but none so large that a worker's memory would
/// feel it.
std::int64_t number_of_chunks(std::int64_t bytes) {
  return std::max<std::int64_t>(320, bytes / (8 << 20));
}

/// Kills whoever holds the report's lock, if that can be told for certain now.
std::optional<Killing> kill_the_holder(Shared const& shared, Team& team) {
  auto const owner = shared.report_lock.owner();
  auto const worker = owner ? team.number_of(owner->pid) : 0;
  if (worker == 0 || !team.freeze(worker)) return std::nullopt;

  // It stands still now. A holder closes its note before it gives the lock back: if the note is
  // open, and the server names it even now, then it holds the lock.
  auto const moment = Clock::now();
  std::optional<std::uint64_t> fence;
  for (auto [number, holding] : shared.holdings) {
    if (holding.worker == worker && holding.state == Holding::State::open) fence = number;
  }
  auto const still = shared.report_lock.owner();
  if (!fence || !still || still->token != owner->token) {
    team.thaw(worker);
    return std::nullopt;
  }
  team.kill(worker);
  return Killing{worker, owner->pid, *fence, moment};
}

/// How many commands the server has executed so far, for whomever; none where it does not tell.
std::optional<std::int64_t> commands_executed(Shared& shared) try {
  auto const text = shared.redis.command("INFO", "stats").as<std::string>();
  std::string const field = "total_commands_processed:";
  auto const place = text.find(field);
  if (place == text.npos) return std::nullopt;
  return std::stoll(text.substr(place + field.size()));
} catch (tandem::Error const&) {
  return std::nullopt;
}

struct Titles {
  std::string title;
  std::string subtitle;
};

/// Looks on until all workers have ended, and kills one of them on the way.
Record look_on(Job const& job, Shared& shared, Team& team, Signals const& signals, Screen& screen,
               Titles const& titles) {
  Record record;
  for (auto const begin = Clock::now();;) {
    team.look();
    record.read(shared);
    for (int tries = 0;
         tries < 20 && !record.killing && std::ssize(record.finished) >= job.chunks / 3; ++tries) {
      record.killing = kill_the_holder(shared, team);
    }
    auto const owner = shared.report_lock.owner();
    screen.show(
        {record, team, owner, titles.title, titles.subtitle, job.chunks, Clock::now() - begin});

    auto const& members = team.members();
    if (team.working() == 0 ||
        std::any_of(members.begin(), members.end(), [](auto& one) { return one.failed(); })) {
      return record;
    }
    switch (int const signal = signals.wait(std::chrono::milliseconds{100})) {
      case 0:
      case SIGCHLD:
      case SIGWINCH:
        break;
      case SIGTSTP:
        screen.leave();
        ::raise(SIGSTOP);
        break;
      default:
        screen.leave();
        throw Interrupted{signal};
    }
  }
}

/// The count by many processes. Whatever it begins is gone when it returns.
Together count_together(Job const& job, int workers, Screen& screen, Titles const& titles) {
  Signals const signals;
  Shared shared{tandem::Client{job.redis}, job.run};
  Leftovers const leftovers{shared};
  auto const commands_before = commands_executed(shared);
  auto const begin = Clock::now();

  Team team{workers, [&job](int number) { work(job, number); }};
  Together result{.record = look_on(job, shared, team, signals, screen, titles),
                  .took = Clock::now() - begin};
  result.workers = workers;
  result.chunks = job.chunks;
  if (auto const commands_now = commands_executed(shared); commands_now && commands_before) {
    result.commands = *commands_now - *commands_before;
  }
  screen.leave();

  auto const complaints = team.complaints();
  std::fputs(complaints.c_str(), stderr);
  for (auto const& member : team.members()) {
    if (member.failed()) throw std::runtime_error{"a worker gave up"};
  }
  return result;
}

}  // namespace

bool run(Arguments const& arguments) {
  Screen screen;
  auto log = arguments.file.empty() ? LogFile::of_this_machine() : LogFile{arguments.file};
  if (arguments.file.empty() && log.path() != LogFile::dpkg_log) {
    screen.print(fmt::format("{} is missing or tiny: another log will do", LogFile::dpkg_log));
  }
  auto const chunks = number_of_chunks(log.size());
  std::optional<tandem::testing::RedisServer> own_server;
  auto redis = server_options(arguments.redis ? *arguments.redis : own_server.emplace().url());
  Titles const titles{
      fmt::format("tandem-demo: {} processes count {} ({} bytes)", arguments.workers,
                  printable(log.path()), grouped(log.size())),
      fmt::format("through {} {}", arguments.redis ? "the server" : "its own server",
                  redis.endpoint())};
  Job const job{
      .log = std::move(log), .chunks = chunks, .redis = std::move(redis), .run = name_of_run()};

  auto const together = count_together(job, arguments.workers, screen, titles);
  own_server.reset();

  print_results(screen, together);
  screen.print("One process counts alone now, to compare ...", Style::faint);
  auto const alone = count_alone(job.log, job.keys);
  auto const faults = disagreements(together.record, alone, job.chunks);
  print_verdict(screen, alone, faults);
  return faults.empty();
}

}  // namespace demo
