#include "core/inspection.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "scripts.hpp"

namespace tandem {
namespace detail {
namespace {

using std::chrono::microseconds;

// Whole commands: Redis 7.0 and older ones look for their keys, and have been seen to crash where a
// word is missing. KEY stands for a key, ? for a command that older servers do not know and are not
// asked for in earnest. Permissions are also by channel.
constexpr char const* in_use[] = {
    "CLIENT CACHING YES",
    "CLIENT ID",
    "CLIENT TRACKING ON",
    "DECRBY KEY 1",
    "DEL KEY",
    "DISCARD",
    "EVAL x 1 KEY",
    "EVALSHA x 1 KEY",
    "EXEC",
    "EXISTS KEY",
    "GET KEY",
    "HDEL KEY x",
    "HEXISTS KEY x",
    "HGET KEY x",
    "HGETALL KEY",
    "HINCRBY KEY x 1",
    "HLEN KEY",
    "HMGET KEY x",
    "?HPEXPIREAT KEY 1 FIELDS 1 x",
    "?HPEXPIRETIME KEY FIELDS 1 x",
    "?HPTTL KEY FIELDS 1 x",
    "HSCAN KEY 0",
    "HSET KEY x x",
    "HSETNX KEY x x",
    "INCRBY KEY 1",
    "LINDEX KEY 0",
    "LLEN KEY",
    "LPOP KEY",
    "LPUSH KEY x",
    "LRANGE KEY 0 0",
    "LTRIM KEY 0 0",
    "MGET KEY KEY",
    "MULTI",
    "PEXPIRE KEY 1",
    "PEXPIREAT KEY 1",
    "PING",
    "PTTL KEY",
    "PUBLISH tandem:x x",
    "RENAME KEY KEY",
    "RPOP KEY",
    "RPUSH KEY x",
    "SADD KEY x",
    "SCARD KEY",
    "SET KEY x",
    "SETNX KEY x",
    "SISMEMBER KEY x",
    "SMEMBERS KEY",
    "SREM KEY x",
    "SUBSCRIBE tandem:x",
    "TIME",
    "UNLINK KEY",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WATCH KEY",
    "XACK KEY x 0-0",
    "XADD KEY * x x",
    "XCLAIM KEY x x 0 0-0",
    "XDEL KEY 0-0",
    "XGROUP CREATE KEY x 0",
    "XLEN KEY",
    "XPENDING KEY x 0-0 0-0 1",
    "XRANGE KEY - +",
    "XREADGROUP GROUP x x STREAMS KEY >",
    "ZADD KEY 0 x",
    "ZCARD KEY",
    "ZCOUNT KEY 0 0",
    "ZINCRBY KEY 1 x",
    "ZPOPMIN KEY",
    "ZRANGE KEY 0 0",
    "ZRANGEBYSCORE KEY 0 0",
    "ZRANK KEY x",
    "ZREM KEY x",
    "ZREVRANGE KEY 0 0",
    "ZREVRANK KEY x",
    "ZSCORE KEY x",
};

/// Without its arguments: `ZADD`, `CLIENT ID`, `PUBLISH tandem:x`.
std::string shortened(std::string_view command) {
  if (command.starts_with('?')) command.remove_prefix(1);
  bool const two = command.starts_with("CLIENT ") || command.find(" tandem:x") != command.npos;
  auto end = command.find(' ');
  if (two) end = command.find(' ', end + 1);
  return std::string{command.substr(0, end)};
}

bool names_a_key(std::string_view command) {
  return !command.starts_with('?') && command.find(" KEY") != command.npos;
}

enum Question : std::size_t { time, info, save, whoami, permissions, questions };

// More is noticed by those who read the clocks; a second is what a person takes for the same time.
constexpr auto different = std::chrono::seconds{1};
constexpr int oldest_major = 5;  // scripts that read the clock and then write

using Fields = std::map<std::string_view, std::string_view, std::less<>>;

/// INFO's lines, `name:value`.
Fields fields(std::string_view text) {
  Fields out;
  while (!text.empty()) {
    auto const end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    auto const colon = line.find(':');
    if (colon != std::string_view::npos) out[line.substr(0, colon)] = line.substr(colon + 1);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string_view value(Fields const& all, std::string_view name) {
  auto const found = all.find(name);
  return found == all.end() ? std::string_view{} : found->second;
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number out = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end != text.data() ? std::optional{out} : std::nullopt;
}

void read_info(Inspection& out, ReplyView reply) {
  if (reply.is_error()) {
    out.notes.emplace_back("it does not tell what it is (INFO): " +
                           std::string{reply.error_text()});
    return;
  }
  auto const told = fields(reply.as<std::string_view>());
  auto const valkey = value(told, "valkey_version");
  out.product = valkey.empty() ? "Redis" : "Valkey";
  out.version = valkey.empty() ? value(told, "redis_version") : valkey;
  out.maxmemory = number<long long>(value(told, "maxmemory"));
  out.eviction = value(told, "maxmemory_policy");
  out.is_replica = value(told, "role") == "slave";
  out.replicas = number<int>(value(told, "connected_slaves")).value_or(0);
  if (auto const aof = value(told, "aof_enabled"); !aof.empty()) out.append_only_file = aof == "1";
}

void read_clock(Inspection& out, ReplyView reply, std::chrono::system_clock::time_point asked,
                std::chrono::system_clock::time_point told) {
  if (reply.is_error() || reply.size() != 2) return;
  auto const seconds = reply[0].as<long long>();
  auto const rest = reply[1].as<long long>();
  constexpr auto end_of_time = 9'000'000'000;  // what a clock of nanoseconds holds
  if (seconds < 0 || seconds > end_of_time || rest < 0 || rest >= 1'000'000) return;
  std::chrono::system_clock::time_point const theirs{std::chrono::seconds{seconds} +
                                                     microseconds{rest}};
  auto const round_trip = told - asked;
  out.clock_difference =
      std::chrono::duration_cast<microseconds>(theirs - (asked + round_trip / 2));
  out.clock_uncertainty = std::chrono::duration_cast<microseconds>(round_trip);
}

void read_saves(Inspection& out, ReplyView reply) {
  if (reply.is_error()) {
    out.snapshots = "?";
    out.notes.emplace_back("it does not tell whether it saves snapshots (CONFIG GET save)");
  } else {
    out.snapshots = reply.size() == 2 ? reply[1].as<std::string>() : "?";
  }
}

void read_permissions(Inspection& out, ReplyView reply) {
  if (reply.is_error()) {
    if (reply.error_text().starts_with("NOPERM ")) {
      out.denied = {"EVAL"};
    } else {
      out.notes.emplace_back("it does not tell what this user may do");
    }
    return;
  }
  auto denied = reply.as<std::vector<std::string>>();
  auto const all = std::count_if(std::begin(in_use), std::end(in_use), names_a_key);
  if (std::count_if(denied.begin(), denied.end(), names_a_key) == all) {
    out.notes.push_back(fmt::format(
        "it lets this user do nothing with the key {}: inspect another to know more", out.key));
    std::erase_if(denied,
                  [](std::string_view command) { return command.find(" KEY") != command.npos; });
  }
  for (auto const& command : denied) out.denied.push_back(shortened(command));
}

void say_what_is_used(Inspection& out) {
  if (out.protocol == 3) out.uses.emplace_back("RESP3");
  bool const may_track =
      std::find(out.denied.begin(), out.denied.end(), "CLIENT TRACKING") == out.denied.end();
  // Redis 6 brought it; what has another version of its own is newer than that.
  bool const can_track = out.product != "Redis" || number<int>(out.version).value_or(0) >= 6;
  if (may_track && can_track && !out.version.empty()) out.uses.emplace_back("CLIENT TRACKING");
}

void judge(Inspection& out) {
  if (auto const major = number<int>(out.version); major && *major < oldest_major) {
    out.dangers.push_back(fmt::format("tandem needs {}.0 or newer", oldest_major));
  }
  if (out.is_replica) out.dangers.emplace_back("it is a replica, and takes no writes");
  if (out.maxmemory.value_or(0) > 0 && out.eviction != "noeviction") {
    out.dangers.push_back(fmt::format(
        "maxmemory-policy {} may evict locks and counters; noeviction does not", out.eviction));
  }
  if (!out.denied.empty()) {
    out.dangers.push_back(fmt::format("{} may not run {}",
                                      out.user.empty() ? "this user" : "user " + out.user,
                                      fmt::join(out.denied, ", ")));
  }
  if (out.append_only_file == false && out.snapshots.empty()) {
    out.dangers.emplace_back("it saves nothing: what is kept there is lost when it restarts");
  }
  if (out.replicas > 0) {
    out.notes.emplace_back(
        "its replicas are behind it by a moment: a failover may forget a lock that was just taken");
  }
  if (std::chrono::abs(out.clock_difference) > different + out.clock_uncertainty) {
    out.notes.push_back(
        fmt::format("its clock is {:.1f} s {} ours; periods and fences go by its clock",
                    std::chrono::duration<double>{std::chrono::abs(out.clock_difference)}.count(),
                    out.clock_difference.count() > 0 ? "ahead of" : "behind"));
  }
}

/// The questions, all in one write.
CommandBuffer inspection_commands(std::string_view key) {
  CommandBuffer out;
  out.add(std::initializer_list<Argument>{"TIME"});  // first: what follows takes its time
  out.add(std::initializer_list<Argument>{"INFO"});
  out.add(std::initializer_list<Argument>{"CONFIG", "GET", "save"});
  out.add(std::initializer_list<Argument>{"ACL", "WHOAMI"});
  out.begin(4 + std::size(in_use));
  out.word("EVAL");
  out.word(scripts::server_permissions.source());
  out.word("0");  // it touches none
  out.word(key);
  for (auto const* const command : in_use) out.word(command);
  return out;
}

/// `asked` and `told`: this machine's wall clock before and after.
Inspection read_inspection(Options const& options, std::string_view key, int protocol,
                           std::span<Reply const> replies,
                           std::chrono::system_clock::time_point asked,
                           std::chrono::system_clock::time_point told) {
  Inspection out;
  out.protocol = protocol;
  out.key = key;
  out.endpoint = options.endpoint();
  out.product = "server";
  auto const read = [&](auto&& part) {
    try {
      part();
    } catch (Error const& fault) {  // a server, or a proxy, with answers of its own
      out.notes.push_back(fmt::format("it does not answer as Redis does: {}", fault.what()));
    }
  };
  read([&] { out.user = replies[whoami].is_error() ? "" : replies[whoami].as<std::string>(); });
  read([&] { read_info(out, replies[info]); });
  read([&] { read_saves(out, replies[save]); });
  read([&] { read_clock(out, replies[time], asked, told); });
  read([&] { read_permissions(out, replies[permissions]); });
  say_what_is_used(out);
  judge(out);
  return out;
}

}  // namespace

std::span<char const* const> commands_in_use() noexcept { return in_use; }

Inspection inspect(Wire& wire, Options const& options, std::string_view key, Deadline deadline) {
  try {
    auto const asked = std::chrono::system_clock::now();
    auto const replies = exchange(wire, inspection_commands(key), deadline);
    return read_inspection(options, key, wire.protocol(), replies, asked,
                           std::chrono::system_clock::now());
  } catch (InDoubt const& fault) {
    throw Unreachable{fault.what()};
  }
}

void require_safe(Wire& wire, Options const& options, Deadline deadline) {
  auto const found = inspect(wire, options, "tandem", deadline);
  if (!found.dangers.empty()) throw UnsafeServer{"tandem: " + found.line()};
}

}  // namespace detail

std::string Inspection::line() const {
  auto const what = version.empty() ? product : product + " " + version;
  return fmt::format("{} at {}{}{}", what, endpoint, dangers.empty() ? "" : ": ",
                     fmt::join(dangers, "; "));
}

}  // namespace tandem
