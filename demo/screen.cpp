#include "screen.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "text.hpp"

namespace demo {
namespace {

constexpr std::size_t keys_shown = 5;

struct Line {
  std::string text{};
  Style style = Style::plain;
};
using Lines = std::vector<Line>;

bool wants_escape_codes() {
  auto const variable = [](char const* name) {
    auto const* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): there is one thread
    return std::string_view{value == nullptr ? "" : value};
  };
  return ::isatty(STDOUT_FILENO) == 1 && variable("NO_COLOR").empty() &&
         !variable("TERM").empty() && variable("TERM") != "dumb";
}

void write_out(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// -- what is to be said ---------------------------------------------------------------------------

std::int64_t percent(Scene const& scene) {
  return std::ssize(scene.record.finished) * 100 / scene.chunks;
}

/// Lines per second: in the last period, or since the beginning while no whole one has passed.
std::int64_t rate(Scene const& scene) {
  auto const& periods = scene.record.periods;
  if (periods.size() > 2) return std::prev(periods.end(), 2)->second / Shared::period.count();
  return scene.record.lines() * 1000 /
         std::max<std::int64_t>(100, scene.elapsed / std::chrono::milliseconds{1});
}

std::string progress(Scene const& scene) {
  return fmt::format("{:>7}  {:>4} of {} chunks  {:>11}  {:>7} lines/s", seconds(scene.elapsed),
                     scene.record.finished.size(), scene.chunks,
                     counted(scene.record.lines(), "line"), grouped(rate(scene)));
}

std::string bar(Scene const& scene, std::size_t columns) {
  auto const length = std::clamp<std::size_t>(columns, 20, 78) - 10;
  auto const full = length * static_cast<std::size_t>(percent(scene)) / 100;
  return fmt::format("[{}{}] {:>3} %", std::string(full, '#'), std::string(length - full, '.'),
                     percent(scene));
}

std::string about_lock(Scene const& scene) {
  if (!scene.owner) return "the lock: free";
  auto const worker = scene.team.number_of(scene.owner->pid);
  auto const lease_left = seconds(scene.owner->lease_left.value_or(std::chrono::milliseconds{}));
  auto const dead = worker > 0 && scene.team.member(worker).status;
  return fmt::format("the lock: held by {}worker {}, {} wait, lease {}{}", dead ? "the dead " : "",
                     worker, scene.owner->waiters, dead ? "ends in " : "", lease_left);
}

std::string about(Killing const& killing) {
  return fmt::format("kill -9 of worker {}, which holds the lock: fence {}", killing.worker,
                     killing.fence);
}

std::string about(Killing const& killing, Record::Hold const& successor) {
  return fmt::format("worker {} holds it {} after the kill: fence {}", successor.second.worker,
                     seconds(successor.second.begin - killing.moment), successor.first);
}

Line about_worker(Scene const& scene, int number) {
  auto const& member = scene.team.member(number);
  auto const& killing = scene.record.killing;
  if (killing && killing->worker == number) return {"killed, holding the lock", Style::bad};
  if (member.status && WIFSIGNALED(*member.status)) {
    return {fmt::format("ended by signal {}", WTERMSIG(*member.status)), Style::bad};
  }
  if (member.failed()) return {"failed", Style::bad};
  if (member.status) return {"done"};
  if (scene.owner && scene.owner->pid == member.pid) return {"holds the lock", Style::good};
  return {};
}

// -- the picture ----------------------------------------------------------------------------------

void add_summary(Lines& lines, Scene const& scene, std::size_t columns) {
  auto const& record = scene.record;
  auto const successor = record.successor();
  lines.push_back({std::string{scene.title}, Style::bold});
  lines.push_back({std::string{scene.subtitle}, Style::faint});
  lines.push_back({bar(scene, columns)});
  lines.push_back({progress(scene)});
  lines.push_back({about_lock(scene)});
  lines.push_back({record.killing ? about(*record.killing) : "", Style::bad});
  lines.push_back({successor ? about(*record.killing, *successor) : "", Style::good});
}

void add_workers(Lines& lines, Scene const& scene, std::size_t room) {
  struct Done {
    std::int64_t chunks = 0, lines = 0;
  };
  std::map<int, Done> done;
  for (auto const& [chunk, by] : scene.record.finished) {
    ++done[by.worker].chunks;
    done[by.worker].lines += by.lines;
  }

  lines.push_back({"  worker      pid   chunks      lines", Style::faint});
  auto const all = scene.team.members().size();
  auto const shown = all <= room ? all : std::max<std::size_t>(room, 1) - 1;
  for (int number = 1; number <= static_cast<int>(shown); ++number) {
    auto const state = about_worker(scene, number);
    lines.push_back(
        {fmt::format("{:>8} {:>8} {:>8} {:>10}  {}", number, scene.team.member(number).pid,
                     grouped(done[number].chunks), grouped(done[number].lines), state.text),
         state.style});
  }
  if (shown < all) lines.push_back({fmt::format("     ... {} more", all - shown)});
}

void add_keys(Lines& lines, Scene const& scene) {
  lines.push_back({"   count  key", Style::faint});
  for (auto const& [times, key] : scene.record.commonest(keys_shown)) {
    lines.push_back({fmt::format("{:>8}  {}", grouped(times), printable(key))});
  }
}

Lines picture(Scene const& scene, std::size_t rows, std::size_t columns) {
  constexpr std::size_t headings = 2;
  Lines lines;
  add_summary(lines, scene, columns);
  auto const others = lines.size() + headings + keys_shown;
  add_workers(lines, scene, rows > others ? rows - others : 0);
  add_keys(lines, scene);

  lines.resize(std::min(lines.size(), rows));
  for (auto& line : lines) line.text = fitted(line.text, columns);
  return lines;
}

}  // namespace

Screen::Screen() : live_{wants_escape_codes()} {}

void Screen::show(Scene const& scene) { live_ ? draw(scene) : tell(scene); }

void Screen::draw(Scene const& scene) {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
    size = {24, 80, 0, 0};
  auto const resized = std::exchange(rows_, size.ws_row) != size.ws_row;
  auto const reshaped = std::exchange(columns_, size.ws_col) != size.ws_col || resized;

  std::string out;
  if (drawn_ == 0) {
    out = "\x1b[?25l";  // no cursor
  } else if (reshaped) {
    out = "\x1b[2J\x1b[H";  // the terminal has wrapped what was drawn: nobody knows where it is now
  } else {
    out = fmt::format("\x1b[{}A\r", drawn_);
  }
  auto const lines = picture(scene, rows_ - 1, columns_ - 1);
  for (auto const& line : lines) out += styled(line.text, line.style) + "\x1b[K\n";
  write_out(out + "\x1b[J");  // in one piece, so that no half picture is seen
  drawn_ = lines.size();
}

void Screen::leave() {
  if (drawn_ > 0) write_out("\x1b[?25h");
  drawn_ = 0;
}

void Screen::tell(Scene const& scene) {
  auto const& killing = scene.record.killing;
  auto const successor = scene.record.successor();
  if (!std::exchange(told_title_, true)) {
    print(scene.title);
    print(scene.subtitle);
  }
  if (scene.elapsed >= next_progress_) {
    print(fmt::format("{}  {:>3} %", progress(scene), percent(scene)));
    next_progress_ = scene.elapsed + std::chrono::milliseconds{500};
  }
  if (killing && !std::exchange(told_killing_, true)) print("         " + about(*killing));
  if (successor && !std::exchange(told_successor_, true))
    print("         " + about(*killing, *successor));
}

void Screen::print(std::string_view line, Style style) {
  leave();
  write_out(styled(line, style) + "\n");
}

std::string Screen::styled(std::string_view line, Style style) const {
  static constexpr std::array<std::string_view, 5> codes{"", "\x1b[1m", "\x1b[2m", "\x1b[32m",
                                                         "\x1b[31m"};
  auto const code = codes.at(static_cast<std::size_t>(style));
  return live_ && !code.empty() && !line.empty() ? fmt::format("{}{}\x1b[0m", code, line)
                                                 : std::string{line};
}

}  // namespace demo
