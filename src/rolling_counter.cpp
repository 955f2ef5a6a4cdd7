#include "tandem/rolling_counter.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "core/core.hpp"
#include "core/scratch.hpp"
#include "core/since_boot.hpp"
#include "scripts.hpp"

// The count moves in a transaction: WATCH :start, read it and the server's time, and if it is of an
// older period MULTI, RENAME, RENAME, SET, INCRBY, EXEC. While :start is known to be of the current
// period a bare INCRBY does the same.
//
// Why nothing is lost or counted twice, whoever else is at work, Python included:
//   - A count only ever leaves its key by RENAME to :last, together with its :start; so an INCRBY
//     lands, whole, either before that (and goes along to :last) or after it (and begins the new
//     count).
//   - :start is watched, so of all who want to move the count of one period one does, and the
//     others see its :start. The count itself is not watched: adds never make a transaction fail,
//     so it is tried again only once per period.
//   - An absent count is made 0 by SET NX inside EXEC, in front of RENAME, which would otherwise
//     fail there with the rest applied. Nothing read before EXEC has to be still true but :start.
//   - The history is written in the same transaction, from the count that is just being moved. What
//     others have moved is taken from :last at the next look, before it is overwritten.
//   - :start only grows, so a period is never begun twice, by lagging clocks neither: they add to
//     what is there.
// For which period: a bare INCRBY is sent while the server's clock is surely in the period of
// :start. If it lands later and nobody has moved the count, it counts for a period in which the
// call was under way; if somebody has, likewise.

