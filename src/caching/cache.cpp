#include "caching/cache.hpp"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "caching/told_change.hpp"
#include "core/companion_key.hpp"
#include "core/describe.hpp"
#include "scripts.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t largest_request = 256;
constexpr std::string_view gap_text = " gap";

Backoff fresh_pause() { return {milliseconds{10}, milliseconds{1000}}; }

}  // namespace

struct Cache::Fill {
  std::string field;
  bool sent = false;
  // What was told of the field since, should the answer be older.
  struct Newer {
    std::uint64_t change;
    bool carried;
    CachedHash::Value value;
  };
  std::optional<Newer> newer{};
  [[nodiscard]] bool is_older_than(std::uint64_t change) const {
    return !newer || newer->change < change;
  }

  bool over = false;
  CachedHash::Value value{};
  std::optional<ServerError> refusal{};
  std::condition_variable done{};
};

struct Cache::Change {
  std::vector<std::string> arguments;
  bool erases = false;
  Deadline deadline;

  bool over = false;
  bool sent = false;
  std::optional<Outcome> outcome{};
  std::optional<ServerError> refusal{};
  std::condition_variable done{};

  [[nodiscard]] std::string_view field() const { return arguments[1]; }
  [[nodiscard]] std::optional<std::string_view> desired() const {
    return erases ? std::nullopt : std::optional{std::string_view{arguments[6]}};
  }
};

Cache::Cache(Core& core, std::string id, std::string name, CacheOptions options,
             CachedHash::Decode decode)
    : events_{core.events()},
      id_{std::move(id)},
      name_{std::move(name)},
      ends_{companion_key(name_, "ends")},
      changes_{companion_key(name_, "changes")},
      channel_{"tandem:" + changes_},
      settings_{options},
      serves_{options.when_disconnected == WhenDisconnected::serve_stale},
      decode_{std::move(decode)},
      table_{options.max_entries},
      listeners_{events_},
      track_pause_{fresh_pause()} {}

// -- threads that read ----------------------------------------------------------------------------

std::vector<Cache::FillPtr> Cache::ask(std::span<std::string_view const> fields, bool anew) {
  std::vector<FillPtr> out;
  out.reserve(fields.size());
  {
    std::lock_guard const guard{mutex_};
    for (auto const field : fields) out.push_back(ask(field, anew));
  }
  events_.wake();
  return out;
}

/// With the mutex held.
Cache::FillPtr Cache::ask(std::string_view field, bool anew) {
  auto const [first, last] = in_flight_.equal_range(field);
  for (auto at = first; at != last; ++at) {
    if (!anew || !at->second->sent) return at->second;
  }
  auto fill = std::make_shared<Fill>();
  fill->field = field;
  in_flight_.emplace(field, fill);
  to_ask_.push_back(fill);
  return fill;
}

CachedHash::Value Cache::await(Fill& fill, Deadline deadline) {
  std::unique_lock lock{mutex_};
  if (!fill.done.wait_until(lock, deadline, [&] { return fill.over; })) {
    throw InDoubt{fmt::format("tandem: waiting for the server to tell field {} of map {}: timeout",
                              quoted(fill.field), quoted(name_))};
  }
  if (fill.refusal) throw ServerError{*fill.refusal};
  return fill.value;
}

void Cache::forget(std::string_view field) {
  std::lock_guard const guard{mutex_};
  table_.erase(field);
}

std::optional<Cache::Outcome> Cache::change(std::span<Argument const> arguments,
                                            std::optional<std::string_view> desired,
                                            Deadline deadline) {
  auto change = std::make_shared<Change>();
  for (auto const& each : arguments) change->arguments.emplace_back(each.bytes());
  change->erases = !desired;
  change->deadline = deadline;
  std::unique_lock lock{mutex_};
  to_make_.push_back(change);
  events_.wake();
  // The event thread gives it up at the same moment, and then knows better whether it was sent.
  change->done.wait_until(lock, deadline + std::chrono::seconds{1}, [&] { return change->over; });
  if (change->refusal) throw ServerError{*change->refusal};
  if (change->outcome) return std::move(change->outcome);
  if (change->over && !change->sent) return std::nullopt;
  throw InDoubt{fmt::format(
      "tandem: the answer to a change of field {} of map {} was lost; it was made once or not at "
      "all",
      quoted(change->field()), quoted(name_))};
}

void Cache::note_made_elsewhere(std::string_view field, std::optional<std::string_view> desired,
                                Outcome const& outcome) {
  if (!outcome.done || outcome.number == 0) return;
  take_own(field, desired, outcome, std::nullopt, 0);
  owe_gap();
}

