#include "locking/deadlock.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/core.hpp"
#include "scripts.hpp"

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
// Taking back what was said may outlive the deadline by so much.
constexpr milliseconds to_take_back{20};
// What a process that died has said is forgotten after this.
constexpr seconds remembered{60};
// Of those who wait for one another; where there are more, no deadlock is found.
constexpr std::size_t largest_picture = 100;

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

namespace {

/// One who waits and holds, as it said on the server.
struct Member {
  std::string client{};
  std::string thread{};
  std::string id{};  // of its wait
  LockTerms::Needs needs = LockTerms::Needs::all_holders;
  bool of_permits = false;
  std::string waits_for{};                                  // a lock's name
  std::vector<std::pair<std::string, std::string>> held{};  // tokens, and of which locks

  [[nodiscard]] std::string name() const { return client + "/" + thread; }
  [[nodiscard]] bool holds(std::string const& token, std::string const& lock) const {
    return std::find(held.begin(), held.end(), std::pair{token, lock}) != held.end();
  }
};

// What a member waits for, in the words of its record: holders of a lock, of permits of which it
// needs all, or one.
constexpr std::string_view a_lock = "lock", all_permits = "all", a_permit = "any";

std::string record_of(std::string const& id, LockKeys const& keys, LockTerms::Needs needs,
                      std::vector<LockAgent::Held> const& held) {
  std::string out;
  put(out, id);
  put(out, keys.kind.of_strangers                  ? a_lock
           : needs == LockTerms::Needs::any_holder ? a_permit
                                                   : all_permits);
  put(out, keys.lock);
  for (auto const& each : held) {
    put(out, each.token);
    put(out, each.lock);
  }
  return out;
}

Member read_record(std::string_view client, std::string thread, std::string_view record) {
  Member out{.client = std::string{client}, .thread = std::move(thread)};
  out.id = take(record);
  auto const what = take(record);
  out.of_permits = what != a_lock;
  if (what == a_permit) out.needs = LockTerms::Needs::any_holder;
  out.waits_for = take(record);
  while (!record.empty()) {
    auto token = take(record);
    out.held.emplace_back(std::move(token), take(record));
  }
  return out;
}

}  // namespace

struct DeadlockCheck::Circle {
  struct Link {
    Member member;
    std::set<std::string> holds{};   // those locks for which others of the circle wait
    std::set<std::string> tokens{};  // and with what it holds them
  };
  std::vector<Link> links;  // where there is but one way round, each waits for what the next holds

  [[nodiscard]] std::string signature() const {
    std::set<std::string> all;
    for (auto const& each : links) {
      auto text = each.member.id;
      for (auto const& token : each.tokens) text += " " + token;
      all.insert(std::move(text));
    }
    std::string out;
    for (auto const& each : all) put(out, each);
    return out;
  }
  [[nodiscard]] Member const& victim() const {
    return std::max_element(links.begin(), links.end(),
                            [](auto const& one, auto const& other) {
                              return one.member.name() < other.member.name();
                            })
        ->member;
  }
  [[nodiscard]] std::string in_words() const {
    std::string out = "tandem: deadlock:";
    for (auto const& each : links) {
      auto const who = Identity::of(*each.tokens.begin());
      out += fmt::format("{} {}{}{} (pid {}, thread {}) holds \"{}\" and waits for \"{}\"",
                         &each == links.data() ? "" : ";", who ? who->name : "",
                         who && !who->name.empty() ? " on " : "", who ? who->host : "?",
                         who ? who->pid : 0, each.member.thread, fmt::join(each.holds, "\", \""),
                         each.member.waits_for);
    }
    return out;
  }
};

/// Who waits for whom, as far as it can be followed from one wait.
class DeadlockCheck::Picture {
 public:
  Picture(Core& core, Deadline until) : core_{core}, until_{until} {}

  /// Empty when the wait called `id`, of `client`, is part of none.
  [[nodiscard]] std::optional<Circle> circle_of(std::string_view client, std::string const& id);

 private:
  struct Edge {
    std::size_t to;
    std::string token;  // that it holds
  };
  struct Node {
    Member member;
    std::vector<Edge> edges{};
    bool has_way_out = false;  // one of the holders does not wait
    bool stuck = true;
  };

  [[nodiscard]] std::vector<std::string> holders_of(Member const& member);
  [[nodiscard]] std::vector<Member> const& members_of(std::string_view client);
  void follow(std::size_t from);
  void reduce();
  [[nodiscard]] std::set<std::size_t> reached_from(std::size_t start) const;
  [[nodiscard]] std::size_t number_of(Member const& member);

