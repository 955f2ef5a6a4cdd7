#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include <tandem/core/options.hpp>

#include "core/fork.hpp"
#include "locking/keys.hpp"

namespace tandem::detail {

class Site;

/// Of the calling thread, within its process.
[[nodiscard]] std::uint64_t this_thread_number() noexcept;

/// One acquisition at the server. Its holds follow one another within this process, each with a
/// fence of its own; the background thread renews it and ends it.
struct Lease {
  /// Of one lease there are so many holds at most: the server's fence is theirs but for its last 11
  /// bits. Counted in microseconds since 1970 a fence stays below 2^63 until the year 2112.
  static constexpr unsigned most_holds = 1U << 11U;

  Lease(std::shared_ptr<LockKeys const> its_keys, std::string its_token, std::uint64_t its_fence,
        std::chrono::milliseconds its_length, bool renewed)
      : keys{std::move(its_keys)},
        token{std::move(its_token)},
        fence{its_fence},
        length{its_length},
        renew{renewed} {}

  std::shared_ptr<LockKeys const> keys;
  std::string token;
  std::uint64_t fence;  // the server's
  std::chrono::milliseconds length;
  bool renew;
  unsigned yield_to_foreign = 0;
  std::chrono::milliseconds yield_for{1};
  unsigned generation = fork_generation();

  // The background thread moves them on with each renewal.
  std::atomic<Deadline> valid_until{Deadline{}};
  std::atomic<Deadline> renew_at{Deadline{}};
  std::atomic<std::chrono::milliseconds>
      term{};                     // what it was given for last: `length`, or a grant
  std::atomic<bool> over{false};  // released, or known to be lost

  // Where the threads of this process meet; its own, under its mutex.
  std::shared_ptr<Site> site{};
  unsigned holds = 0;        // before the one there is
  std::uint64_t thread = 0;  // who acquired that one: taken for the one that will release it
  unsigned reentries = 0;    // by that thread, not given back yet
  std::mutex commit_mutex{};
  std::uint64_t commits = 0;  // guarded by it
  // The agent's own, under its mutex.
  std::optional<Deadline> due{};  // when it is looked at next; none: not kept

  [[nodiscard]] std::uint64_t fence_of_hold() const noexcept { return fence * most_holds + holds; }

  /// Counts from before the request was sent, less what the two clocks may differ in speed.
  void extend_from(Deadline sent) noexcept { extend(sent, length, sent + length / 3); }
  void extend(Deadline sent, std::chrono::milliseconds its_term, Deadline to_be_renewed) noexcept {
    term = its_term;
    renew_at = to_be_renewed;
    valid_until = sent + its_term - its_term / 100 - std::chrono::milliseconds{1};
  }
  [[nodiscard]] bool trusted(Deadline now) const noexcept {
    return !over.load() && now < valid_until.load() && generation == fork_generation();
  }

  /// It ended without a release: nobody may trust it from `now` on, and who watches it is told.
  void lose(Deadline now);

  /// Stops when it is lost during the hold there is.
  [[nodiscard]] std::stop_token watch() {
    std::lock_guard const guard{stop_mutex_};
    if (!stop_) stop_.emplace();
    if (lost_) stop_->request_stop();  // nobody can have registered with it yet
    return stop_->get_token();
  }
  /// The hold there was is over, and its tokens are not told any more; the next is that thread's.
  void begin_next_hold(std::uint64_t its_thread) {
    ++holds;
    thread = its_thread;
    std::lock_guard const guard{stop_mutex_};
    stop_.reset();
  }

 private:
  std::mutex stop_mutex_{};
  std::optional<std::stop_source> stop_{};
  bool lost_ = false;
};

}  // namespace tandem::detail
