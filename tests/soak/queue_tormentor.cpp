#include "soak/queue_tormentor.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fmt/core.h>
#include <sys/wait.h>

#include <tandem/queue.hpp>
#include <tandem/testing/redis_server.hpp>

#include "soak/ledger.hpp"
#include "soak/troop.hpp"
#include "support/fault_proxy.hpp"
#include "support/shared_memory.hpp"

namespace tandem::soak {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using support::FaultProxy;

constexpr int processes = producers + consumers;
// Bounds that say "stuck", not "slow".
constexpr std::chrono::seconds stuck_after{90};
constexpr int faults_shown = 20;

class Tormentor {
 public:
  explicit Tormentor(Plan const& plan) : plan_{plan}, random_{plan.seed} {}

  int run() {
    fmt::print("queue_soak: {} producers, {} workers, {} s, --seed {}\n", producers, consumers,
               plan_.length.count(), plan_.seed);
    std::fflush(stdout);
    for (int place = 0; place < processes; ++place) troop_.begin(place);
    auto const end = steady_clock::now() + plan_.length;
    auto next_line = steady_clock::now() + 1min;
    while (steady_clock::now() < end && faults_ < faults_shown) {
      do_something();
      std::this_thread::sleep_for(milliseconds{10 + one_of(90)});  // between two faults
      troop_.wake(false);
      look_for_the_dead();
      if (steady_clock::now() >= next_line) {
        print_summary();
        next_line += 1min;
      }
    }
    wind_up();
    if (faults_ < faults_shown) check();
    print_summary();
    return faults_;
  }

 private:
  int one_of(int count) { return std::uniform_int_distribution<int>{0, count - 1}(random_); }

  std::vector<std::string> words_of(int place) {
    return {place < producers ? "produce" : "consume", std::to_string(place),
            place % 2 == 0 ? server_.url() : proxy_.url(), std::to_string(random_() % 1'000'000)};
  }

  // ---- faults ----

