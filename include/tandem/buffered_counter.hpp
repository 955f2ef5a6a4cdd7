#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <tandem/client.hpp>

namespace tandem {

/// When a buffered counter is flushed.
struct BufferedCounterOptions {
  /// How long an add may wait to be shared. Shorter ones are seen sooner and cost more commands.
  /// From 1 ms to 12 hours.
  std::chrono::milliseconds flush_interval{100};

  /// So much, added or taken by one thread, is flushed without waiting for the interval; 0: nothing
  /// is.
  std::int64_t flush_at = 0;

  /// For how long what was sent and not answered is sent again. The server remembers for twice as
  /// long what it has applied. From 1 ms to 24 hours, and at least twice flush_interval: what was
  /// not confirmed is sent again with the next flush. It should be longer than any failure that is
  /// to be survived.
  std::chrono::milliseconds resend_for{std::chrono::hours{1}};

  /// What is added lies in memory that outlives the process, a file in /dev/shm, so that when the
  /// process is killed another one delivers it: see BufferedCounter. Give `resend_for` minutes at
  /// least: what was on its way when a process died is sent again by the next within that.
  bool survive_crash = false;
};

/// A `Counter` that is added to in nanoseconds: each thread counts for itself, and what came
/// together is added to the shared number in bulk.
///
///     tandem::BufferedCounter hits{redis, "hits"};
///     hits.add();    // no round trip, no lock, no cache line that other threads write to
///     hits.flush();  // now everybody sees it
///
/// Flushed each `flush_interval`, in the background and with all other buffered counters of the
/// client in one write; by `flush_at`, by flush(), and by the end of the last copy. While the
/// server is away adds are kept, and delivered when it is back.
///
/// Guarantee: each add is counted exactly once, whatever becomes of connections and replies, and of
/// the server as far as it keeps its data: a flush bears a number, of which the server keeps the
/// last one in the same step as the count, so it may be sent again until it is answered. A server
/// that comes back with older data has lost the same flushes as it would have lost INCRBYs, and no
/// others.
///
/// With `survive_crash` also what was added by a process that was killed or ended by _exit: it is
/// delivered, once, by any process of the same user on the same host that has a buffered counter
/// with this option, of the same name, on the same server (as Options name it: address, database,
/// user), within a second of the death or when it comes later; also by several at once, and when
/// they are killed while they do it. Who is stopped is not dead.
///
/// Not promised: without `survive_crash`, adds of a process that is killed, or ends by _exit, since
/// the last flush: at most an interval's. With it, those of a host that goes down, of a process
/// that nobody follows, and of one in another pid or time namespace (a container has its own: what
/// is left in it is delivered by its own processes). What was sent and not answered for
/// `resend_for`: it was counted once or not at all; it is not sent again, Options::on_error is told
/// (InDoubt), and unconfirmed() counts it, but for what another process had sent. What the server
/// refuses (a key of another type, a number that would overflow) is kept and tried again each
/// second; Options::on_error is told once for each reason. What cannot be delivered when the client
/// ends is told to Options::on_error with its amount; with `survive_crash` it is left to another
/// process.
///
/// Shape:   string `name`: the number, as `Counter` has it; both, and INCRBY and GET, work side by
///          side.
///          string `{name}:flushed:<id>` for each object that added: the number of its last flush;
///          expires after twice `resend_for` without one.
///          Stored layout since 0.1; changing it breaks running processes of older versions.
///          With `survive_crash` a file `/dev/shm/tandem.<uid>.<hash>`, which only its user may read;
///          it goes with the last object when nothing is pending.
/// Units:   from -2^63 to 2^63 - 1, what is pending included.
/// Cost:    add: some nanoseconds, no command, no allocation but a thread's first. Then 1 command
///          (a script) for each interval with adds, and none without. flush: 1 round trip, 1
///          command; 2 where an earlier one is not answered yet; none when nothing is pending. The
///          first add of a client starts its background thread, and a connection of that.
///          With `survive_crash` the constructor does, each object takes 16 KiB of shared memory,
///          and the processes that have accounts there are looked at once a second; of more than
///          253 threads at the same time the others add under a lock.
/// Errors:  std::invalid_argument for an empty name or such options. With `survive_crash` Error,
///          from the constructor and a child's first use, when there can be no such file, when it
///          is not this user's alone or none of tandem's, and when 512 objects that live have this
///          counter on the host. add throws nothing for what the server or the network does;
///          std::overflow_error, and nothing is added, when what is pending would leave its range.
/// Threads: safe from several; copies are cheap and are the same counter. What a thread has added
///          is counted also when it has ended. A child of a fork begins with nothing pending; what
///          its parent has added is the parent's to flush.
/// Source:  src/buffering/; src/lua/buffered_counter/; tmpfs(5), pidfd_open(2). The idea of a number
///          for each request is that of "Exactly once" in RIFL (Lee et al., SOSP 2015).
///
/// See examples/buffered_counter.cpp.
class BufferedCounter {
 public:
  BufferedCounter(Client client, std::string name, BufferedCounterOptions options = {});

  /// Adds `n`, which may be negative.
  void add(std::int64_t n = 1);

  BufferedCounter& operator++() { return add(1), *this; }
  BufferedCounter& operator+=(std::int64_t n) { return add(n), *this; }

  /// Returns when all that was added before the call, by whatever thread of this process, is in the
  /// shared number.
  ///
  /// Errors: Unreachable; InDoubt; ServerError. What is not confirmed is kept, and flushed again in
  ///         the background: do not add it again.
  void flush();

  /// The shared number, and what this process has added to it and not flushed yet, through whatever
  /// object of the same client.
  ///
  /// Cost:    1 command, 1 round trip; again when that many flushes came in between that it cannot
  ///          be told which are in the number.
  /// Errors:  Unreachable, ServerError; ShapeError when somebody keeps a text there that is no
  ///          number.
  [[nodiscard]] std::int64_t value() const;

  /// What was added through this object and is not known to be in the shared number.
  [[nodiscard]] std::int64_t pending() const;

  /// How much, added or taken, was sent by this object without ever learning whether it was
  /// counted.
  [[nodiscard]] std::int64_t unconfirmed() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tandem
