#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <tandem/client.hpp>

namespace tandem {

/// How a rolling counter divides time.
struct RollingCounterOptions {
  /// Whole seconds, 1 s or more. Periods begin at whole multiples of it since 1970-01-01T00:00:00
  /// UTC: hours on the hour. All who use the same keys must use the same one; the classic Python
  /// function uses hours.
  std::chrono::milliseconds period{std::chrono::hours{1}};

  /// How many periods that have ended are kept for `history` by adds through this object; 0: none
  /// but the one before, which is always there. Up to 100,000.
  int keep = 0;
};

/// A count per hour (or any period), and the one of the period before.
///
///     tandem::RollingCounter sales{redis, "web", "sales"};
///     sales.add(3);
///     sales.current();  // {2026-11-23 06:00:00 UTC, 3}
///
/// The first add in a new period moves the count of the old one to `:last`, once, whoever is first.
/// Take `Counter` for a number that never begins anew.
///
/// Guarantee: each add that returns is counted exactly once, in the current count or, once moved,
/// in the one before. It counts for a period that the server's clock showed during the call; no
/// client's clock is asked.
/// The classic Python function `update_stats` may work on the same keys at the same time:
/// docs/counters.md.
///
/// Not promised: what became of an add that throws InDoubt, as with `Counter`. Without `keep`,
/// counts older than the period before: they are overwritten. With it, those of a period that
/// others who keep none (the Python function) have moved and moved on from, without an add through
/// an object that keeps in between. Periods where others move the count too early: a Python
/// whose clock leads begins the hour for everybody. The right period for up to a minute after the
/// server's clock was set forward, or an older data set loaded.
///
/// Shape:   string `stats:<context>:<type>`         the current count, decimal
///          string `stats:<context>:<type>:start`   its period's start, ISO 8601 UTC text
///          string `stats:<context>:<type>:last`    the count before
///          string `stats:<context>:<type>:pstart`  its period's start
///          zset   `stats:<context>:<type>:history` with `keep`: of each period "start count", by
///                                                  the digits of its start
///          A start looks like 2026-11-23T06:00:00. None of them expires by itself. A Redis
///          Cluster needs a hash tag in one of the names: "{web}".
///          Stored layout since 0.1; changing it breaks running processes of older versions.
/// Cost:    add: 1 command, INCRBY, and 1 round trip. 2 round trips (WATCH and a look; MULTI ...
///          EXEC) for the first add, the first after each change of period, fault or full minute,
///          and each try again when somebody else wrote :start between the two; 3 when INCRBY found
///          no count. 1 more for the first MULTI of a connection, and when the server has forgotten
///          the script. current, last, history: 1 command (a script), 1 round trip. `keep`
///          adds a script (EVAL) to the transactions, and no round trip.
/// Errors:  std::invalid_argument for an empty context or type, such a period or keep. Unreachable;
///          InDoubt; ServerError (WRONGTYPE, an overflow, OOM, READONLY ...); Conflict; CodecError
///          naming the key when a start or a count that is read is no such text. After any but
///          InDoubt the add was not applied. Where the history cannot be written (another type on
///          its key) the add is, and Options::on_error is told.
/// Threads: safe from several; copies are cheap, share what is known of the period, and are the
///          same counter.
/// Source:  src/rolling_counter.cpp; src/lua/rolling_counter/.
///
/// See examples/rolling_counter.cpp.
class RollingCounter {
 public:
  /// What was counted in one period.
  struct Period {
    std::chrono::sys_seconds start;  ///< the first second of it; it ends where the next begins
    std::int64_t count = 0;

    friend bool operator==(Period const&, Period const&) = default;
  };

  /// `type` is what is counted (sales, hits), `context` where (a site, a service). ("a", "b:last")
  /// would use a key of ("a", "b").
  RollingCounter(Client client, std::string_view context, std::string_view type,
                 RollingCounterOptions options = {});

  /// Adds `n`, which may be negative; the current period's count after it.
  std::int64_t add(std::int64_t n = 1);

  /// The period that the server's clock is in, 0 where nothing was added in it yet.
  [[nodiscard]] Period current() const;

  /// The latest period before `current()` in which something was added; empty when there is none.
  /// It need not be the one right before: `start` tells.
  [[nodiscard]] std::optional<Period> last() const;

  /// The latest periods before `current()` in which something was added, `most` at most, the newest
  /// first; the first is `last()`. Which are there: RollingCounterOptions::keep, of those who add.
  [[nodiscard]] std::vector<Period> history(std::size_t most) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tandem
