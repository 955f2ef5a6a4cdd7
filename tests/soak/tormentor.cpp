#include "soak/tormentor.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fmt/core.h>
#include <sys/wait.h>

#include <tandem/client.hpp>
#include <tandem/testing/redis_server.hpp>

#include "soak/book.hpp"
#include "soak/troop.hpp"
#include "support/fault_proxy.hpp"
#include "support/shared_memory.hpp"

namespace tandem::soak {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using support::FaultProxy;
using support::History;

// Bounds that say "stuck", not "slow": a machine may stall, a stopped process sleeps for a second,
// a grant that it slept through lasts for one more, and there may be several such before a waiter.
constexpr std::chrono::seconds stuck_after{90};
constexpr std::chrono::seconds late_after{20};
constexpr std::size_t faults_shown = 20;

// A fence is the server's, of microseconds, and room for those of local hand-offs.
constexpr std::uint64_t fences_in_a_microsecond = 2048;

/// The lowest fence that a server can give from now on.
std::uint64_t next_fence() {
  return fences_in_a_microsecond *
         static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

class Tormentor {
 public:
  explicit Tormentor(Plan const& plan) : plan_{plan}, random_{plan.seed} {}

  int run() {
    fmt::print("lock_soak: {} processes of {} threads, {} locks, {} s, --seed {}\n", processes,
               threads, locks, plan_.length.count(), plan_.seed);
    std::fflush(stdout);
    for (int place = 0; place < processes; ++place) troop_.begin(place);
    auto const end = steady_clock::now() + plan_.length;
    auto next_line = steady_clock::now() + 1min;
    while (steady_clock::now() < end && faults_ < static_cast<int>(faults_shown)) {
      do_something();
      std::this_thread::sleep_for(milliseconds{10 + one_of(90)});  // between two faults
      troop_.wake(false);
      check();
      if (steady_clock::now() >= next_line) {
        print_summary();
        next_line += 1min;
      }
    }
    wind_up();
    print_summary();
    return faults_;
  }

 private:
  int one_of(int count) { return std::uniform_int_distribution<int>{0, count - 1}(random_); }

  std::vector<std::string> words_of(int place) {
    return {"worker", std::to_string(place), std::to_string(Troop::inherited),
            place % 2 == 0 ? server_.url() : proxy_.url(), std::to_string(random_() % 1'000'000)};
  }

  void kill_and_begin_again(int place) {
    auto const pid = troop_.pid(place);
    auto const when = History::now();
    troop_.kill(place);
    forget(place, pid, when);
    troop_.begin(place);
    ++kills_;
  }

  /// Of a process that was alive at `when`, and is no more.
  void forget(int place, pid_t pid, std::int64_t when) {
    book_->history.died(pid, when);
    for (auto& step : book_->steps[static_cast<std::size_t>(place)]) step.since = 0;
  }

  // ---- faults ----

  void do_something() {
    auto const number = one_of(100);
    if (number < 25) {
      kill_and_begin_again(one_of(processes));
    } else if (number < 55) {
      if (troop_.stop_for(one_of(processes), milliseconds{one_of(one_of(3) == 0 ? 1200 : 300)}))
        ++stops_;
    } else if (number < 65) {
      ++cuts_;
      say("CLIENT", "KILL", "TYPE", one_of(2) == 0 ? "pubsub" : "normal", "SKIPME", "yes");
    } else if (number < 85) {
      cut_by_proxy();
    } else if (number < 90) {
      ++slow_;
      proxy_.delay(milliseconds{one_of(2) == 0 ? 0 : one_of(250)});
    } else if (number < 94) {
      ++flushes_;
      say("SCRIPT", "FLUSH");
    } else if (number < 97) {
      ++pauses_;
      server_.pause();
      std::this_thread::sleep_for(milliseconds{one_of(900)});  // a lease is 200 to 500
      server_.resume();
    } else if (number < 99) {
      ++restarts_;
      server_.restart();
    } else {
      lose_data();
    }
  }

  void cut_by_proxy() {
    using Fault = FaultProxy::Fault;
    constexpr std::array faults{Fault::cut_before_request, Fault::cut_in_request,
                                Fault::cut_after_request,  Fault::cut_in_reply,
                                Fault::swallow_reply,      Fault::cut_and_delay};
    ++cuts_;
    proxy_.next("EVALSHA", faults[static_cast<std::size_t>(one_of(faults.size()))]);
    if (one_of(2) == 0) proxy_.deliver_delayed();
  }

  void lose_data() {
    ++losses_;
    auto const down = History::now();
    server_.kill();
    order_.data_lost(down, next_fence());
    std::filesystem::remove_all(std::filesystem::path{server_.folder()} / "appendonlydir");
    server_.restart();
  }

  template <class... Words>
  void say(Words const&... words) {
    try {
      (void)client_.command(words...);
    } catch (Error const&) {
      // It was itself among those that were cut off.
    }
  }

  // ---- promises ----

  void broken(std::string const& what) {
    if (++faults_ > static_cast<int>(faults_shown)) return;
    fmt::print("BROKEN: {}\n", what);
    std::fflush(stdout);
  }

  void check() {
    auto const wrong = order_.look(book_->history.take_out(order_));
    for (std::size_t at = 0; at < wrong.size();) {
      auto const end = wrong.find('\n', at);
      broken(wrong.substr(at, end - at));
      at = end + 1;
    }
    for (auto const& each : book_->robbed) {
      if (each.written && !order_.is_lost(each.fence) && robberies_told_.insert(&each).second) {
        broken(
            fmt::format("robbed: pid {} held lock {} with fence {}, and its release was told that "
                        "it did not",
                        each.pid.load(), each.lock.load(), each.fence.load()));
      }
    }
    for (int place = 0; place < processes; ++place) {
      look_for_the_stuck(place);
      look_for_the_dead(place);
    }
  }

  void look_for_the_stuck(int place) {
    for (auto& step : book_->steps[static_cast<std::size_t>(place)]) {
      auto const since = step.since.load();
      auto const time = std::chrono::nanoseconds{History::now() - since};
      if (since == 0 || time < stuck_after) continue;
      constexpr std::array what{"nothing", "acquire()", "try_acquire_for() or a stop", "release()"};
      broken(fmt::format("stuck: pid {} is in {} of lock {} for {} s", troop_.pid(place),
                         what[static_cast<std::size_t>(step.doing.load())], step.lock.load(),
                         std::chrono::duration_cast<std::chrono::seconds>(time).count()));
      step.since = 0;  // told once
    }
  }

  /// Nobody dies but by our hand.
  void look_for_the_dead(int place) {
    auto const pid = troop_.pid(place);
    auto const status = troop_.ended(place);
    if (!status) return;
    forget(place, pid, History::now());
    broken(fmt::format("died: pid {}, {} {}", pid, WIFSIGNALED(*status) ? "signal" : "exit",
                       WIFSIGNALED(*status) ? WTERMSIG(*status) : WEXITSTATUS(*status)));
    troop_.begin(place);
  }

  /// The faults are over: everybody goes on, gets a turn, and comes to an end.
  void wind_up() {
    troop_.wake(true);
    proxy_.delay(0ms);
    std::array<std::uint64_t, processes> before{};
    for (std::size_t i = 0; i < processes; ++i) before[i] = book_->holds[i];
    auto const missing = [&] {
      int count = 0;
      for (std::size_t i = 0; i < processes; ++i) count += book_->holds[i] == before[i] ? 1 : 0;
      return count;
    };
    auto const give_up = steady_clock::now() + stuck_after;
    while (missing() > 0 && steady_clock::now() < give_up) {
      check();
      std::this_thread::sleep_for(50ms);  // the grain of the look
    }
    if (missing() > 0)
      broken(fmt::format("starved: {} processes got no lock any more when the faults were over",
                         missing()));
    book_->over = true;
    auto const last_moment = steady_clock::now() + stuck_after;
    for (int place = 0; place < processes; ++place) end(place, last_moment);
    check();
    if (auto const lateness = book_->longest_lateness.load();
        std::chrono::nanoseconds{lateness} > late_after)
      broken(fmt::format("late: a call outlived its deadline by {} ms", lateness / 1'000'000));
    if (auto const overflows = book_->history.overflows(); overflows > 0)
      broken(
          fmt::format("the book of holds was full {} times: nothing was checked then", overflows));
    if (order_.looked_at() == 0) broken("nobody ever held a lock");
  }

  void end(int place, steady_clock::time_point give_up) {
    auto const pid = troop_.pid(place);
    auto status = troop_.ended(place);
    for (; !status; status = troop_.ended(place)) {
      if (steady_clock::now() >= give_up) {
        broken(fmt::format("stuck: pid {} does not come to an end", pid));
        ::kill(pid, SIGKILL);
        give_up += 1h;
      }
      std::this_thread::sleep_for(5ms);  // the grain of the look
    }
    forget(place, pid, History::now());
    if (*status != 0) broken(fmt::format("died: pid {} at its end, status {}", pid, *status));
  }

  void print_summary() {
    std::uint64_t least = ~0ULL;
    std::uint64_t most = 0;
    for (auto const& each : book_->holds) {
      least = std::min(least, each.load());
      most = std::max(most, each.load());
    }
    auto const& releases = book_->releases;
    fmt::print(
        "  after {} s\n"
        "  holds     {} checked, {} to {} by each place; {} ended under their holder\n"
        "  releases  {} released, {} expired, {} taken over, {} unknown\n"
        "  calls     {} gave up or found it taken, {} threw; longest acquire() {} ms, longest "
        "beyond a deadline {} ms\n"
        "  faults    {} kills, {} stops, {} cuts, {} changes of the network's delay, {} script "
        "flushes; the server paused {} times, "
        "restarted {} with its data, {} without\n"
        "  broken    {}\n",
        std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - began_).count(),
        order_.looked_at(), least, most, book_->lost.load(), releases[0].load(), releases[1].load(),
        releases[2].load(), releases[3].load(), book_->gave_up.load(), book_->failed.load(),
        book_->longest_wait.load() / 1'000'000, book_->longest_lateness.load() / 1'000'000, kills_,
        stops_, cuts_, slow_, flushes_, pauses_, restarts_, losses_, faults_);
    std::fflush(stdout);
  }

  Plan const& plan_;
  std::mt19937 random_;
  support::Shared<Book> const book_{};
  testing::RedisServer server_{{.persistent = true, .start_deadline = 60s}};
  FaultProxy proxy_{server_};
  Client client_{server_.url() + "?connect_timeout=5s"};
  Troop troop_{processes, book_.descriptor(), [this](int place) { return words_of(place); }};
  support::HoldOrder order_{};
  std::set<Robbed const*> robberies_told_{};
  steady_clock::time_point began_ = steady_clock::now();
  int faults_ = 0;
  int kills_ = 0, stops_ = 0, cuts_ = 0, slow_ = 0, flushes_ = 0, pauses_ = 0, restarts_ = 0,
      losses_ = 0;
};

}  // namespace

int torment_locks(Plan const& plan) { return Tormentor{plan}.run(); }

}  // namespace tandem::soak