namespace tandem {
namespace {

using detail::since_boot;
using std::chrono::seconds;
using std::chrono::sys_seconds;

/// How long :start and the server's clock are taken to be as they were seen.
constexpr seconds trust{60};
constexpr std::chrono::nanoseconds time_resolution = std::chrono::microseconds{1};

seconds checked(std::chrono::milliseconds period) {
  auto const whole = std::chrono::floor<seconds>(period);
  if (whole < seconds{1} || whole != period) {
    throw std::invalid_argument{fmt::format(
        "tandem: a rolling counter was given a period of {} ms; it is whole seconds, 1 or more",
        period.count())};
  }
  return whole;
}

int checked(int keep) {
  constexpr int most = 100'000;
  if (keep < 0 || keep > most) {
    throw std::invalid_argument{fmt::format(
        "tandem: a rolling counter was told to keep {} periods; accepted is 0 to {}", keep, most)};
  }
  return keep;
}

std::string checked_key(std::string_view context, std::string_view type) {
  if (context.empty() || type.empty()) {
    throw std::invalid_argument{
        fmt::format("tandem: a rolling counter was given the context '{}' and the type '{}'; both "
                    "have 1 byte or more",
                    context, type)};
  }
  return fmt::format("stats:{}:{}", context, type);
}

// -- ISO 8601, as Python's datetime.isoformat() writes whole seconds; such texts sort as their time

std::string to_text(sys_seconds time) {
  auto const day = std::chrono::floor<std::chrono::days>(time);
  std::chrono::year_month_day const date{day};
  std::chrono::hh_mm_ss const clock{time - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::optional<sys_seconds> from_text(std::string_view text) {
  constexpr std::string_view form = "dddd-dd-ddTdd:dd:dd";
  if (text.size() != form.size()) return std::nullopt;
  int fields[6] = {};
  std::size_t field = 0;
  for (std::size_t i = 0; i < form.size(); ++i) {
    if (form[i] != 'd') {
      if (text[i] != form[i]) return std::nullopt;
      ++field;
    } else {
      if (text[i] < '0' || text[i] > '9') return std::nullopt;
      fields[field] = fields[field] * 10 + (text[i] - '0');
    }
  }
  auto const [year, month, day, hour, minute, second] = fields;
  std::chrono::year_month_day const date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return std::chrono::sys_days{date} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
         seconds{second};
}

std::optional<std::int64_t> to_count(std::string_view text) {
  std::int64_t count = 0;
  auto const* const end = text.data() + text.size();
  auto const [stopped, fault] = std::from_chars(text.data(), end, count);
  if (fault != std::errc{} || stopped != end) return std::nullopt;
  return count;
}

/// The same refusal, with what was done on what in front of it.
ServerError named(ServerError const& fault, std::string_view doing) {
  std::string_view const text{fault.what()};
  auto const before_reply = text.rfind(": " + fault.code());
  return ServerError{before_reply == text.npos ? text : text.substr(before_reply + 2), doing};
}

}  // namespace

struct RollingCounter::State {
  Client client;
  seconds period;
  int keep;
  std::string count_key, start_key, last_key, last_start_key, history_key;
  /// By since_boot(): while it is less, a bare INCRBY means the same as the transaction. 0: nothing
  /// is known.
  std::atomic<std::chrono::nanoseconds> plain_until{std::chrono::nanoseconds{0}};

  State(Client a_client, std::string key, seconds a_period, int a_keep)
      : client{std::move(a_client)},
        period{a_period},
        keep{a_keep},
        count_key{std::move(key)},
        start_key{count_key + ":start"},
        last_key{count_key + ":last"},
        last_start_key{count_key + ":pstart"},
        history_key{count_key + ":history"} {}

  /// What the server said, all of one moment.
  struct Seen {
    std::chrono::nanoseconds asked{};  ///< by since_boot(), before it was asked
    sys_seconds time{};                ///< the server's, to the second below
    std::chrono::microseconds fraction{};
    std::optional<std::int64_t> count{}, last{};
    std::optional<sys_seconds> start{}, last_start{};
  };

  [[nodiscard]] sys_seconds start_of_period(sys_seconds time) const {
    auto const since_epoch = time.time_since_epoch();
    auto const into = since_epoch % period;
    return sys_seconds{since_epoch - (into < seconds{0} ? into + period : into)};
  }

  [[nodiscard]] Seen decode(Reply const& reply, std::chrono::nanoseconds asked) const;
  [[nodiscard]] Seen see(Transaction& tx) const;
  [[nodiscard]] Seen see();
  [[nodiscard]] std::chrono::nanoseconds trusted_until(Seen const& seen, sys_seconds start) const;

  void queue_remembering(Transaction& tx, bool ends) const;
  void report_refusal(Reply const& remembered) const;
  std::vector<Reply> transact(Deadline deadline, auto body);
  std::int64_t add_plainly(std::int64_t n, Deadline deadline);
  std::int64_t add_in_transaction(std::int64_t n, Deadline deadline);
  void write_missing_start(Deadline deadline);
};

// -- what the server says -------------------------------------------------------------------------

RollingCounter::State::Seen RollingCounter::State::decode(Reply const& reply,
                                                          std::chrono::nanoseconds asked) const {
  auto const read_count = [&](std::size_t i,
                              std::string const& key) -> std::optional<std::int64_t> {
    if (i >= reply.size() || reply[i].is_nil()) return std::nullopt;
    if (auto const count = to_count(reply[i].as<std::string_view>())) return count;
    throw CodecError{fmt::format("tandem: {}: the text there is no 64-bit number", key)};
  };
  auto const read_start = [&](std::size_t i, std::string const& key) -> std::optional<sys_seconds> {
    if (i >= reply.size() || reply[i].is_nil()) return std::nullopt;
    if (auto const start = from_text(reply[i].as<std::string_view>())) return start;
    throw CodecError{
        fmt::format("tandem: {}: the text there is no time like 2026-11-23T06:00:00", key)};
  };
  return {.asked = asked,
          .time = sys_seconds{seconds{reply[0].as<seconds::rep>()}},
          .fraction = std::chrono::microseconds{reply[1].as<std::int64_t>()},
          .count = read_count(2, count_key),
          .last = read_count(4, last_key),
          .start = read_start(3, start_key),
          .last_start = read_start(5, last_start_key)};
}

RollingCounter::State::Seen RollingCounter::State::see() {
  auto const asked = since_boot();
  return decode(
      client.run(scripts::rolling_counter_read, {count_key, start_key, last_key, last_start_key}),
      asked);
}

/// The same inside a transaction, without the period before: its keys are overwritten whatever is
/// in them.
RollingCounter::State::Seen RollingCounter::State::see(Transaction& tx) const {
  auto const& script = scripts::rolling_counter_read;
  auto asked = since_boot();
  try {
    return decode(tx.read("EVALSHA", script.sha1(), 2, count_key, start_key), asked);
  } catch (ServerError const& fault) {
    if (fault.code() != "NOSCRIPT") throw;
  }
  asked = since_boot();
  return decode(tx.read("EVAL", script.source(), 2, count_key, start_key), asked);
}

/// Until when the period that begins at `start`, and so a bare INCRBY, is right: the server said
/// `seen.time` after `seen.asked`, so by its clock no more has passed since than by ours, but for
/// drift.
std::chrono::nanoseconds RollingCounter::State::trusted_until(Seen const& seen,
                                                              sys_seconds start) const {
  auto const left = std::clamp(start_of_period(start) + period - seen.time, seconds{0}, trust);
  std::chrono::nanoseconds const sure = left - seen.fraction - time_resolution;
  return seen.asked + sure - sure / detail::drift_divisor;
}

// -- adding ---------------------------------------------------------------------------------------

/// Conversation::transaction, with the deadline of the call that it is a part of.
std::vector<Reply> RollingCounter::State::transact(Deadline deadline, auto body) {
  std::string_view const watched[] = {start_key};
  return detail::run_transaction(
      client.core(), watched, deadline,
      [](void* context, Transaction& tx) { (*static_cast<decltype(body)*>(context))(tx); }, &body);
}

std::int64_t RollingCounter::State::add_plainly(std::int64_t n, Deadline deadline) {
  detail::ScratchCommand const command;
  command->add(std::initializer_list<Argument>{"INCRBY", count_key, n});
  auto const reply = client.core().ask(*command, deadline, detail::Repeat::never);
  if (reply.is_error()) reply.throw_if_error("INCRBY on " + count_key);
  return reply.as<std::int64_t>();
}

/// In front of the RENAMEs, while the period before is still in :last, whoever moved it there; and
/// where the current one `ends`, that one, too. In full: within EXEC a script cannot be asked for.
void RollingCounter::State::queue_remembering(Transaction& tx, bool ends) const {
  auto const source = scripts::rolling_counter_remember.source();
  if (ends) {
    tx.queue("EVAL", source, 5, history_key, last_key, last_start_key, count_key, start_key, keep);
  } else {
    tx.queue("EVAL", source, 3, history_key, last_key, last_start_key, keep);
  }
}

void RollingCounter::State::report_refusal(Reply const& remembered) const {
  if (remembered.kind() == ReplyKind::integer) return;
  client.options().report(
      ServerError{remembered.as<std::string_view>(), "writing the history " + history_key});
}

std::int64_t RollingCounter::State::add_in_transaction(std::int64_t n, Deadline deadline) {
  Seen seen;
  sys_seconds start;
  auto const replies = transact(deadline, [&](Transaction& tx) {
    seen = see(tx);
    auto const current = start_of_period(seen.time);
    start = std::max(seen.start.value_or(current),
                     current);  // begun by a clock that leads: counted there
    if (keep > 0) queue_remembering(tx, seen.start && *seen.start != start);
    if (seen.start != start) {
      if (seen.start) {
        tx.queue("SET", count_key, 0, "NX");
        tx.queue("RENAME", count_key, last_key);
        tx.queue("RENAME", start_key, last_start_key);
      }
      tx.queue("SET", start_key, to_text(start));
    }
    tx.queue("INCRBY", count_key, n);
  });
  plain_until = trusted_until(seen, start);
  if (keep > 0) report_refusal(replies.front());
  return replies.back().as<std::int64_t>();
}

/// After a bare INCRBY that found no count: the data may be gone (a restart, FLUSHALL), :start with
/// them.
///
/// The add is applied and acknowledged, so this touches no count. In between, others may have
///   - written :start with an add of their own: it is there, and our add is in the same count;
///   - written :start and, after the period, moved the count: our add is in :last, and :start is
///     there;
///   - not been there at all: :start is absent (nobody moves a count without one), watched, and
///     written here.
/// So an absent :start is all there is to mend. A :start of an older period (the count alone was
/// deleted, or the period ended just now) is left to the next add, which moves the count in the
/// ordinary way.
void RollingCounter::State::write_missing_start(Deadline deadline) {
  plain_until = std::chrono::nanoseconds{0};
  try {
    Seen seen;
    (void)transact(deadline, [&](Transaction& tx) {
      seen = see(tx);
      if (!seen.start) tx.queue("SET", start_key, to_text(start_of_period(seen.time)));
    });
    plain_until = trusted_until(seen, seen.start.value_or(start_of_period(seen.time)));
  } catch (Error const&) {
    // The add itself succeeded, and that is what the caller asked. Knowing nothing, the next add
    // mends it.
  }
}

// -- the class ------------------------------------------------------------------------------------

RollingCounter::RollingCounter(Client client, std::string_view context, std::string_view type,
                               RollingCounterOptions options)
    : state_{std::make_shared<State>(std::move(client), checked_key(context, type),
                                     checked(options.period), checked(options.keep))} {}

std::int64_t RollingCounter::add(std::int64_t n) {
  auto& state = *state_;
  auto const deadline = state.client.core().deadline();
  if (since_boot() >= state.plain_until.load()) {
    try {
      return state.add_in_transaction(n, deadline);
    } catch (ServerError const& fault) {
      throw named(fault, "adding to " + state.count_key);
    }
  }
  std::int64_t count = 0;
  try {
    count = state.add_plainly(n, deadline);
  } catch (Error const&) {
    state.plain_until = std::chrono::nanoseconds{0};  // the next server may have other data
    throw;
  }
  if (count == n) state.write_missing_start(deadline);
  return count;
}

RollingCounter::Period RollingCounter::current() const {
  auto const seen = state_->see();
  auto const current = state_->start_of_period(seen.time);
  if (seen.start && *seen.start < current) return {current, 0};
  return {seen.start.value_or(current), seen.count.value_or(0)};
}

std::optional<RollingCounter::Period> RollingCounter::last() const {
  auto const seen = state_->see();
  auto const current = state_->start_of_period(seen.time);
  if (seen.start && *seen.start < current) return Period{*seen.start, seen.count.value_or(0)};
  if (!seen.last_start) return std::nullopt;
  return Period{*seen.last_start, seen.last.value_or(0)};
}

std::vector<RollingCounter::Period> RollingCounter::history(std::size_t most) const {
  if (most == 0) return {};
  auto& state = *state_;
  auto const reply = state.client.run(
      scripts::rolling_counter_history,
      {state.history_key, state.count_key, state.start_key, state.last_key, state.last_start_key},
      std::min(most, std::size_t{std::numeric_limits<int>::max()}));
  auto const seen = state.decode(reply, since_boot());
  auto const current = state.start_of_period(seen.time);
  auto before = std::max(seen.start.value_or(current), current);  // all that is told began earlier
  std::vector<Period> out;
  auto const tell = [&](sys_seconds start, std::int64_t count) {
    if (start >= before || out.size() == most) return;
    out.push_back({start, count});
    before = start;
  };
  if (seen.start) tell(*seen.start, seen.count.value_or(0));
  if (seen.last_start) tell(*seen.last_start, seen.last.value_or(0));
  auto const kept = reply[6].as<std::vector<std::string_view>>();
  for (auto entry = kept.rbegin(); entry != kept.rend(); ++entry) {
    auto const space = std::min(entry->find(' '), entry->size());
    auto const start = from_text(entry->substr(0, space));
    auto const count = to_count(entry->substr(std::min(space + 1, entry->size())));
    if (!start || !count) {
      throw CodecError{fmt::format(
          "tandem: {}: an entry there is none like \"2026-11-23T06:00:00 42\"", state.history_key)};
    }
    tell(*start, *count);
  }
  return out;
}

}  // namespace tandem
