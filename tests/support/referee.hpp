#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cerrno>
#include <cstddef>
#include <mutex>

#include <pthread.h>

namespace tandem::support {

/// Lets threads, of any processes that share it, want what they like, in any order, except what would
/// have some of them wait for one another in a circle.
///
/// Who wants something waits for all who hold it; of what several may hold at a time, for any of them.
/// Who wants several things at once gets them one after the other, and may hold any of them meanwhile.
/// Each says what it wants before it asks for it, what it got before it wants more, and what it gives
/// back before it does. So of whoever waits is known for what, and what it holds, and nobody else is
/// thought to hold it: who is let want is never part of a circle.
///
/// Processes: one may be killed while nobody is let want anything: what it held goes to others without
/// a word. It may die within any call.
class Referee {
 public:
  static constexpr std::size_t most_threads = 16, most_things = 8;
  using Things = std::bitset<most_things>;

  Referee() {
    pthread_mutexattr_t attributes;
    ::pthread_mutexattr_init(&attributes);
    ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    ::pthread_mutex_init(&mutex_.native, &attributes);
    ::pthread_mutexattr_destroy(&attributes);
  }

  /// So many may hold `thing` at a time, and whoever wants it needs one of them to go on.
  void set_permits(std::size_t thing, std::size_t count) { permits_[thing] = count; }

  /// Whether `thread`, which holds none of them, may want `things`; then it does.
  [[nodiscard]] bool lets_want(std::size_t thread, Things things) {
    std::lock_guard const guard{mutex_};
    threads_[thread].wants = things;
    bool const all_go_on = !paused_ && going().all();
    if (!all_go_on) threads_[thread].wants.reset();
    return all_go_on;
  }
  void got(std::size_t thread) {
    std::lock_guard const guard{mutex_};
    auto& mine = threads_[thread];
    mine.holds |= mine.wants;
    mine.wants.reset();
  }
  void gave_up(std::size_t thread) {
    std::lock_guard const guard{mutex_};
    threads_[thread].wants.reset();
  }
  void gives_back(std::size_t thread, Things things) {
    std::lock_guard const guard{mutex_};
    threads_[thread].holds &= ~things;
  }

  /// From now on nobody is let want anything.
  void pause() {
    std::lock_guard const guard{mutex_};
    paused_ = true;
  }
  /// Of one that died, and holds nothing any more.
  void strike_off(std::size_t thread) {
    std::lock_guard const guard{mutex_};
    threads_[thread] = {};
  }
  void go_on() {
    std::lock_guard const guard{mutex_};
    paused_ = false;
  }

 private:
  struct Mutex {
    void lock() {
      // What the dead one was changing is a word or two of its own.
      if (::pthread_mutex_lock(&native) == EOWNERDEAD) ::pthread_mutex_consistent(&native);
    }
    void unlock() { ::pthread_mutex_unlock(&native); }
    pthread_mutex_t native;
  };
  struct Thread {
    Things wants{};
    Things holds{};
  };
  using Threads = std::bitset<most_threads>;

  /// As far as `thread` is concerned, which wants it.
  [[nodiscard]] Threads holders_of(std::size_t thing, std::size_t thread) const {
    Threads out;
    for (std::size_t i = 0; i < most_threads; ++i) {
      auto const& each = threads_[i];
      bool const may_hold = each.wants.count() > 1 && each.wants.test(thing) && i != thread;
      out.set(i, each.holds.test(thing) || may_hold);
    }
    return out;
  }
  /// Those who wait for nobody, or for who goes on.
  [[nodiscard]] Threads going() const {
    Threads out;
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t i = 0; i < most_threads; ++i) {
        if (out.test(i) || !goes_on(i, out)) continue;
        out.set(i);
        changed = true;
      }
    }
    return out;
  }
  [[nodiscard]] bool goes_on(std::size_t thread, Threads const& others) const {
    for (std::size_t thing = 0; thing < most_things; ++thing) {
      if (!threads_[thread].wants.test(thing)) continue;
      auto const holders = holders_of(thing, thread);
      bool const is_free = holders.count() < std::max<std::size_t>(permits_[thing], 1);
      bool const all_give_back = (holders & ~others).none();
      bool const one_gives_back = permits_[thing] > 0 && (holders & others).any();
      if (!is_free && !all_give_back && !one_gives_back) return false;
    }
    return true;
  }

  Mutex mutex_{};
  bool paused_ = false;
  std::array<Thread, most_threads> threads_{};
  std::array<std::size_t, most_things> permits_{};  // 0: who wants it needs all who hold it
};

}  // namespace tandem::support