  void do_something() {
    auto const number = one_of(100);
    if (number < 25) {
      int const place = one_of(processes);
      troop_.kill(place);
      troop_.begin(place);
      ++kills_;
    } else if (number < 55) {
      if (troop_.stop_for(one_of(processes), milliseconds{one_of(one_of(3) == 0 ? 2500 : 300)}))
        ++stops_;
    } else if (number < 65) {
      ++cuts_;
      say("CLIENT", "KILL", "TYPE", one_of(2) == 0 ? "pubsub" : "normal", "SKIPME", "yes");
    } else if (number < 88) {
      cut_by_proxy();
    } else if (number < 92) {
      proxy_.delay(milliseconds{one_of(2) == 0 ? 0 : one_of(250)});
    } else if (number < 95) {
      say("SCRIPT", "FLUSH");
    } else if (number < 98) {
      ++pauses_;
      server_.pause();
      std::this_thread::sleep_for(milliseconds{one_of(1800)});  // a visibility is 1500
      server_.resume();
    } else {
      ++restarts_;
      server_.restart();
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

  template <class... Words>
  void say(Words const&... words) {
    try {
      (void)client_.command(words...);
    } catch (Error const&) {
      // It was itself among those that were cut off.
    }
  }

  // ---- promises ----

  using Dead = std::map<std::string, unsigned>;  // how often it was delivered

  void broken(std::string const& what) {
    if (++faults_ > faults_shown) return;
    fmt::print("BROKEN: {}\n", what);
    std::fflush(stdout);
  }

  /// Nobody dies but by our hand.
  void look_for_the_dead() {
    for (int place = 0; place < processes; ++place) {
      auto const pid = troop_.pid(place);
      auto const status = troop_.ended(place);
      if (!status) continue;
      broken(fmt::format("died: pid {}, {} {}", pid, WIFSIGNALED(*status) ? "signal" : "exit",
                         WIFSIGNALED(*status) ? WTERMSIG(*status) : WEXITSTATUS(*status)));
      troop_.begin(place);
    }
  }

  void await_end(int from, int to, char const* who) {
    auto const give_up = steady_clock::now() + stuck_after;
    for (int place = from; place < to; ++place) {
      while (troop_.is_there(place) && !troop_.ended(place)) {
        if (steady_clock::now() >= give_up) return broken(fmt::format("stuck: {} {}", who, place));
        std::this_thread::sleep_for(5ms);  // the grain of the look
      }
    }
  }

  /// The faults are over: what is there is done, and everybody comes to an end.
  void wind_up() {
    troop_.wake(true);
    proxy_.forget();
    proxy_.delay(0ms);
    proxy_.deliver_delayed();
    ledger_->pushing = false;
    await_end(0, producers, "producer");
    ledger_->calm = true;
    try {
      if (!queue_.drain(stuck_after))
        broken(fmt::format("stuck: {} jobs are left", queue_.depth()));
    } catch (Error const& error) {
      broken(error.what());
    }
    ledger_->working = false;
    await_end(producers, processes, "worker");
  }

  /// What came of each job.
  void check() {
    Dead dead;
    std::string after;
    for (;;) {
      auto const letters = queue_.dead_letters(1000, after);
      if (letters.empty()) break;
      after = letters.back().id;
      for (auto const& each : letters) {
        if (!dead.emplace(each.bytes, each.deliveries).second)
          broken("twice among the dead letters: " + each.bytes);
        bool const was_rejected = each.error == "it is one of those";
        if (!was_rejected && each.deliveries < deliveries_at_most)
          broken(fmt::format("a dead letter after {} deliveries: {}, {}", each.deliveries,
                             each.bytes, each.error));
      }
    }
    dead_ = dead.size();
    for (std::size_t producer = 0; producer < producers; ++producer) {
      for (std::uint32_t number = 0; number < ledger_->next[producer]; ++number) {
        check(ledger_->jobs[producer][number], fmt::format("{} {}", producer, number), dead);
      }
    }
    for (auto const& [name, deliveries] : dead) broken("a dead letter that nobody pushed: " + name);
    if (auto const count = ledger_->risen.load(); count > 0) {
      auto const job = ledger_->risen_job.load();
      broken(fmt::format("{} jobs came again after their acknowledgement, as {} {}", count,
                         job >> 32U, job & 0xffffffffU));
    }
    if (ledger_->strangers > 0) broken("jobs that nobody pushed were given out");
    if (ledger_->acknowledged == 0) broken("nothing was ever done");
  }

  void check(JobRecord const& record, std::string const& name, Dead& dead) {
    auto const letter = dead.extract(name);
    bool const died = !letter.empty();
    auto const handled = record.handled.load();
    if (record.push == JobRecord::pushed && handled == 0 && !died)
      broken(fmt::format("lost: job {} was pushed and never given out", name));
    if (record.push == JobRecord::pushed && !died && !record.ending)
      broken(fmt::format("vanished: nobody has said of job {} that it is done", name));
    if (record.push == JobRecord::refused && (handled > 0 || died))
      broken(fmt::format("job {} was refused, and is there", name));
    // Its last holder may be late, and be told that it is done with.
    if (died && record.acknowledged != 0 && record.acknowledged < letter.mapped())
      broken(fmt::format("job {} was acknowledged, and is a dead letter", name));
    if (record.rejected && !died)
      broken(fmt::format("job {} was rejected, and is no dead letter", name));
  }

  void print_summary() {
    fmt::print(
        "queue_soak: {} jobs given out, {} acknowledged, {} dead letters; {} kills, {} stops, {} "
        "cuts, {} pauses, {} restarts; {} calls failed; {} broken\n",
        ledger_->handled.load(), ledger_->acknowledged.load(), dead_, kills_, stops_, cuts_,
        pauses_, restarts_, ledger_->failed.load(), faults_);
    std::fflush(stdout);
  }

  Plan plan_;
  std::minstd_rand random_;
  testing::RedisServer server_{{.persistent = true, .start_deadline = 60s}};
  FaultProxy proxy_{server_};
  Client client_{server_.url() + "?connect_timeout=5s"};
  Queue<std::string> queue_{client_, queue_name};
  support::Shared<Ledger> ledger_{};
  Troop troop_{processes, ledger_.descriptor(), [this](int place) { return words_of(place); }};
  int faults_ = 0;
  int kills_ = 0, stops_ = 0, cuts_ = 0, pauses_ = 0, restarts_ = 0;
  std::size_t dead_ = 0;
};

}  // namespace

int torment_queue(Plan const& plan) { return Tormentor{plan}.run(); }

}  // namespace tandem::soak
