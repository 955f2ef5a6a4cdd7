#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <tandem/client.hpp>
#include <tandem/hold.hpp>

namespace tandem {

/// How a counter is changed through this object.
struct CounterOptions {
  /// Whether a change is applied exactly once also when its reply is lost: it is asked again, with
  /// a tag by which the server knows what it has done. Without it such a change throws InDoubt.
  bool exactly_once = false;
};

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
/// Not promised, without `exactly_once`: what became of a change that throws InDoubt. It was sent,
/// its reply was lost, and a plain number does not remember who has changed it: it was applied once
/// or not at all, and repeating it may count twice.
///
///     second 0   add(1) is sent; the server counts it; the connection breaks before the reply
///     second 1   add(1) throws InDoubt; a program that "tries again" now has counted it twice
///
/// With `exactly_once` each change is asked again until it is answered, and applied once:
///
///     tandem::Counter paid{redis, "paid", {.exactly_once = true}};
///
/// InDoubt is left for a server that does not answer until the call's deadline
/// (Options::command_timeout: take a larger one to ride out longer absences). Not promised: that a
/// change is applied once where the *caller* calls again, as a process does that died and was
/// started anew, or where the server lost its data meanwhile. For the first give each thing that is
/// counted an id, and count it in a transaction that also writes the id: docs/counters.md shows it.
///
/// Shape:   string `name`: the number as decimal text, as INCR and GET know it; absent is 0. Does
///          not expire by itself; an expiry that others set stays through add and ends with
///          exchange and compare_exchange.
///          string `{name}:once:<asker>`, with `exactly_once`: the last change of one asker, and
///          what came of it; an object has as many askers as threads that change it at the same
///          time. It expires an hour and a command_timeout after that change.
///          Stored layout since 0.1; changing it breaks running processes of older versions.
/// Units:   from -2^63 to 2^63 - 1.
/// Cost:    1 command and 1 round trip per call. What is done by a script (add_within, exchange,
///          compare_exchange; with `exactly_once` all but value) 2 when the server has forgotten
///          it.
/// Errors:  std::invalid_argument for an empty name, or a range without a number. Unreachable;
///          InDoubt; ServerError, after which the number is what it was: "ERR increment or
///          decrement would overflow", WRONGTYPE for a key of another type, OOM, READONLY ...
/// Threads: safe from several; copies are cheap and are the same counter.
/// Source:  src/lua/counter/; Redis commands INCRBY, DECRBY, GET.
///
/// See examples/counter.cpp.
class Counter {
 public:
  Counter(Client client, std::string name, CounterOptions options = {});

  /// Adds `n`, which may be negative; the value after it.
  std::int64_t add(std::int64_t n = 1);

  /// Adds `n` if and only if `hold`, of a lock on the same server, is still held at that moment.
  ///
  /// Cost:    1 round trip, 1 command.
  /// Errors:  LockLost, and nothing was added. A lost reply is resolved by asking again.
  std::int64_t add(std::int64_t n, Hold const& hold);

  /// Adds `n` if the value after it lies from `low` to `high`, both included; that value. Empty,
  /// and nothing was changed, when it would not: never less than `n` is added. A sum beyond 64 bits
  /// lies in no range.
  [[nodiscard]] std::optional<std::int64_t> add_within(std::int64_t n, std::int64_t low,
                                                       std::int64_t high);

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
  struct Askers;
  struct Change;
  std::optional<std::int64_t> apply(Change const& change);

  mutable Client client_;  // talking to the server does not change what the counter is
  std::string name_;
  std::shared_ptr<Askers> askers_;  // with exactly_once
};

}  // namespace tandem