void Cache::owe_gap() {
  {
    std::lock_guard const guard{mutex_};
    owes_gap_ = true;
  }
  events_.wake();
}

bool Cache::await_told(Deadline deadline) {
  std::unique_lock lock{mutex_};
  changed_.wait_until(lock, deadline, [this] { return is_told() || !refusal_.empty(); });
  return is_told();
}

std::string Cache::refusal() const {
  std::lock_guard const guard{mutex_};
  return refusal_;
}

// -- listening ------------------------------------------------------------------------------------

void Cache::on_subscribed() {
  if (std::exchange(subscribed_, true)) return;  // to another channel
  tracked_ = asks_to_track_ = change_comes_ = was_last_ = false;
  track_again_ = {};
  track_pause_ = fresh_pause();
  known_.clear();
}

void Cache::on_refused(ServerError const& error) {
  {
    std::lock_guard const guard{mutex_};
    refusal_ = error.what();
  }
  changed_.notify_all();
}

void Cache::on_disconnected() {
  subscribed_ = false;
  told_.store(false);
  std::lock_guard const guard{mutex_};
  // Until the next change is told, only its maker would notice one by somebody else.
  owes_gap_ = owes_gap_ || was_last_;
  ++gap_;
  if (!serves_) table_.clear();
  for (auto const& [field, fill] : in_flight_) {
    fill->over = true;
    fill->done.notify_all();
  }
  in_flight_.clear();
  to_ask_.clear();
}

void Cache::on_changed(std::optional<std::string_view> key) {
  if (key && *key != name_ && *key != changes_) return;
  tracked_ = false;
  ++invalidations_;
  track_again_ = {};
  if (!key || (*key == name_ && !change_comes_)) {
    somebody_else_changed_it();
  } else if (*key == changes_) {
    change_comes_ = true;
  }
}

void Cache::somebody_else_changed_it() {
  bool const alone = std::exchange(was_last_, false);
  forget_all();
  if (alone) tell_gap();
}

void Cache::forget_all() {
  {
    std::lock_guard const guard{mutex_};
    ++gap_;
    table_.clear();
  }
  listeners_.tell(nullptr);
}

CommandBuffer Cache::gap_notice() const {
  CommandBuffer out;
  out.add(std::initializer_list<Argument>{"PUBLISH", channel_, id_ + std::string{gap_text}});
  return out;
}

bool Cache::take_owed_gap() {
  std::lock_guard const guard{mutex_};
  return std::exchange(owes_gap_, false);
}

void Cache::tell_gap() {
  if (events_.send(gap_notice(), nullptr)) return;
  std::lock_guard const guard{mutex_};
  owes_gap_ = true;
}

void Cache::on_message(std::string_view text) {
  change_comes_ = false;
  if (text.ends_with(gap_text) && text.find('\n') == std::string_view::npos) {
    if (text != id_ + std::string{gap_text}) forget_all();
    return;
  }
  auto const told = ToldChange::read(text);
  bool in_order = false;
  {
    std::lock_guard const guard{mutex_};
    in_order = told && told->number == last_change_ + 1;
    if (told) last_change_ = told->number;
  }
  if (!told) return forget_all();
  was_last_ = told->writer == id_;
  if (!in_order) return forget_all();  // the key was deleted, or set back
  CachedHash::Value const value =
      told->carried ? decode_(told->change.field, told->change.now) : nullptr;
  {
    std::lock_guard const guard{mutex_};
    // Of one that ends it is not known when it was told. Who wants it asks.
    bool const keeps = told->carried && !told->ends;
    auto const* const have = table_.look(told->change.field);
    if (have != nullptr && have->change < told->number) {
      if (keeps) {
        table_.put(
            {std::string{told->change.field}, value, told->number, good_until(coarse_clock(), -1)});
      } else {
        table_.erase(told->change.field);
      }
    }
    auto const [first, last] = in_flight_.equal_range(told->change.field);
    for (auto at = first; at != last; ++at) {
      auto& fill = *at->second;
      if (fill.sent && fill.is_older_than(told->number))
        fill.newer = {told->number, told->carried, value};
    }
  }
  listeners_.tell(told->carried ? &told->change : nullptr);
}

Deadline Cache::on_time(Deadline now) {
  if (subscribed_ && !tracked_ && !asks_to_track_ && now >= track_again_) begin_to_track(now);
  if (is_told() && take_owed_gap()) tell_gap();
  send_fills();
  send_changes();
  return subscribed_ && !tracked_ && !asks_to_track_ ? track_again_ : Deadline::max();
}

