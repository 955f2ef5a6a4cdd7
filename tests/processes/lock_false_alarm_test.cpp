// Many who look for deadlocks, again and again, where there is none.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/lock.hpp>
#include <tandem/multi_lock.hpp>
#include <tandem/recursive_lock.hpp>
#include <tandem/semaphore.hpp>
#include <tandem/shared_lock.hpp>

#include "support/fault_proxy.hpp"
#include "support/forked.hpp"
#include "support/lock_scene.hpp"
#include "support/referee.hpp"
#include "support/shared_memory.hpp"
#include "support/threads.hpp"
#include "support/wire.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::eventually;
using support::Forked;
using support::Referee;
using support::Shared;

// One who waits for an hour, with the default of LockOptions::deadlock_after, cannot look more often.
constexpr long long an_hour_of_looks = 3600;
constexpr std::size_t workers = 4, threads = 4;
static_assert(workers * threads <= Referee::most_threads);

// The things to be had, and ways to have two of them at once.
enum Thing : std::size_t { lock_a, lock_b, recursive, shared_a, shared_b, slots, both, things };
constexpr unsigned permits = 2;

Referee::Things parts_of(std::size_t thing) {
  Referee::Things out;
  if (thing == both) return out.set(lock_a).set(lock_b);
  return out.set(thing);
}
constexpr std::size_t most_held = 4;

struct Board {
  Referee referee{};
  std::atomic<bool> over = false;
  std::atomic<int> holds = 0;
  std::atomic<int> alarms = 0;
  char first_alarm[2000] = {};

  void raise(std::string_view text) {
    if (alarms++ == 0) text.copy(first_alarm, sizeof first_alarm - 1);
  }
};

/// All there is, as one thread sees it.
class Things {
 public:
  explicit Things(Client const& client)
      : locks_{{client, "lock_a", lock_options}, {client, "lock_b", lock_options}},
        both_{client, {"lock_a", "lock_b"}, {.lease = lease, .deadlock_after = look_after}},
        recursive_{client, "recursive", lock_options},
        shared_{{client, "shared_a", shared_options}, {client, "shared_b", shared_options}},
        slots_{client, "slots", permits, {.lease = lease, .deadlock_after = look_after}} {}

  using AnyHold = std::variant<Hold, MultiHold>;
  [[nodiscard]] AnyHold acquire(std::size_t thing, bool shares) const {
    switch (thing) {
      case both:
        return both_.acquire();
      case lock_a:
      case lock_b:
        return locks_[thing - lock_a].acquire();
      case recursive:
        return recursive_.acquire();
     case slots:
        return slots_.acquire();
      default:
        auto const& lock = shared_[thing - shared_a];
        return shares ? lock.acquire_shared() : lock.acquire();
    }
  }

  /// Whether that process holds any of it, as the server knows.
  [[nodiscard]] bool held_by(int pid) const {
    std::vector<Owner> owners;
    auto const add = [&](auto const& some) {
      owners.insert(owners.end(), some.begin(), some.end());
    };
    for (auto const& each : locks_) {
      if (auto const owner = each.owner()) owners.push_back(*owner);
    }
    if (auto const owner = recursive_.owner()) owners.push_back(*owner);
    for (auto const& each : shared_) add(each.holders());
    add(slots_.holders());
    return std::any_of(owners.begin(), owners.end(),
                       [&](Owner const& each) { return each.pid == pid; });
  }

 private:
  // Soon after another died, and as often as may be.
  static constexpr auto lease = 3s;
  static constexpr auto look_after = 10ms;
  static constexpr LockOptions lock_options{.lease = lease, .deadlock_after = look_after};
  static constexpr SharedLockOptions shared_options{.lease = lease, .deadlock_after = look_after};

  std::vector<Lock> locks_;
  MultiLock both_;
  RecursiveLock recursive_;
  std::vector<SharedLock> shared_;
  Semaphore slots_;
};

