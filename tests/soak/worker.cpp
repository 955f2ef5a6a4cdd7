#include "soak/worker.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <random>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

#include <tandem/lock.hpp>
#include <tandem/multi_lock.hpp>
#include <tandem/shared_lock.hpp>

namespace tandem::soak {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using support::History;

/// That a thread is in a call, for those who look out for threads that are stuck there.
class InCall {
 public:
  InCall(Step& step, Doing doing, int lock) : step_{step} {
    step_.doing = doing;
    step_.lock = lock;
    step_.since = began_;
  }
  InCall(InCall const&) = delete;
  InCall& operator=(InCall const&) = delete;
  ~InCall() { step_.since = 0; }

  [[nodiscard]] std::int64_t took() const { return History::now() - began_; }

 private:
  Step& step_;
  std::int64_t began_ = History::now();
};

/// A SharedLock, for who reads.
struct Reading {
  SharedLock const& lock;

  [[nodiscard]] std::optional<Hold> try_acquire() const { return lock.try_acquire_shared(); }
  [[nodiscard]] std::optional<Hold> try_acquire_for(milliseconds longest) const {
    return lock.try_acquire_shared_for(longest);
  }
  [[nodiscard]] std::optional<Hold> acquire(std::stop_token stop) const {
    return lock.acquire_shared(std::move(stop));
  }
  [[nodiscard]] Hold acquire() const { return lock.acquire_shared(); }
};

class Hand {
 public:
  Hand(Book& book, int place, int thread, Client client, unsigned seed)
      : book_{book},
        place_{place},
        step_{book.steps[static_cast<std::size_t>(place)][static_cast<std::size_t>(thread)]},
        client_{std::move(client)},
        random_{seed} {}

  void work() {
    while (!book_.over) {
      try {
        turn();
      } catch (Error const&) {
        ++book_.failed;
      }
    }
  }

 private:
  int one_of(int count) { return std::uniform_int_distribution<int>{0, count - 1}(random_); }

  void turn() {
    auto const number = one_of(locks);
    auto const options = some_options(number);
    auto const name = [](int i) { return names[static_cast<std::size_t>(i)]; };
    if (number == for_readers) {
      SharedLock const lock{
          client_, name(number), {.lease = options.lease, .renew = options.renew}};
      bool const reads = one_of(4) > 0;
      hold(reads ? acquire(Reading{lock}, number) : acquire(lock, number), {number}, reads,
           options);
    } else if (number == with_another && one_of(2) == 0) {
      // Not in their order, which is for the lock to find.
      MultiLock const lock{client_,
                           {name(number), name(the_other)},
                           {.lease = options.lease, .renew = options.renew}};
      hold(acquire(lock, number), {number, the_other}, false, options);
    } else {
      hold(acquire(Lock{client_, name(number), options}, number), {number}, false, options);
    }
  }

  static Hold const& as_one(Hold const& hold) { return hold; }
  static Hold const& as_one(MultiHold const& hold) { return hold.hold(); }

  template <class AnyHold>
  void hold(std::optional<AnyHold> hold, std::initializer_list<int> numbers, bool reads,
            LockOptions const& options) {
    if (!hold) {
      ++book_.gave_up;
      return;
    }
    std::vector<History::Entry*> entries;
    for (auto const each : numbers) {
      entries.push_back(book_.history.enter(place_, as_one(*hold), each, reads));
    }
    ++book_.holds[static_cast<std::size_t>(place_)];
    stay(entries, as_one(*hold), options.lease, *numbers.begin());
    for (auto* const each : entries) History::leave(each);
    release(std::move(*hold), *numbers.begin());
  }

  /// Mostly those that the other threads here use as well: then they pass the lock on among
  /// themselves.
  LockOptions some_options(int number) {
    LockOptions out{.lease = milliseconds{200 + (place_ * 61 + number * 97) % 301},
                    .renew = place_ % 4 != 3};
    if (out.renew && place_ % 2 == 0) out.linger = milliseconds{place_ * 5};
    if (one_of(4) > 0) return out;
    out.lease = milliseconds{200 + one_of(301)};
    out.renew = one_of(3) > 0;
    out.linger = milliseconds{out.renew && one_of(2) == 0 ? one_of(100) : 0};
    return out;
  }

  template <class AnyLock>
  auto acquire(AnyLock const& lock, int number) -> decltype(lock.try_acquire()) {
    using Found = decltype(lock.try_acquire());
    switch (one_of(8)) {
      case 0:
        return lock.try_acquire();
      case 1:
      case 2: {
        auto const longest = milliseconds{one_of(300)};
        InCall const call{step_, Doing::trying, number};
        auto hold = lock.try_acquire_for(longest);
        raise_to(book_.longest_lateness, call.took() - std::chrono::nanoseconds{longest}.count());
        return hold;
      }
      case 3: {
        std::stop_source source;
        std::int64_t stopped = 0;
        Found hold;
        {
          std::jthread const stopper{[&, after = milliseconds{one_of(100)}] {
            std::this_thread::sleep_for(after);  // the stop may come at any moment of the wait
            stopped = History::now();
            source.request_stop();
          }};
          InCall const call{step_, Doing::trying, number};
          hold = lock.acquire(source.get_token());
        }
        raise_to(book_.longest_lateness, hold ? 0 : History::now() - stopped);
        return hold;
      }
      default: {
        InCall const call{step_, Doing::acquiring, number};
        Found hold{lock.acquire()};
        raise_to(book_.longest_wait, call.took());
        return hold;
      }
    }
  }

  /// Mostly for a moment; now and then, and of the last lock often, for longer than the lease.
  void stay(std::vector<History::Entry*> const& entries, Hold const& hold, milliseconds lease,
            int number) {
    auto time = std::chrono::microseconds{one_of(1500)};
    if (one_of(number == held_for_long ? 8 : 200) == 0) time = lease * (1 + one_of(2)) + 50ms;
    auto const until = steady_clock::now() + time;
    while (steady_clock::now() < until) {
      bool held = true;
      for (auto* const each : entries) held = History::look(each, hold) && held;
      if (!held) {
        ++book_.lost;
        return;
      }
      std::this_thread::sleep_for(std::min<std::chrono::microseconds>(time, 5ms));
    }
  }

  template <class AnyHold>
  void release(AnyHold hold, int number) {
    auto const fence = as_one(hold).fence();
    auto const valid_until = hold.valid_until().time_since_epoch().count();
    InCall const call{step_, Doing::releasing, number};
    auto const found = hold.release();
    auto const answered = History::now();
    ++book_.releases[static_cast<std::size_t>(found)];
    if ((found == Release::expired || found == Release::taken_over) && answered < valid_until)
      report_robbery(fence, number);
  }

  void report_robbery(std::uint64_t fence, int number) {
    auto const index = book_.robberies.fetch_add(1);
    if (index >= book_.robbed.size()) return;
    auto& entry = book_.robbed[index];
    entry.fence = fence;
    entry.lock = number;
    entry.pid = ::getpid();
    entry.written = true;
  }

  Book& book_;
  int place_;
  Step& step_;
  Client client_;
  std::mt19937 random_;
};

}  // namespace

void work(Book& book, int place, std::string const& url, unsigned seed) {
  auto options = Options::from_url(url);
  options.on_error = [](Error const&) {};  // of holds that were lost: that is what this is about
  Client const client{options};
  std::vector<std::jthread> hands;
  for (int i = 0; i < threads; ++i) {
    hands.emplace_back([&book, place, i, client, seed] {
      Hand{book, place, i, client, seed * threads + static_cast<unsigned>(i)}.work();
    });
  }
}

}  // namespace tandem::soak