/// Reads both keys, so that the server tells when they change.
void Cache::begin_to_track(Deadline now) {
  track_again_ = now + track_pause_.pause();
  if (!events_.track_next()) return;
  CommandBuffer command;
  command.add(std::initializer_list<Argument>{"MGET", name_, changes_});
  asks_to_track_ =
      events_.send(command, [self = shared_from_this(), at = invalidations_](
                                ReplyView const* reply) { self->take_tracking(at, reply); });
}

void Cache::take_tracking(std::uint64_t invalidations, ReplyView const* reply) {
  asks_to_track_ = false;
  if (reply == nullptr) return;
  if (change_comes_) await_message();
  if (reply->is_error()) return on_refused(ServerError{reply->error_text(), "MGET on " + name_});
  tracked_ = invalidations == invalidations_;
  track_again_ = {};
  track_pause_ = fresh_pause();
  if (is_told()) return;
  listeners_.tell(nullptr);  // who waits to be told hears nothing of before
  {
    std::lock_guard const guard{mutex_};
    last_change_ = (*reply)[1].as<std::optional<std::uint64_t>>().value_or(0);
    ++gap_;
    table_.clear();
    refusal_.clear();
    has_been_told_.store(true);
    told_.store(true);
  }
  changed_.notify_all();
}

/// The message of a change follows at once where it is heard. With RESP2 that is another connection
/// than the one of answers.
void Cache::await_message() {
  events_.ask_where_heard([self = shared_from_this()](ReplyView const* reply) {
    if (reply != nullptr && std::exchange(self->change_comes_, false))
      self->somebody_else_changed_it();
  });
}

// -- asking ---------------------------------------------------------------------------------------

void Cache::add(CommandBuffer& out, Script const& script, std::span<Argument const> arguments,
                bool in_full) {
  std::string_view const keys[] = {name_, ends_, changes_};
  bool const known = std::find(known_.begin(), known_.end(), script.sha1()) != known_.end();
  if (!known) known_.push_back(script.sha1());
  add_script(out, script, known && !in_full, keys, arguments);
}

void Cache::send_fills() {
  std::vector<FillPtr> fills;
  {
    std::lock_guard const guard{mutex_};
    fills.swap(to_ask_);
    for (auto const& fill : fills) fill->sent = true;
  }
  for (std::size_t i = 0; i < fills.size(); i += largest_request) {
    auto const end = std::min(fills.size(), i + largest_request);
    send_fills({fills.begin() + static_cast<std::ptrdiff_t>(i),
                fills.begin() + static_cast<std::ptrdiff_t>(end)},
               false);
  }
}

void Cache::send_fills(std::vector<FillPtr> const& fills, bool in_full) {
  std::vector<Argument> fields;
  for (auto const& fill : fills) fields.emplace_back(fill->field);
  std::uint64_t gap = 0;
  {
    std::lock_guard const guard{mutex_};
    gap = gap_;
  }
  CommandBuffer command;
  add(command, scripts::cached_map_read, fields, in_full);
  auto const answer = [self = shared_from_this(), fills, in_full, gap,
                       sent = coarse_clock()](ReplyView const* reply) {
    if (reply == nullptr) {
      self->finish(fills, std::nullopt);
    } else if (is_unknown_script(*reply) && !in_full) {
      self->send_fills(fills, true);
    } else if (reply->is_error()) {
      self->finish(fills, ServerError{reply->error_text(), "script on " + printable(self->name_)});
    } else {
      self->take_fills(fills, sent, gap, *reply);
    }
  };
  if (!is_told() || !events_.track_next() || !events_.send(command, answer))
    finish(fills, std::nullopt);
}

void Cache::take_fills(std::vector<FillPtr> const& fills, std::int64_t sent, std::uint64_t gap,
                       ReplyView const& reply) {
  auto const change = reply[0].as<std::uint64_t>();
  for (std::size_t i = 0; i < fills.size(); ++i) {
    auto& fill = *fills[i];
    auto const bytes = reply[2 * i + 1].as<std::optional<std::string_view>>();
    auto const left = reply[2 * i + 2].as<long long>();
    CachedHash::Value value = decode_(fill.field, bytes);
    std::lock_guard const guard{mutex_};
    auto known = change;
    bool keeps = gap == gap_;
    if (fill.newer && fill.newer->change > change) {  // over the other connection, with RESP2
      if (fill.newer->carried) value = fill.newer->value;
      known = fill.newer->change;
      keeps = false;
    }
    if (auto const* const have = table_.look(fill.field); have != nullptr && have->change > known) {
      value = have->value;
    } else if (keeps) {
      table_.put({fill.field, value, known, good_until(sent, left)});
    }
    fill.value = std::move(value);
  }
  finish(fills, std::nullopt);
}

