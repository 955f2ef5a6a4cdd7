#include <algorithm>
#include <charconv>
#include <unordered_set>

#include <fmt/core.h>

#include "core/core.hpp"
#include "core/describe.hpp"
#include "scripts.hpp"
#include "shared_map_bytes.hpp"
#include "tandem/core/shared_hash.hpp"

// HSCAN returns every field that stays at least once, and some twice when the table shrinks in
// between, so the fields seen are remembered. Its cursors mean nothing to another server process: a
// restart or failover in the middle would pass over entries unnoticed. Hence a scan counts only
// when the server's run id is the same before and after; if not, it is done once more, and what was
// seen is not shown again.
//
// A large map is not remembered as a whole. The cursor's bits count backwards, so that the buckets
// which a smaller table has as one come one after another: what is returned a second time after the
// table has shrunk to 2^j buckets is among what came in the last 2^-j of the way. The last 65,536
// fields are enough for that as long as a table of n entries does not shrink to less than n /
// 65,536 buckets. They are not enough for a restart: from there on each chunk asks for the run id.
//
// A small map comes whole in the first reply, and pays for none of this.

namespace tandem::detail {
namespace {

constexpr std::size_t first_chunk = 64;
constexpr std::size_t largest_chunk = 1024;  // some 0.3 ms of the server's time
constexpr std::size_t small_chunk_bytes =
    256 * 1024;  // below it the next chunk may have more entries,
constexpr std::size_t large_chunk_bytes = 1024 * 1024;  // above it it must have fewer

/// The fields that were seen: all of them, or at least the last 65,536, or the last 16 MiB.
class Seen {
 public:
  /// Whether it was not seen, as far as is known.
  bool add(std::string_view field) {
    if (older_.contains(field) || !recent_.emplace(field).second) return false;
    bytes_ += field.size();
    if (recent_.size() == most_fields || bytes_ >= most_bytes) {
      forgot_ = forgot_ || !older_.empty();
      older_ = std::move(recent_);
      recent_.clear();
      bytes_ = 0;
    }
    return true;
  }
  [[nodiscard]] bool forgot() const noexcept { return forgot_; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  using Set = std::unordered_set<std::string, Hash, std::equal_to<>>;
  static constexpr std::size_t most_fields = 65'536;
  static constexpr std::size_t most_bytes = 16 * 1024 * 1024;

  Set recent_{};
  Set older_{};
  std::size_t bytes_ = 0;  // of the recent ones
  bool forgot_ = false;
};

/// Empty when the server will not tell: then a restart goes unnoticed.
std::string run_id(ReplyView info) {
  if (info.error_text().starts_with("NOPERM")) return {};
  auto const text = info.as<std::string_view>();
  auto const from = text.find("run_id:");
  if (from == std::string_view::npos) return {};
  return std::string{text.substr(from, text.find('\r', from) - from)};
}

/// What src/lua/shared_map/entry.lua calls value_of, at a moment in milliseconds.
std::optional<std::string_view> value_at(long long now, std::string_view stored) {
  if (!says_its_end(stored)) return stored;
  auto const rest = stored.substr(end_mark.size());
  long long end = 0;
  auto const [last, error] = std::from_chars(rest.data(), rest.data() + rest.size(), end);
  auto const digits = static_cast<std::size_t>(last - rest.data());
  if (error != std::errc{} || rest.substr(digits, 1) != " " || rest.front() == '-') return stored;
  if (end != 0 && end < now) return std::nullopt;
  return rest.substr(digits + 1);
}

/// Replies to what only reads: asked again when an answer was lost.
std::vector<Reply> ask_all_safely(Core& core, CommandBuffer const& commands) {
  auto const deadline = core.deadline();
  for (;;) {
    try {
      return core.ask_all(commands, deadline);
    } catch (InDoubt const&) {
      if (std::chrono::steady_clock::now() >= deadline) throw;
    }
  }
}

}  // namespace

// -- iteration ------------------------------------------------------------------------------------

struct HashScan::State {
  struct Entry {
    std::string_view field;
    std::string_view value;
  };

  explicit State(SharedHash map) : hash{std::move(map)} {}

  void settle();
  bool read_on();
  void begin_anew(std::string run);
  void read_chunk();
  [[nodiscard]] Reply scan(std::string& run_now) const;
  [[nodiscard]] std::string server_run() const;
  void resolve(std::vector<Entry>& found, std::vector<Reply>& held) const;

