#include "locking/deadlock.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// Between the two looks at a circle: long against the moment in which a release is on its way.
constexpr milliseconds second_look{100};
constexpr seconds longest_pause{16};
// A stop request waits for it.
constexpr milliseconds longest_look{200};
// What a process that died has said is forgotten after this.
constexpr seconds remembered{60};
// A chain of waits that is longer is not followed to its end.
constexpr int longest_chain = 100;

// Names of locks are any bytes: each text is written as its length, a colon, and itself.
void put(std::string& out, std::string_view text) {
  out += fmt::format("{}:", text.size());
  out += text;
}

std::string take(std::string_view& in) {
  std::size_t size = 0;
  auto const read = std::from_chars(in.data(), in.data() + in.size(), size);
  auto const begin = static_cast<std::size_t>(read.ptr - in.data()) + 1;
  if (read.ec != std::errc{} || begin > in.size() || size > in.size() - begin) {
    in = {};
    return {};
  }
  std::string out{in.substr(begin, size)};
  in.remove_prefix(begin + size);
  return out;
}

std::string key_of(std::string_view client) { return fmt::format("tandem:waits:{}", client); }

}  // namespace

/// One who waits and holds, as it said on the server.
struct DeadlockCheck::Member {
  std::string client;
  std::string thread;
  std::string id;         // of its wait
  std::string waits_for;  // a lock's name
  std::string token;      // one that it holds
  std::string holds;      // and of which lock

  [[nodiscard]] std::string name() const { return client + "/" + thread; }
};

struct DeadlockCheck::Circle {
  std::vector<Member> members;  // each waits for what the next one holds; the last is this thread

  [[nodiscard]] std::string signature() const {
    std::string out;
    for (auto const& each : members) put(out, each.id + " " + each.token);
    return out;
  }
  [[nodiscard]] Member const& victim() const {
    return *std::max_element(
        members.begin(), members.end(),
        [](auto const& one, auto const& other) { return one.name() < other.name(); });
  }
  [[nodiscard]] std::string in_words() const {
    std::string out = "tandem: deadlock:";
    for (auto const& each : members) {
      auto const who = Identity::of(each.token);
      out += fmt::format("{} {}{}{} (pid {}, thread {}) holds \"{}\" and waits for \"{}\"",
                         &each == members.data() ? "" : ";", who ? who->name : "",
                         who && !who->name.empty() ? " on " : "", who ? who->host : "?",
                         who ? who->pid : 0, each.thread, each.holds, each.waits_for);
    }
    return out;
  }
};

DeadlockCheck::DeadlockCheck(Core& core, LockAgent& agent, Waiter& waiter, milliseconds after)
    : core_{core},
      agent_{agent},
      waiter_{waiter},
      thread_{std::to_string(this_thread_number())},
      pause_{after} {
  if (after.count() > 0) waiter_.check_at(steady_clock::now() + after);
}

DeadlockCheck::~DeadlockCheck() {
  if (!id_.empty()) agent_.wait_is_over(id_, key_of(agent_.id()), thread_);
}

void DeadlockCheck::look(Deadline deadline) {
  auto const held = agent_.held_by(this_thread_number());
  if (held.empty())
    return;  // nobody can be waiting for this thread, which is not going to hold more
  auto const until = std::min(deadline, steady_clock::now() + longest_look);
  try {
    publish(held, until);
    auto const circle = find(until);
    auto const signature = circle ? circle->signature() : std::string{};
    bool const real = circle && signature == seen_;
    if (real && circle->victim().id == id_) throw Deadlock{circle->in_words()};
    if (real) {
      CommandBuffer tell;
      tell.add(std::initializer_list<Argument>{"PUBLISH", "tandem:" + circle->victim().client,
                                               "check " + circle->victim().id});
      (void)core_.ask(tell, until, Repeat::safe);
    }
    pause_ = circle && !real ? second_look : std::min<milliseconds>(2 * pause_, longest_pause);
    if (circle && real) pause_ = std::max<milliseconds>(pause_, seconds{1});
    seen_ = signature;
  } catch (Deadlock const&) {
    throw;
  } catch (Error const&) {
    pause_ = std::min<milliseconds>(2 * pause_, longest_pause);  // the wait itself meets it too
  }
  waiter_.check_at(steady_clock::now() + pause_);
}

void DeadlockCheck::publish(std::vector<LockAgent::Held> const& held, Deadline until) {
  if (id_.empty()) {
    id_ = agent_.fresh_wait();
    agent_.start();
    agent_.tell_when_to_check(id_, waiter_);
  }
  std::string record;
  put(record, id_);
  put(record, waiter_.keys().lock);
  for (auto const& each : held) {
    put(record, each.token);
    put(record, each.lock);
  }
  auto const key = key_of(agent_.id());
  CommandBuffer commands;
  commands.add(std::initializer_list<Argument>{"HSET", key, thread_, record});
  commands.add(std::initializer_list<Argument>{"PEXPIRE", key, milliseconds{remembered}.count()});
  for (auto const& reply : core_.ask_all(commands, until)) reply.throw_if_error(key);
}

/// Who holds `lock`, if that one has said that it waits.
std::optional<DeadlockCheck::Member> DeadlockCheck::holder_of(std::string const& lock,
                                                              Deadline until) const {
  CommandBuffer get;
  get.add(std::initializer_list<Argument>{"GET", lock});
  auto const owner = core_.ask(get, until, Repeat::safe);
  if (owner.kind() != ReplyKind::text) return std::nullopt;
  auto const token = owner.as<std::string>();
  auto const who = Identity::of(token);
  if (!who) return std::nullopt;
  CommandBuffer waits;
  waits.add(std::initializer_list<Argument>{"HGETALL", key_of(who->client)});
  auto const all = core_.ask(waits, until, Repeat::safe);
  all.throw_if_error("HGETALL");
  for (std::size_t i = 0; i + 1 < all.size(); i += 2) {
    auto rest = all[i + 1].as<std::string_view>();
    Member out{.client = std::string{who->client},
               .thread = all[i].as<std::string>(),
               .id = take(rest),
               .waits_for = take(rest),
               .token = token,
               .holds = {}};
    while (!rest.empty()) {
      auto const held = take(rest);
      out.holds = take(rest);
      if (held == token && out.holds == lock) return out;
    }
  }
  return std::nullopt;
}

/// Follows the edges from this thread, until one leads back to it.
std::optional<DeadlockCheck::Circle> DeadlockCheck::find(Deadline until) const {
  Circle out;
  auto lock = waiter_.keys().lock;
  for (int i = 0; i < longest_chain; ++i) {
    auto next = holder_of(lock, until);
    if (!next) return std::nullopt;
    out.members.push_back(std::move(*next));
    auto const& last = out.members.back();
    if (last.id == id_) return out;
    lock = last.waits_for;
  }
  return std::nullopt;  // or it waits for a circle that it is no part of
}

}  // namespace tandem::detail