  Core& core_;
  Deadline until_;
  std::map<std::string, std::vector<Member>, std::less<>> known_{};
  std::vector<Node> nodes_{};
};

std::vector<std::string> DeadlockCheck::Picture::holders_of(Member const& member) {
  LockKeys const keys{member.waits_for, member.of_permits ? permits_kind : lock_kind};
  if (member.of_permits) {
    Argument const most[] = {largest_picture};
    auto const reply = core_.run(scripts::permits_holders, keys.all(), most, until_);
    std::vector<std::string> out;
    for (std::size_t i = 2; i + 2 < reply.size(); i += 3) out.push_back(reply[i].as<std::string>());
    return out;
  }
  CommandBuffer get;
  get.add(std::initializer_list<Argument>{"GET", keys.lock});
  auto const owner = core_.ask(get, until_, Repeat::safe);
  if (owner.kind() != ReplyKind::text) return {};
  return {owner.as<std::string>()};
}

/// Those threads of `client` that have said that they wait.
std::vector<Member> const& DeadlockCheck::Picture::members_of(std::string_view client) {
  if (auto const found = known_.find(client); found != known_.end()) return found->second;
  CommandBuffer waits;
  waits.add(std::initializer_list<Argument>{"HGETALL", key_of(client)});
  auto const all = core_.ask(waits, until_, Repeat::safe);
  all.throw_if_error("HGETALL");
  std::vector<Member> out;
  for (std::size_t i = 0; i + 1 < all.size(); i += 2) {
    out.push_back(read_record(client, all[i].as<std::string>(), all[i + 1].as<std::string_view>()));
  }
  return known_.emplace(client, std::move(out)).first->second;
}

std::size_t DeadlockCheck::Picture::number_of(Member const& member) {
  auto const found = std::find_if(nodes_.begin(), nodes_.end(),
                                  [&](Node const& each) { return each.member.id == member.id; });
  if (found != nodes_.end()) return static_cast<std::size_t>(found - nodes_.begin());
  nodes_.push_back({member});
  return nodes_.size() - 1;
}

/// Adds those for whom the node `from` waits.
void DeadlockCheck::Picture::follow(std::size_t from) {
  auto const waiting = nodes_[from].member;  // adding may move the nodes
  auto const tokens = holders_of(waiting);
  // Where more hold than are looked at, one of them may go on.
  if (tokens.empty() || tokens.size() >= largest_picture) nodes_[from].has_way_out = true;
  for (auto const& token : tokens) {
    auto const who = Identity::of(token);
    Member const* holder = nullptr;
    if (who) {
      for (auto const& each : members_of(who->client)) {
        if (each.holds(token, waiting.waits_for)) holder = &each;
      }
    }
    if (holder == nullptr) {
      nodes_[from].has_way_out = true;
    } else {
      auto const to = number_of(*holder);
      nodes_[from].edges.push_back({to, token});
    }
  }
}

/// Takes out who will have its turn, until nobody is left but those who wait for one another.
void DeadlockCheck::Picture::reduce() {
  for (bool changed = true; changed;) {
    changed = false;
    for (auto& node : nodes_) {
      if (!node.stuck) continue;
      auto const stuck = std::count_if(node.edges.begin(), node.edges.end(),
                                       [&](Edge const& each) { return nodes_[each.to].stuck; });
      bool const any = node.member.needs == LockTerms::Needs::any_holder;
      bool const all_are = static_cast<std::size_t>(stuck) == node.edges.size();
      node.stuck = any ? all_are && !node.has_way_out : stuck > 0;
      changed = changed || !node.stuck;
    }
  }
}

/// Over those who are stuck, by one step at least.
std::set<std::size_t> DeadlockCheck::Picture::reached_from(std::size_t start) const {
  std::set<std::size_t> out;
  std::vector<std::size_t> next{start};
  while (!next.empty()) {
    auto const at = next.back();
    next.pop_back();
    for (auto const& edge : nodes_[at].edges) {
      if (nodes_[edge.to].stuck && out.insert(edge.to).second) next.push_back(edge.to);
    }
  }
  return out;
}