  SharedHash hash;
  std::vector<Reply> replies{};  // that the entries lie in
  std::vector<Entry> entries{};  // of the chunk
  std::size_t entry = 0;         // the current one
  std::string cursor = "0";
  std::size_t count = first_chunk;
  bool scan_is_complete = false;
  bool whole_in_one = false;
  bool at_end = false;
  std::optional<std::string>
      run{};  // in which the scan began; none yet: the first chunk is all there is so far
  Seen seen{};
};

/// Goes to the first entry, beginning with the current one, that was not seen.
void HashScan::State::settle() {
  for (;;) {
    for (; entry < entries.size(); ++entry) {
      if (whole_in_one || seen.add(entries[entry].field)) return;
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
  if (!seen.forgot()) return;
  seen = {};
  throw Unreachable{fmt::format(
      "tandem: iteration over {}: another server has taken over, or it was restarted, and what "
      "was shown is too much to be remembered; from here on it is shown again",
      hash.key_.in_words())};
}

void HashScan::State::read_chunk() {
  std::string run_now = run.value_or("");
  auto reply = scan(run_now);
  if (run && run_now != *run) {
    begin_anew(std::move(run_now));
    return;
  }
  auto const& chunk = reply[1];
  std::vector<Entry> found;
  found.reserve(chunk.size() / 2);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < chunk.size(); i += 2) {
    found.push_back({chunk[i].as<std::string_view>(), chunk[i + 1].as<std::string_view>()});
    bytes += found.back().field.size() + found.back().value.size();
  }
  auto behind = reply[0].as<std::string>();
  std::vector<Reply> held;
  held.push_back(std::move(reply));
  resolve(found, held);

  cursor = std::move(behind);
  scan_is_complete = cursor == "0";
  entries = std::move(found);
  replies = std::move(held);
  entry = 0;
  if (bytes > large_chunk_bytes) count = std::max<std::size_t>(count / 4, 1);
  if (bytes < small_chunk_bytes) count = std::min(count * 2, largest_chunk);
}

/// The next chunk; and the run of the server that answered, where that matters.
Reply HashScan::State::scan(std::string& run_now) const {
  if (!run || !seen.forgot()) return hash.key_.read({"HSCAN", cursor, "COUNT", count});
  CommandBuffer both;
  both.add(std::initializer_list<Argument>{"HSCAN", hash.name(), cursor, "COUNT", count});
  both.add(std::initializer_list<Argument>{"INFO", "server"});
  auto replies_of_both = ask_all_safely(hash.key_.client().core(), both);
  replies_of_both[0].throw_if_error(fmt::format("HSCAN on {}", printable(hash.name())));
  run_now = run_id(replies_of_both[1]);
  return std::move(replies_of_both[0]);
}

/// What says its end is asked for again, and left out where it has ended.
void HashScan::State::resolve(std::vector<Entry>& found, std::vector<Reply>& held) const {
  std::vector<Argument> arguments{0};
  for (auto const& each : found) {
    if (says_its_end(each.value)) arguments.emplace_back(each.field);
  }
  if (arguments.size() == 1) return;
  auto now = hash.run(scripts::shared_map_read, arguments);
  std::size_t asked = 0;
  std::erase_if(found, [&](Entry& each) {
    if (!says_its_end(each.value)) return false;
    auto const at = 2 * asked++ + 1;
    if (!now[at].as<bool>()) return true;
    each.value = now[at + 1].as<std::string_view>();
    return false;
  });
  held.push_back(std::move(now));
}

std::string HashScan::State::server_run() const {
  auto& core = hash.key_.client().core();
  CommandBuffer command;
  command.add(std::initializer_list<Argument>{"INFO", "server"});
  return run_id(core.ask(command, core.deadline(), Repeat::safe));
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
std::string_view HashScan::field() const { return state_->entries[state_->entry].field; }
std::string_view HashScan::value() const { return state_->entries[state_->entry].value; }
SharedHash const& HashScan::hash() const noexcept { return state_->hash; }

void HashScan::next() {
  if (state_->entry < state_->entries.size()) ++state_->entry;
  state_->settle();
}

// -- a snapshot -----------------------------------------------------------------------------------

HashSnapshot::HashSnapshot(SharedHash const& hash) {
  CommandBuffer commands;
  commands.add(std::initializer_list<Argument>{"MULTI"});
  commands.add(std::initializer_list<Argument>{"HGETALL", hash.name()});
  commands.add(std::initializer_list<Argument>{"TIME"});  // by which what says its end is judged
  commands.add(std::initializer_list<Argument>{"EXEC"});
  auto replies = ask_all_safely(hash.key_.client().core(), commands);
  auto const doing = fmt::format("HGETALL on {}", printable(hash.name()));
  for (auto const& reply : replies) reply.throw_if_error(doing);
  auto const all = replies.back()[0];
  auto const time = replies.back()[1];
  all.throw_if_error(doing);
  auto const now = time[0].as<long long>() * 1000 + time[1].as<long long>() / 1000;
  entries_.reserve(all.size() / 2);
  for (std::size_t i = 0; i < all.size(); i += 2) {
    auto const value = value_at(now, all[i + 1].as<std::string_view>());
    if (value) entries_.emplace_back(all[i].as<std::string_view>(), *value);
  }
  reply_ = std::move(replies.back());
}

}  // namespace tandem::detail