void Cache::finish(std::vector<FillPtr> const& fills, std::optional<ServerError> const& refusal) {
  std::lock_guard const guard{mutex_};
  for (auto const& fill : fills) {
    fill->over = true;
    fill->refusal = refusal;
    fill->done.notify_all();
    auto const [first, last] = in_flight_.equal_range(fill->field);
    auto const at =
        std::find_if(first, last, [&](auto const& each) { return each.second == fill; });
    if (at != last) in_flight_.erase(at);
  }
}

// -- changing -------------------------------------------------------------------------------------

Cache::Outcome::Outcome(ReplyView const& reply)
    : done{reply[0].as<bool>()}, had{reply[1].as<bool>()} {
  if (done) {
    number = reply[2].as<std::uint64_t>();
    left = reply[3].as<long long>();
  } else if (had) {
    before = reply[2].as<std::string>();
  }
}

void Cache::send_changes() {
  std::vector<std::shared_ptr<Change>> changes;
  {
    std::lock_guard const guard{mutex_};
    changes.swap(to_make_);
  }
  for (auto const& change : changes) send_change(change, false);
}

void Cache::send_change(std::shared_ptr<Change> const& change, bool in_full) {
  std::vector<Argument> const arguments{change->arguments.begin(), change->arguments.end()};
  CommandBuffer command;
  add(command, scripts::cached_map_change, arguments, in_full);
  std::uint64_t gap = 0;
  {
    std::lock_guard const guard{mutex_};
    gap = gap_;
  }
  auto const answer = [self = shared_from_this(), change, in_full, gap,
                       sent = coarse_clock()](ReplyView const* reply) {
    if (reply != nullptr && is_unknown_script(*reply) && !in_full) {
      self->send_change(change, true);
    } else {
      self->take_change(*change, sent, gap, reply);
    }
  };
  bool const sent = is_told() && steady_clock::now() < change->deadline && events_.track_next() &&
                    events_.send(command, change->deadline, answer);
  std::lock_guard const guard{mutex_};
  change->sent = sent;
  change->over = !sent;
  if (!sent) change->done.notify_all();
}

void Cache::take_change(Change& change, std::int64_t sent, std::uint64_t gap,
                        ReplyView const* reply) {
  if (reply != nullptr && !reply->is_error()) {
    Outcome const outcome{*reply};
    if (outcome.done && outcome.number != 0)
      take_own(change.field(), change.desired(), outcome, good_until(sent, outcome.left), gap);
    std::lock_guard const guard{mutex_};
    change.outcome = outcome;
    change.over = true;
  } else {
    std::lock_guard const guard{mutex_};
    if (reply != nullptr) {
      change.refusal.emplace(reply->error_text(), "script on " + printable(name_));
    } else {
      owes_gap_ = true;  // it may have been made
    }
    change.over = true;
  }
  change.done.notify_all();
}

/// So that who has made a change does not see what was before it, whichever comes first, the answer
/// or what is told. Without a good_until nothing is kept.
void Cache::take_own(std::string_view field, std::optional<std::string_view> desired,
                     Outcome const& outcome, std::optional<std::int64_t> good_until,
                     std::uint64_t gap) {
  CachedHash::Value const value = decode_(field, desired);
  std::lock_guard const guard{mutex_};
  auto const* const have = table_.look(field);
  if (have != nullptr && have->change >= outcome.number) return;
  if (!good_until || gap != gap_) {  // somebody else may have changed it since
    table_.erase(field);
  } else if (have != nullptr || last_change_ <= outcome.number) {
    // Else later changes were told already, and one of them may have been of this field.
    table_.put({std::string{field}, value, outcome.number, *good_until});
  }
  auto const [first, last] = in_flight_.equal_range(field);
  for (auto at = first; at != last; ++at) {
    auto& fill = *at->second;
    if (fill.sent && fill.is_older_than(outcome.number)) fill.newer = {outcome.number, true, value};
  }
}

// -- what is kept ---------------------------------------------------------------------------------

std::int64_t Cache::good_until(std::int64_t since, long long left) const noexcept {
  auto const age = settings_.max_age.count();
  return since + (left < 0 ? age : std::min<std::int64_t>(age, left)) * 1'000'000 -
         (left < 0 ? 0 : coarse_clock_lag);
}

}  // namespace tandem::detail
