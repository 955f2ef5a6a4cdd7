#include "tandem/shared_map.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/core.h>

#include "core/companion_key.hpp"
#include "core/core.hpp"
#include "core/describe.hpp"
#include "scripts.hpp"
#include "shared_map_bytes.hpp"

// Reads go out as Repeat::safe, writes as Repeat::never: a write whose answer was lost, sent again,
// might undo what somebody else wrote in between. That holds for shared_map/change too, though it
// compares first: the entry may have come back to what it was (from 2 to 3 by us, to 2 again by
// another), and the change would be made twice. Telling the two apart takes a second key that
// remembers each change for a while; we leave the doubt to the caller instead, who can put
// something of his own into the value to know it by.
//
// Most is said as the plain command: a value that has an end and lies on a server without expiry of
// fields is marked (see shared_map_bytes.hpp), and only who meets the mark asks a script. What does
// not see the value (HEXISTS, HLEN, HSETNX, HDEL) is a script from the start, which looks into the
// companion of the map first; a map that never had an entry with an end has none.

namespace tandem {
namespace detail {
namespace {

constexpr std::size_t largest_request_entries = 1000;
constexpr std::size_t largest_request_bytes = 1024 * 1024;
constexpr std::size_t largest_answer_bytes = 4 * 1024 * 1024;  // above it fewer are asked for
constexpr auto longest_ttl = std::chrono::days{36'500};

}  // namespace

long long milliseconds_of(EntryOptions options) {
  if (!options.ttl) return 0;
  if (options.ttl->count() < 1 || *options.ttl > longest_ttl) {
    throw std::invalid_argument{
        fmt::format("tandem: an entry's ttl is {} ms; from 1 ms to 36,500 days are accepted",
                    options.ttl->count())};
  }
  return options.ttl->count();
}

CodecError codec_error_in(std::string_view map, std::string_view field, CodecError const& error) {
  return CodecError{
      fmt::format("tandem: map {}, field {}: {}", quoted(map), quoted(field), error.what())};
}

// -- one command each -----------------------------------------------------------------------------

SharedHash::SharedHash(Client client, std::string name)
    : key_{std::move(client), std::move(name), "map"}, ends_{companion_key(key_.name(), "ends")} {}

Reply SharedHash::run(Script const& script, std::span<Argument const> arguments,
                      Deadline deadline) const {
  std::string_view const keys[] = {name(), ends_};
  return key_.client().core().run(script, keys, arguments, deadline);
}

Reply SharedHash::run(Script const& script, std::span<Argument const> arguments) const {
  return run(script, arguments, key_.deadline());
}

HashValue SharedHash::get(std::string_view field) const {
  auto reply = key_.read({"HGET", field});
  auto const bytes = reply.as<std::optional<std::string_view>>();
  if (!bytes || !says_its_end(*bytes)) return {std::move(reply), bytes};
  Argument const arguments[] = {0, field};
  auto now = run(scripts::shared_map_read, arguments);
  auto const value =
      now[1].as<bool>() ? std::optional{now[2].as<std::string_view>()} : std::nullopt;
  return {std::move(now), value};
}

bool SharedHash::contains(std::string_view field) const {
  Argument const arguments[] = {field};
  return run(scripts::shared_map_contains, arguments).as<bool>();
}

std::optional<std::chrono::milliseconds> SharedHash::ttl(std::string_view field) const {
  Argument const arguments[] = {field};
  auto const left = run(scripts::shared_map_ttl, arguments).as<long long>();
  return left < 0 ? std::nullopt : std::optional{std::chrono::milliseconds{left}};
}

std::size_t SharedHash::size() const {
  for (auto const deadline = key_.deadline();;) {
    auto const reply = run(scripts::shared_map_size, {}, deadline);
    if (!reply[1].as<bool>()) return reply[0].as<std::size_t>();
  }
}

void SharedHash::set(std::string_view field, std::string_view value, Hold const& hold) {
  Stored const stored{value};
  hold.commit([&](Transaction& tx) { tx.queue("HSET", name(), field, stored.bytes()); });
}

void SharedHash::set(std::string_view field, std::string_view value) {
  Stored const stored{value};
  (void)key_.write({"HSET", field, stored.bytes()});
}

void SharedHash::set(std::string_view field, std::string_view value, EntryOptions options) {
  auto const ttl = milliseconds_of(options);
  if (ttl == 0) return set(field, value);
  Argument const arguments[] = {field, value, ttl, 1};
  (void)run(scripts::shared_map_set, arguments);
}

bool SharedHash::insert(std::string_view field, std::string_view value, EntryOptions options) {
  Argument const arguments[] = {field, value, milliseconds_of(options), 0};
  return run(scripts::shared_map_set, arguments).as<bool>();
}

bool SharedHash::erase(std::string_view field) {
  Argument const arguments[] = {field};
  return run(scripts::shared_map_erase, arguments).as<bool>();
}

long long SharedHash::add(std::string_view field, long long n) {
  Argument const number{n};
  try {
    return key_.write({"HINCRBY", field, number.bytes()}).as<long long>();
  } catch (ServerError const& error) {
    if (error.code() != "ERR") throw;
  }
  // No number lies there, or one with an end: then the script adds, and else it says the same.
  Argument const arguments[] = {field, number.bytes()};
  return run(scripts::shared_map_add, arguments).as<long long>();
}

void SharedHash::clear() { (void)run(scripts::shared_map_clear, {}); }

void SharedHash::refuse(std::string_view field, CodecError const& error) const {
  throw codec_error_in(name(), field, error);
}

// -- many entries ---------------------------------------------------------------------------------

bool HashReads::next() {
  if (rest_.empty()) return false;
  auto const fields = rest_.first(std::min(rest_.size(), most_));
  std::vector<std::optional<std::string_view>> values;
  values.reserve(fields.size());
  auto reply = hash_.key_.read({"HMGET"}, fields);
  bool any_says_its_end = false;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    values.push_back(reply[i].as<std::optional<std::string_view>>());
    any_says_its_end = any_says_its_end || (values.back() && says_its_end(*values.back()));
  }
  if (any_says_its_end) {  // all again, for what is told together is of one moment
    std::vector<Argument> arguments{0};
    arguments.insert(arguments.end(), fields.begin(), fields.end());
    reply = hash_.run(scripts::shared_map_read, arguments);
    for (std::size_t i = 0; i < fields.size(); ++i) {
      values[i].reset();
      if (reply[2 * i + 1].as<bool>()) values[i] = reply[2 * i + 2].as<std::string_view>();
    }
  }
  std::size_t bytes = 0;
  for (auto const& value : values) bytes += value ? value->size() : 0;
  if (bytes > largest_answer_bytes) most_ = std::max<std::size_t>(most_ / 4, 1);
  if (bytes < largest_answer_bytes / 8) most_ = std::min(most_ * 2, largest_request_entries);
  reply_ = std::move(reply);
  values_ = std::move(values);
  fields_ = fields;
  rest_ = rest_.subspan(fields.size());
  return true;
}

/// For an entry of so many bytes: what is larger than a request goes alone.
void HashWrites::make_room(std::size_t bytes) {
  if (entries_ == largest_request_entries ||
      (entries_ > 0 && bytes_ + bytes > largest_request_bytes))
    send();
  ++entries_;
  bytes_ += bytes;
}

void HashWrites::set(std::string_view field, std::string_view value) {
  make_room(field.size() + value.size());
  words_.emplace_back(field);
  words_.emplace_back(Stored{value}.bytes());
}

void HashWrites::erase(std::string_view field) {
  make_room(field.size());
  words_.emplace_back(field);
  erases_ = true;
}

std::size_t HashWrites::finish() {
  if (!words_.empty()) send();
  return erased_;
}

void HashWrites::send() {
  if (erases_) {
    std::vector<Argument> const arguments{words_.begin(), words_.end()};
    erased_ += hash_.run(scripts::shared_map_erase, arguments).as<std::size_t>();
  } else {
    (void)hash_.key_.write({"HSET"}, words_);
  }
  words_.clear();
  entries_ = 0;
  bytes_ = 0;
}

// -- compare and set ------------------------------------------------------------------------------

/// See src/lua/shared_map/change.lua for the reply.
Reply SharedHash::change(std::string_view field, std::optional<std::string_view> expected,
                         std::optional<std::string_view> desired, Deadline deadline) const {
  Argument const arguments[] = {1,
                                field,
                                expected ? 1 : 0,
                                expected.value_or(""),
                                field,
                                desired ? 2 : 0,
                                0,
                                desired.value_or("")};
  return run(scripts::shared_map_change, arguments, deadline);
}

bool SharedHash::replace(std::string_view field, std::string_view expected,
                         std::string_view desired) {
  return change(field, expected, desired, key_.deadline())[0].as<bool>();
}

HashUpdate::HashUpdate(SharedHash const& hash, std::string_view field)
    : hash_{hash}, field_{field}, deadline_{hash.key_.deadline()}, now_{hash.get(field)} {}

bool HashUpdate::try_change(std::optional<std::string_view> desired) {
  if (desired == now_.bytes) return true;
  // No pause between tries: each lost one is somebody else's success, and who waits longer would
  // only lose again.
  if (std::chrono::steady_clock::now() >= deadline_) {
    throw Conflict{fmt::format(
        "tandem: update of {}, field {}: {} tries took until the deadline; nothing was applied",
        hash_.key_.in_words(), quoted(field_), tries_)};
  }
  ++tries_;
  auto reply = hash_.change(field_, now_.bytes, desired, deadline_);
  if (reply[0].as<bool>()) return true;
  now_.bytes = reply.size() > 1 ? std::optional{reply[1].as<std::string_view>()} : std::nullopt;
  now_.reply = std::move(reply);
  return false;
}

}  // namespace detail
}  // namespace tandem