/// Acquires and gives back what the referee lets it, until it is over.
void play(Board& board, Things const& all, std::size_t me) {
  std::minstd_rand random{std::random_device{}()};
  struct Held {
    std::size_t thing;
    Things::AnyHold hold;
  };
  std::vector<Held> held;
  auto const give_one_back = [&] {
    if (held.empty()) return;
    std::swap(held[random() % held.size()], held.back());
    board.referee.gives_back(me, parts_of(held.back().thing));
    held.pop_back();
  };
  while (!board.over) {
    auto const thing = random() % things;
    bool const is_mine = std::any_of(held.begin(), held.end(), [&](auto const& each) {
      return (parts_of(each.thing) & parts_of(thing)).any();
    });
    if (is_mine) {
      if (thing == recursive) (void)all.acquire(recursive, false);  // waits for nobody
    } else if (held.size() < most_held && board.referee.lets_want(me, parts_of(thing))) {
      try {
        auto hold = all.acquire(thing, random() % 3 != 0);
        board.referee.got(me);
        held.push_back({thing, std::move(hold)});
        ++board.holds;
      } catch (Deadlock const& alarm) {
        board.referee.gave_up(me);
        board.raise(alarm.what());
      } catch (Error const&) {
        board.referee.gave_up(me);  // of a server that was too slow to answer
      }
    } else {
      give_one_back();
    }
    if (random() % 4 == 0) give_one_back();
    std::this_thread::sleep_for(std::chrono::milliseconds{random() % 3});  // what it is held for
  }
  while (!held.empty()) give_one_back();
}

/// Counts the looks of all: each says first what it waits for, by one HSET.
class Looks {
 public:
  explicit Looks(support::LockScene& scene) : wire_{scene.server} {
    scene.redis("CONFIG", "SET", "notify-keyspace-events", "Kh");
    (void)wire_("PSUBSCRIBE __keyspace@0__:tandem:waits:*");
  }
  [[nodiscard]] long long count() {
    constexpr std::string_view look = "\r\n$4\r\nhset\r\n";
    for (;;) {
      auto const more = wire_.receive(1ms);
      if (more.empty()) return count_;
      text_ += more;
      for (auto at = text_.find(look); at != std::string::npos; at = text_.find(look)) {
        text_.erase(0, at + look.size());
        ++count_;
      }
    }
  }

 private:
  support::Wire wire_;
  std::string text_{};
  long long count_ = 0;
};

class LockFalseAlarmTest : public ::testing::Test {
 protected:
  LockFalseAlarmTest() { board_->referee.set_permits(slots, permits); }

  /// While one looks who is far from the server, the others move.
  static bool is_far(std::size_t worker) { return worker < 2; }

  void start(std::size_t worker) {
    workers_[worker] = std::make_unique<Forked>([&, worker] {
      std::optional<support::FaultProxy> way;
      if (is_far(worker)) way.emplace(scene_.server).delay(3ms);
      Things const all{way ? Client{way->url()} : scene_.client()};
      support::on_threads(threads, [&](int i) {
        play(*board_, all, worker * threads + static_cast<std::size_t>(i));
      });
      return "done";
    });
  }

  /// What it held is the others' after that.
  void kill_and_replace(std::size_t worker) {
    auto const pid = workers_[worker]->pid();
    board_->referee.pause();
    workers_[worker].reset();
    Things const all{scene_.client()};
    // Who waits for a dead one's sees it at once.
    for (std::size_t thing = 0; thing < things; ++thing) (void)all.acquire(thing, false);
    ASSERT_TRUE(eventually([&] { return !all.held_by(pid); }));
    for (std::size_t i = 0; i < threads; ++i) {
      board_->referee.strike_off(worker * threads + i);
    }
    board_->referee.go_on();
    start(worker);
  }

  /// For some looks of the others, or as long as they come.
  void stop_for_a_while(std::size_t worker, Looks& looks) {
    auto const enough = looks.count() + 20;
    ::kill(workers_[worker]->pid(), SIGSTOP);
    (void)eventually([&] { return looks.count() >= enough; }, 250ms);
    ::kill(workers_[worker]->pid(), SIGCONT);
  }

  support::LockScene scene_{};
  Shared<Board> const board_{};
  std::vector<std::unique_ptr<Forked>> workers_{workers};
};

TEST_F(LockFalseAlarmTest, NobodyIsToldOfACircleInAnHoursLooksWhereThereIsNone) {
  Looks looks{scene_};
  for (std::size_t i = 0; i < workers; ++i) start(i);
  auto const give_up = std::chrono::steady_clock::now() + 5min;
  for (int round = 0; looks.count() < an_hour_of_looks && board_->alarms == 0; ++round) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "looked " << looks.count() << " times";
    auto const enough = looks.count() + 150;
    (void)eventually([&] { return looks.count() >= enough; }, 5s);
    if (round % 8 == 7) {
      kill_and_replace(round % 16 == 7 ? 2 : 3);  // near ones: the way of a far one leaves a folder
    } else {
      stop_for_a_while(static_cast<std::size_t>(round) % workers, looks);
    }
  }
  board_->over = true;
  for (auto const& each : workers_) EXPECT_EQ(each->told(), "done");
  EXPECT_EQ(board_->alarms, 0) << board_->first_alarm;
  EXPECT_GT(board_->holds, 1000);
}

}  // namespace
}  // namespace tandem