std::optional<DeadlockCheck::Circle> DeadlockCheck::Picture::circle_of(std::string_view client,
                                                                       std::string const& id) {
  auto const& own = members_of(client);
  auto const self = std::find_if(own.begin(), own.end(), [&](auto const& e) { return e.id == id; });
  if (self == own.end()) return std::nullopt;
  (void)number_of(*self);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_.size() > largest_picture) return std::nullopt;
    follow(i);
  }
  reduce();
  auto const ahead = reached_from(0);
  if (!nodes_[0].stuck || !ahead.contains(0)) return std::nullopt;  // it may wait for a circle
  std::set<std::size_t> together;
  for (auto const each : ahead) {
    if (reached_from(each).contains(0)) together.insert(each);
  }

  // From the one for whom this one waits, on and on; this one comes last.
  std::vector<std::size_t> order;
  std::set<std::size_t> left = together;
  left.erase(0);
  for (std::size_t at = 0; !left.empty(); at = order.back()) {
    auto const& edges = nodes_[at].edges;
    auto const next = std::find_if(edges.begin(), edges.end(),
                                   [&](Edge const& each) { return left.contains(each.to); });
    order.push_back(next == edges.end() ? *left.begin() : next->to);
    left.erase(order.back());
  }
  order.push_back(0);

  Circle out;
  for (auto const number : order) out.links.push_back({nodes_[number].member});
  for (auto const from : together) {
    for (auto const& edge : nodes_[from].edges) {
      auto const at = std::find(order.begin(), order.end(), edge.to);
      if (at == order.end()) continue;
      auto& link = out.links[static_cast<std::size_t>(at - order.begin())];
      link.holds.insert(nodes_[from].member.waits_for);
      link.tokens.insert(edge.token);
    }
  }
  return out;
}

DeadlockCheck::DeadlockCheck(Core& core, LockAgent& agent, Waiter& waiter, LockTerms const& terms,
                             Deadline deadline)
    : core_{core},
      agent_{agent},
      waiter_{waiter},
      needs_{terms.needs()},
      after_{terms.deadlock_after},
      deadline_{deadline},
      thread_{std::to_string(this_thread_number())},
      pause_{after_} {
  if (pause_.count() > 0) waiter_.check_at(steady_clock::now() + pause_);
}

DeadlockCheck::~DeadlockCheck() { take_back(); }

void DeadlockCheck::take_back() noexcept try {
  if (id_.empty()) return;
  agent_.wait_is_over(std::exchange(id_, {}));
  auto const now = steady_clock::now();
  auto const key = key_of(agent_.id());
  try {
    CommandBuffer forget;
    forget.add(std::initializer_list<Argument>{"HDEL", key, thread_});
    (void)core_.ask(forget, std::max(now + to_take_back, std::min(deadline_, now + longest_look)),
                    Repeat::safe);
  } catch (Error const&) {
    agent_.take_back_later(key, thread_, now + remembered);
  }
} catch (std::exception const&) {
  // No memory: the server forgets it by itself.
}

void DeadlockCheck::turn(std::string_view token, std::span<std::string_view const> held) {
  if (held.size() == so_far_.size()) return;
  so_far_.clear();
  for (auto const& each : held) so_far_.push_back({std::string{token}, std::string{each}});
  // Of a circle that this closes nobody else may look again for long.
  if (after_.count() == 0) return;
  pause_ = after_;
  waiter_.check_at(steady_clock::now() + pause_);
}

void DeadlockCheck::look() {
  auto held = agent_.held_by(this_thread_number());
  held.insert(held.end(), so_far_.begin(), so_far_.end());
  if (held.empty())
    return;  // nobody can be waiting for this thread, which is not going to hold more
  auto const until = std::min(deadline_, steady_clock::now() + longest_look);
  try {
    publish(held, until);
    auto const circle = Picture{core_, until}.circle_of(agent_.id(), id_);
    auto const signature = circle ? circle->signature() : std::string{};
    bool const real = circle && signature == seen_;
    if (real && circle->victim().id == id_) {
      take_back();
      waiter_.check_at(steady_clock::now() + after_);  // it may be too late to give up
      throw Deadlock{circle->in_words()};
    }
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
    agent_.tell_when_to_check(id_, thread_, waiter_);
  }
  auto const record = record_of(id_, waiter_.keys(), needs_, held);
  auto const key = key_of(agent_.id());
  CommandBuffer commands;
  commands.add(std::initializer_list<Argument>{"HSET", key, thread_, record});
  commands.add(std::initializer_list<Argument>{"PEXPIRE", key, milliseconds{remembered}.count()});
  for (auto const& reply : core_.ask_all(commands, until)) reply.throw_if_error(key);
}

}  // namespace tandem::detail
