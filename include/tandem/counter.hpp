#pragma once

#include <cstdint>
#include <string>

#include <tandem/client.hpp>
#include <tandem/hold.hpp>

namespace tandem {

/// One 64-bit number that any process changes atomically.
///
///     tandem::Counter hits{redis, "hits"};
///     ++hits;
///     std::int64_t now = hits.add(2);
///
/// It begins at 0, for whoever uses it first. Take `RollingCounter` to count per hour, or per any
/// other period.
///
/// Guarantee: each change that returns was applied exactly once; one that throws anything but
///            InDoubt was not applied.
///
/// Not promised: what became of a change that throws InDoubt. It was sent, its reply was lost, and
/// a plain number does not remember who has changed it: it was applied once or not at all, and
/// repeating it may count twice.
///
///     second 0   add(1) is sent; the server counts it; the connection breaks before the reply
///     second 1   add(1) throws InDoubt; a program that "tries again" now has counted it twice
///
/// Where this matters give each thing that is counted an id, and count it in a transaction that
/// also writes the id: docs/counters.md shows it.
///
/// Shape:   string `name`: the number as decimal text, as INCR and GET know it; absent is 0. Does
///          not expire by itself; an expiry that others set stays through add and ends with
///          exchange and compare_exchange. Stored layout since 0.1; changing it breaks running
///          processes of older versions.
/// Units:   from -2^63 to 2^63 - 1.
/// Cost:    1 command and 1 round trip per call; exchange and compare_exchange 2 when the server
///          has forgotten its scripts.
/// Errors:  std::invalid_argument for an empty name. Unreachable; InDoubt; ServerError, after which
///          the number is what it was: "ERR increment or decrement would overflow", WRONGTYPE for a
///          key of another type, OOM, READONLY ...
/// Threads: safe from several; copies are cheap and are the same counter.
/// Source:  src/lua/counter/; Redis commands INCRBY, DECRBY, GET.
///
/// See examples/counter.cpp.
class Counter {
 public:
  Counter(Client client, std::string name);

  /// Adds `n`, which may be negative; the value after it.
  std::int64_t add(std::int64_t n = 1);

  /// Adds `n` if and only if `hold`, of a lock on the same server, is still held at that moment.
  ///
  /// Cost:    1 round trip, 1 command.
  /// Errors:  LockLost, and nothing was added. A lost reply is resolved by asking again.
  std::int64_t add(std::int64_t n, Hold const& hold);

  std::int64_t operator++() { return add(1); }
  std::int64_t operator--() { return add(-1); }
  std::int64_t operator+=(std::int64_t n) { return add(n); }
  std::int64_t operator-=(std::int64_t n);

  /// The value now. Asked again, within the deadline, when the reply was lost: reading twice does
  /// no harm.
  ///
  /// Errors: ShapeError when somebody else keeps a text there that is no such number.
  [[nodiscard]] std::int64_t value() const;

  /// Sets `desired`; the value before it. ServerError, and no change, when what is there is no
  /// number.
  std::int64_t exchange(std::int64_t desired);

  /// Sets `desired` if the value is `expected`; whether it was.
  [[nodiscard]] bool compare_exchange(std::int64_t expected, std::int64_t desired);

 private:
  mutable Client client_;  // talking to the server does not change what the counter is
  std::string name_;
};

}  // namespace tandem
