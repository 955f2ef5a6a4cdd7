#include "tandem/shared_map.hpp"

#include <algorithm>
#include <stdexcept>
#include <unordered_set>

#include <fmt/core.h>

#include "core/core.hpp"
#include "core/scratch.hpp"
#include "scripts.hpp"

// Reads go out as Repeat::safe, writes as Repeat::never: a write whose answer was lost, sent again,
// might undo what somebody else wrote in between. That holds for shared_map/change too, though it
// compares first: the entry may have come back to what it was (from 2 to 3 by us, to 2 again by
// another), and the change would be made twice. Telling the two apart takes a second key that
// remembers each change for a while; we leave the doubt to the caller instead, who can put
// something of his own into the value to know it by.

namespace tandem::detail {
namespace {

constexpr std::size_t first_chunk = 64;
constexpr std::size_t largest_chunk = 1024;  // some 0.3 ms of the server's time
constexpr std::size_t small_chunk_bytes =
    256 * 1024;  // below it the next chunk may have more entries,
constexpr std::size_t large_chunk_bytes = 1024 * 1024;  // above it it must have fewer

/// A name or field for an error text: printable, and not a page long.
std::string quoted(std::string_view bytes) {
  constexpr std::size_t most = 64;
  std::string out = "\"";
  for (char const byte : bytes.substr(0, most)) {
    auto const code = static_cast<unsigned char>(byte);
    if (byte == '"' || byte == '\\') {
      out.append(1, '\\').append(1, byte);
    } else if (code < 0x20 || code > 0x7e) {
      out += fmt::format("\\x{:02x}", code);
    } else {
      out += byte;
    }
  }
  return out + (bytes.size() > most ? "...\"" : "\"");
}

std::string checked(std::string name) {
  if (name.empty())
    throw std::invalid_argument{"tandem: a map's name is empty; any other bytes are accepted"};
  return name;
}

}  // namespace

// -- one command each -----------------------------------------------------------------------------

SharedHash::SharedHash(Client client, std::string name)
    : client_{std::move(client)}, name_{checked(std::move(name))} {}

/// `words` start with the command; the map's name becomes its second word.
Reply SharedHash::ask(std::initializer_list<std::string_view> words,
                      std::span<std::string const> more, bool repeatable) const {
  ScratchCommand const command;
  command->begin(words.size() + 1 + more.size());
  command->word(*words.begin());
  command->word(name_);
  for (auto const word : std::span{words}.subspan(1)) command->word(word);
  for (auto const& word : more) command->word(word);
  auto& core = client_.core();
  auto reply = core.ask(*command, core.deadline(), repeatable ? Repeat::safe : Repeat::never);
  if (reply.is_error()) reply.throw_if_error(fmt::format("{} on {}", *words.begin(), name_));
  return reply;
}

Reply SharedHash::get(std::string_view field) const { return ask({"HGET", field}, {}, true); }

Reply SharedHash::get_many(std::span<std::string const> fields) const {
  return ask({"HMGET"}, fields, true);
}

bool SharedHash::contains(std::string_view field) const {
  return ask({"HEXISTS", field}, {}, true).as<bool>();
}

std::size_t SharedHash::size() const { return ask({"HLEN"}, {}, true).as<std::size_t>(); }

void SharedHash::set(std::string_view field, std::string_view value, Hold const& hold) {
  hold.commit([&](Transaction& tx) { tx.queue("HSET", name_, field, value); });
}

void SharedHash::set(std::string_view field, std::string_view value) {
  (void)ask({"HSET", field, value}, {}, false);
}

void SharedHash::set_many(std::span<std::string const> fields_and_values) {
  if (!fields_and_values.empty()) (void)ask({"HSET"}, fields_and_values, false);
}

bool SharedHash::insert(std::string_view field, std::string_view value) {
  return ask({"HSETNX", field, value}, {}, false).as<bool>();
}

bool SharedHash::erase(std::string_view field) {
  return ask({"HDEL", field}, {}, false).as<bool>();
}

std::size_t SharedHash::erase_many(std::span<std::string const> fields) {
  return fields.empty() ? 0 : ask({"HDEL"}, fields, false).as<std::size_t>();
}

long long SharedHash::add(std::string_view field, long long n) {
  return ask({"HINCRBY", field, Argument{n}.bytes()}, {}, false).as<long long>();
}

void SharedHash::clear() {
  std::string_view const keys[] = {name_};
  auto& core = client_.core();
  (void)core.run(scripts::shared_map_clear, keys, {}, core.deadline());
}

void SharedHash::refuse(std::string_view field, CodecError const& error) const {
  throw CodecError{
      fmt::format("tandem: map {}, field {}: {}", quoted(name_), quoted(field), error.what())};
}

// -- compare and set ------------------------------------------------------------------------------

/// See src/lua/shared_map/change.lua for the reply.
Reply SharedHash::change(std::string_view field, std::optional<std::string_view> expected,
                         std::optional<std::string_view> desired, Deadline deadline) const {
  std::string_view const keys[] = {name_};
  Argument const arguments[] = {field, expected ? 1 : 0, expected.value_or(""), desired ? 1 : 0,
                                desired.value_or("")};
  return client_.core().run(scripts::shared_map_change, keys, arguments, deadline);
}

bool SharedHash::replace(std::string_view field, std::string_view expected,
                         std::string_view desired) {
  return change(field, expected, desired, client_.core().deadline())[0].as<bool>();
}

HashUpdate::HashUpdate(SharedHash const& hash, std::string_view field)
    : hash_{hash},
      field_{field},
      deadline_{hash.client_.core().deadline()},
      reply_{hash.get(field)},
      current_{reply_.as<std::optional<std::string_view>>()} {}

bool HashUpdate::try_change(std::optional<std::string_view> desired) {
  if (desired == current_) return true;
  // No pause between tries: each lost one is somebody else's success, and who waits longer would
  // only lose again.
  if (std::chrono::steady_clock::now() >= deadline_) {
    throw Conflict{fmt::format(
        "tandem: update of map {}, field {}: {} tries took until the deadline; nothing was applied",
        quoted(hash_.name_), quoted(field_), tries_)};
  }
  ++tries_;
  auto reply = hash_.change(field_, current_, desired, deadline_);
  if (reply[0].as<bool>()) return true;
  reply_ = std::move(reply);
  current_ = reply_.size() > 1 ? std::optional{reply_[1].as<std::string_view>()} : std::nullopt;
  return false;
}

// -- iteration ------------------------------------------------------------------------------------
//
// HSCAN returns every field that stays at least once, and some twice when the table is resized in
// between, so the fields seen are remembered. Its cursors mean nothing to another server process: a
// restart or failover in the middle would pass over entries unnoticed. Hence a scan counts only
// when the server's run id is the same before and after; if not, it is done once more, and what was
// seen is not shown again.
//
// A small map comes whole in the first reply, and pays for none of this.

struct HashScan::State {
  explicit State(SharedHash map) : hash{std::move(map)} {}

