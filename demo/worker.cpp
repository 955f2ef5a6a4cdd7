#include "worker.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "shared.hpp"

namespace demo {
namespace {

using Clock = std::chrono::steady_clock;

/// Calls again when the answer was lost, for some seconds: only for what may be done twice.
template <class Call>
auto certainly(Call call) {
  auto const give_up = Clock::now() + std::chrono::seconds{10};
  while (true) {
    try {
      return call();
    } catch (tandem::InDoubt const&) {
      if (Clock::now() > give_up) throw;
    }
  }
}

class Worker {
 public:
  Worker(Job const& job, int number)
      : job_{job}, number_{number}, shared_{tandem::Client{named(job.redis, number)}, job.run} {}

  void run() {
    for (auto chunk = take(); chunk < job_.chunks; chunk = take()) count(chunk);

    // What is unfinished now was dropped by a worker that died, or is in somebody's hands: then
    // counting it twice does no harm. Each worker begins at another one.
    auto rest = unfinished();
    std::shuffle(rest.begin(), rest.end(), std::minstd_rand{static_cast<unsigned>(number_)});
    for (auto chunk : rest) {
      if (!shared_.finished.contains(chunk)) count(chunk);
    }
  }

 private:
  static tandem::Options named(tandem::Options options, int number) {
    options.name = fmt::format("tandem-demo-{}", number);
    return options;
  }

  /// A number that is lost with its answer is a chunk that stays unfinished for a while.
  std::int64_t take() {
    return certainly([&] { return shared_.next_chunk.add(1); }) - 1;
  }

  std::vector<std::int64_t> unfinished() {
    std::vector<bool> done(static_cast<std::size_t>(job_.chunks));
    for (auto [chunk, finished] : shared_.finished) done.at(static_cast<std::size_t>(chunk)) = true;
    std::vector<std::int64_t> chunks;
    for (std::int64_t chunk = 0; chunk < job_.chunks; ++chunk) {
      if (!done[static_cast<std::size_t>(chunk)]) chunks.push_back(chunk);
    }
    return chunks;
  }

  void count(std::int64_t chunk) {
    auto const text = job_.log.chunk(chunk, job_.chunks);
    auto tally = job_.keys.none();
    std::int64_t lines = 0;
    for_each_line(text, [&](std::string_view line) {
      job_.keys.count(line, tally);
      ++lines;
    });
    std::erase_if(tally, [](auto const& entry) { return entry.second == 0; });

    // The report is due in the middle: who is killed at it leaves a chunk half counted, which is
    // the worst case.
    std::vector<std::pair<std::string, std::int64_t>> const counts{tally.begin(), tally.end()};
    auto const half = counts.size() / 2;
    add(chunk, std::span{counts}.first(half));
    write_report(chunk);
    add(chunk, std::span{counts}.subspan(half));

    if (is_first_to_finish(chunk, lines)) add_to_rate(lines);
  }

  void add(std::int64_t chunk, std::span<std::pair<std::string, std::int64_t> const> counts) {
    for (auto const& entry : counts) {
      certainly([&] {
        return shared_.tally.update(entry.first, [&](std::optional<Count> count) {
          auto now = std::move(count).value_or(Count{});
          now.add(chunk, entry.second);
          return now;
        });
      });
    }
  }

  void add_to_rate(std::int64_t lines) {
    // Not repeatable, so an answer lost here ends the demo: better than a rate that nobody can
    // vouch for.
    shared_.lines.add(lines);

    // The counter forgets the period before when the next but one begins: keep it.
    if (auto const last = shared_.lines.last()) {
      certainly([&] {
        shared_.rate.update(
            last->start.time_since_epoch().count(), [&](std::optional<std::int64_t> have) {
              return std::max(have.value_or(0),
                              last->count);  // a late one does not take back what others saw
            });
      });
    }
  }

  bool is_first_to_finish(std::int64_t chunk, std::int64_t lines) {
    Finished const mine{number_, lines};
    return certainly([&] {
      return shared_.finished.insert(chunk, mine) || shared_.finished.get(chunk) == mine;
    });
  }

  void write_report(std::int64_t chunk) {
    tandem::Hold hold = certainly([&] { return shared_.report_lock.acquire(); });
    Holding note{.worker = number_, .chunk = chunk, .begin = Clock::now()};
    note_down(hold, note);

    auto const before = job_.report.state();
    check_what_was_left(before, hold);
    note.repaired = !before.whole;
    job_.report.write(hold, rows());
    auto const after = job_.report.state();
    note.end = Clock::now();

    if (hold.held()) {  // asked last: so it was true of all that came before
      if (!after.whole || after.fence != hold.fence()) throw_torn(hold.fence());
      note.state = Holding::State::ended;
    } else {
      note.state = Holding::State::lost;
      note.end = hold.valid_until();
    }
    note_down(hold, note);
    hold.release();
  }

  /// The report is older than this hold, and whole unless its writer's hold did not come to its
  /// end.
  void check_what_was_left(Report::State const& before, tandem::Hold const& hold) {
    auto const writer = before.whole ? std::nullopt : shared_.holdings.get(before.fence);
    auto const torn = !before.whole && (!writer || writer->state == Holding::State::ended);
    if (!hold.held()) return;  // it may be the next one's by now
    if (torn) throw_torn(before.fence);
    if (before.fence >= hold.fence()) {
      throw std::runtime_error{
          fmt::format("fence {} was given out after fence {}", hold.fence(), before.fence)};
    }
  }

  [[noreturn]] static void throw_torn(std::uint64_t fence) {
    throw std::runtime_error{
        fmt::format("the report of fence {} is torn: two wrote it at once", fence)};
  }

  void note_down(tandem::Hold const& hold, Holding const& note) {
    certainly([&] { shared_.holdings.set(hold.fence(), note); });
  }

  std::vector<std::string> rows() {
    std::vector<std::string> rows;
    for (auto [key, count] : shared_.tally)
      rows.push_back(fmt::format("{:>12} {}", count.times, key));
    return rows;
  }

  Job const& job_;
  int number_;
  Shared shared_;
};

}  // namespace

void work(Job const& job, int number) { Worker{job, number}.run(); }

}  // namespace demo
