#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <tandem/client.hpp>

namespace tandem {

/// How much a rate limiter lets through. All who use the same name must use the same.
struct RateLimiterOptions {
  /// So many permits come back in each `per`, evenly spread. From 1 to 1,000,000.
  std::int64_t rate = 1;
  /// From 1 ms to 366 days.
  std::chrono::milliseconds per{std::chrono::seconds{1}};
  /// So many there are when none was taken for long: what passes at once. From 1 to 1,000,000,
  /// which must come back within 366 days.
  std::int64_t burst = 1;
  /// Takes permits from the server in blocks of up to so many, for all threads of this object,
  /// which use them without asking it. What is not used within the time in which the block comes
  /// back is lost. From 0, for no blocks, to half of `burst`.
  std::int64_t lease = 0;
};

/// Never more than so many in a time, among all threads of all processes that use the name.
///
///     tandem::RateLimiter limiter{redis, "api", {.rate = 100, .per = 1s, .burst = 20}};
///     if (auto decision = limiter.try_acquire()) {
///         serve();
///     } else {
///         refuse(decision.retry_after());
///     }
///
/// Take `Semaphore` where it is the number of those at work that has a limit.
///
/// Guarantee: in any window of time, however it is laid, at most `burst` permits and those that
/// come back while it lasts (`rate` for each `per`), exactly; leased ones as well, for while
/// permits may be out in blocks the server lets through at most burst - lease at once. The server's
/// clock decides.
///
/// Not promised: an order among those who are refused; who waits has a place in the order of
/// asking. That each permit which the server counts is used: of an unused block, of a lost reply
/// and of a waiter that died they are lost. The limit when the server's clock is set: set forward,
/// permits come back at once; set back, none comes back for as long, or, by more than an hour and
/// what `burst` takes to come back, all do.
///
/// Shape:   string `<name>`: "moment rest", when all permits will have come back, in microseconds
///          of the server's clock and 1/rate of one; expires then.
///          Stored layout since 0.1; changing it breaks running processes.
/// Cost:    1 command (a script) and 1 round trip per call; none where a block has what is asked.
///          2 round trips when the server has forgotten the script.
/// Errors:  std::invalid_argument for an empty name, options out of range, and a cost below 1 or
///          above burst - lease. Unreachable; ServerError (WRONGTYPE, OOM, READONLY ...), and
///          nothing was taken. InDoubt: nothing is let through, though the permits may be gone;
///          asking again never lets through too much.
/// Threads: safe from several; copies are cheap and share their block. The child of a fork takes
///          blocks of its own.
/// Source:  src/lua/rate_limiter/; ITU-T I.371, generic cell rate algorithm (virtual scheduling).
///
/// See examples/rate_limiter.cpp, docs/counters.md.
class RateLimiter {
 public:
  /// Whether it was let through, and else when it may be.
  class Decision {
   public:
    [[nodiscard]] explicit operator bool() const noexcept { return admitted_; }

    /// So long after the answer there are enough permits again, if nobody else takes any. 0 when it
    /// was let through.
    [[nodiscard]] std::chrono::microseconds retry_after() const noexcept { return retry_after_; }

   private:
    friend class RateLimiter;
    Decision(bool admitted, std::chrono::microseconds retry_after)
        : admitted_{admitted}, retry_after_{retry_after} {}

    bool admitted_;
    std::chrono::microseconds retry_after_;
  };

  RateLimiter(Client client, std::string name, RateLimiterOptions options);

  /// Takes `cost` permits, all or none; never waits for them.
  [[nodiscard]] Decision try_acquire(std::int64_t cost = 1);

  /// The same, for a moment to come: the server gives the permits in advance, and this thread
  /// sleeps until they count. Refused at once, and nothing taken, when that would be later than
  /// `deadline`, or than in an hour.
  ///
  /// Cost:    1 round trip, however long it waits.
  [[nodiscard]] Decision try_acquire_until(Deadline deadline, std::int64_t cost = 1);
  template <class Rep, class Period>
  [[nodiscard]] Decision try_acquire_for(std::chrono::duration<Rep, Period> longest,
                                         std::int64_t cost = 1) {
    return try_acquire_until(detail::deadline_in(longest), cost);
  }

  /// How many permits the server has now. It takes none; asked again when the reply was lost.
  [[nodiscard]] std::int64_t peek() const;

  [[nodiscard]] std::string const& name() const noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tandem