  [[nodiscard]] std::size_t entries() const { return (*chunk)[1].size() / 2; }
  [[nodiscard]] std::string_view word(std::size_t index) const {
    return (*chunk)[1][index].as<std::string_view>();
  }

  void settle();
  bool read_on();
  void begin_anew(std::string run);
  void read_chunk();
  [[nodiscard]] std::string server_run() const;

  SharedHash hash;
  std::optional<Reply> chunk{};
  std::size_t entry = 0;  // the current one, in the chunk
  std::string cursor = "0";
  std::size_t count = first_chunk;
  bool scan_is_complete = false;
  bool whole_in_one = false;
  bool at_end = false;
  std::optional<std::string>
      run{};  // in which the scan began; none yet: the first chunk is all there is so far
  std::unordered_set<std::string> seen{};
};

/// Goes to the first entry, beginning with the current one, that was not seen.
void HashScan::State::settle() {
  for (;;) {
    for (; entry < entries(); ++entry) {
      if (whole_in_one || seen.emplace(word(2 * entry)).second) return;
    }
    if (!read_on()) {
      at_end = true;
      return;
    }
  }
}

/// Reads the next chunk; false when there is none.
bool HashScan::State::read_on() {
  if (whole_in_one) return false;
  if (!run) {
    begin_anew(server_run());
  } else if (scan_is_complete) {
    auto now = server_run();
    if (now == *run) return false;
    begin_anew(std::move(now));
  }
  read_chunk();
  return true;
}

void HashScan::State::begin_anew(std::string in_run) {
  run = std::move(in_run);
  cursor.assign(1, '0');  // not = "0": g++ 12 warns of it without a reason (its bug 105651)
  scan_is_complete = false;
}

void HashScan::State::read_chunk() {
  auto reply = hash.ask({"HSCAN", cursor, "COUNT", Argument{count}.bytes()}, {}, true);
  cursor = reply[0].as<std::string>();
  scan_is_complete = cursor == "0";
  chunk = std::move(reply);
  entry = 0;

  std::size_t bytes = 0;
  for (std::size_t i = 0; i < 2 * entries(); ++i) bytes += word(i).size();
  if (bytes > large_chunk_bytes) count = std::max<std::size_t>(count / 4, 1);
  if (bytes < small_chunk_bytes) count = std::min(count * 2, largest_chunk);
}

/// Empty when the server will not tell: then a restart goes unnoticed.
std::string HashScan::State::server_run() const {
  auto& core = hash.client_.core();
  CommandBuffer command;
  command.add(std::initializer_list<Argument>{"INFO", "server"});
  auto const reply = core.ask(command, core.deadline(), Repeat::safe);
  if (reply.error_text().starts_with("NOPERM")) return {};
  auto const text = reply.as<std::string_view>();
  auto const from = text.find("run_id:");
  if (from == std::string_view::npos) return {};
  return std::string{text.substr(from, text.find('\r', from) - from)};
}

HashScan::HashScan(SharedHash hash) : state_{std::make_unique<State>(std::move(hash))} {
  state_->read_chunk();
  state_->whole_in_one = state_->scan_is_complete;
  state_->settle();
}

HashScan::HashScan(HashScan&&) noexcept = default;
HashScan& HashScan::operator=(HashScan&&) noexcept = default;
HashScan::~HashScan() = default;

bool HashScan::at_end() const noexcept { return state_->at_end; }
std::string_view HashScan::field() const { return state_->word(2 * state_->entry); }
std::string_view HashScan::value() const { return state_->word(2 * state_->entry + 1); }
SharedHash const& HashScan::hash() const noexcept { return state_->hash; }

void HashScan::next() {
  if (state_->entry < state_->entries()) ++state_->entry;
  state_->settle();
}

}  // namespace tandem::detail
