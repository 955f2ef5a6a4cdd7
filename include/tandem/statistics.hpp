#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/client.hpp>

namespace tandem {

/// How statistics divide time, and when they are flushed.
struct StatisticsOptions {
  /// Whole seconds, from 1 s to 366 days. Periods begin at whole multiples of it since
  /// 1970-01-01T00:00:00 UTC: hours on the hour. All who use the same names must use the same one.
  std::chrono::milliseconds period{std::chrono::hours{1}};

  /// How long a value may wait to be shared. From 1 ms to 12 hours.
  std::chrono::milliseconds flush_interval{100};

  /// For how long what was sent and not answered is sent again, as in BufferedCounterOptions: at
  /// least twice flush_interval.
  std::chrono::milliseconds resend_for{std::chrono::hours{1}};
};

/// What numbers were like in each period: how many, their sum, least and greatest, mean, deviation
/// and quantiles, of all processes together.
///
///     tandem::Statistics latency{redis, "web", "latency"};
///     latency.add(12.5);
///     latency.current().quantile(0.99);
///
/// Values are gathered by each thread for itself and merged in bulk, as with `BufferedCounter`.
///
/// Guarantee: each value is merged exactly once, into the period in which the server's clock is
/// when it is merged; no client's clock is asked. Count, least and greatest are exact; the sum is
/// kept with twice the digits of a double, so it and the mean are exact to 1e-12 of the sum of
/// magnitudes at worst. A quantile is within 1 % of the value that stands at that rank (of its
/// magnitude).
///
/// Not promised: the same as with `BufferedCounter`. Periods before the last. The period in which a
/// value was added: it is merged up to a flush_interval later, and later where the server is away.
/// Quantiles of values nearer to 0 than 1e-300, which are taken for 0. Sums beyond the range of a
/// double are infinite, and then mean and deviation say nothing.
///
/// Shape:   hash `statistics:<context>:<type>`                 the current period
///          hash `{statistics:<context>:<type>}:last`          the one before that had values
///          string `{statistics:<context>:<type>}:flushed:<id>` of each object, as it is with
///          BufferedCounter.
///          A hash has for a person `since`, `count`, `sum`, `min`, `max`, `mean`, `stddev`, and of
///          how many values are about how large `+128 ~12.5`; besides `start`, `sum.rest`, `m2`.
///          It expires 25 periods after its period began. All keys share a slot of a Redis Cluster.
///          Stored layout since 0.1; changing it breaks running processes of older versions.
/// Cost:    add: some tens of nanoseconds, no command; memory for each 2 % in which values differ,
///          until they are flushed. Then 1 command (a script) for each interval with values.
///          current: 2 round trips, 1 where nothing is pending; last: 1.
/// Errors:  std::invalid_argument for an empty context or type, or such options. add throws
///          std::invalid_argument for what is no finite number, and nothing for what the server or
///          the network does. Unreachable; InDoubt; ServerError; CodecError when the hash is none
///          of ours.
/// Threads: safe from several; copies are cheap and are the same statistics. Forks and ends as with
///          `BufferedCounter`.
/// Source:  src/buffering/; src/lua/statistics/. Buckets: "DDSketch" (Masson et al., VLDB 2019),
///          with fixed bounds. Deviation: Chan et al., 1979. Sums: Knuth's TwoSum.
///
/// See examples/statistics.cpp.
class Statistics {
 public:
  /// What the values of one period were like. Of none, all but count and sum are NaN.
  class Period {
   public:
    [[nodiscard]] std::chrono::sys_seconds start() const noexcept { return start_; }
    [[nodiscard]] std::int64_t count() const noexcept { return count_; }
    [[nodiscard]] double sum() const noexcept { return sum_; }
    [[nodiscard]] double min() const noexcept { return min_; }
    [[nodiscard]] double max() const noexcept { return max_; }
    [[nodiscard]] double mean() const noexcept;
    /// Of the values themselves, not an estimate for others: the sum of squares is divided by
    /// count.
    [[nodiscard]] double stddev() const noexcept;

    /// The value below which the part `q` of the values lies: of n values in order the one at
    /// q * (n - 1), rounded down. 0 is the least, 1 the greatest, both exact. Throws
    /// std::invalid_argument unless q is from 0 to 1.
    [[nodiscard]] double quantile(double q) const;

    /// Some lines for a terminal of 80 columns: the figures, and a histogram.
    [[nodiscard]] std::string render() const;

   private:
    friend class Statistics;
    struct Bucket {
      int place;  // in the order of the values
      std::int64_t count;
    };

    std::chrono::sys_seconds start_{};
    std::int64_t count_ = 0;
    double sum_ = 0;
    double squares_ = 0;  // of the distances from the mean
    double min_ = std::numeric_limits<double>::quiet_NaN();
    double max_ = std::numeric_limits<double>::quiet_NaN();
    std::vector<Bucket> buckets_{};
  };

  /// `type` is what is measured (latency, size), `context` where (a site, a service).
  Statistics(Client client, std::string_view context, std::string_view type,
             StatisticsOptions options = {});

  void add(double value);

  /// Returns when all that was added before the call, by whatever thread of this process, is
  /// merged.
  ///
  /// Errors: Unreachable; InDoubt; ServerError. What is not confirmed is kept, and flushed again in
  ///         the background: do not add it again.
  void flush();

  /// The period that the server's clock is in; flushes first, so what this process has added is in
  /// it.
  [[nodiscard]] Period current();

  /// The latest period before current() that had values, for 25 periods; empty when there is none.
  [[nodiscard]] std::optional<Period> last() const;

  /// How many values were added through this object and are not known to be merged.
  [[nodiscard]] std::int64_t pending() const;

  /// How many were sent by it without ever learning whether they were merged.
  [[nodiscard]] std::int64_t unconfirmed() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tandem
