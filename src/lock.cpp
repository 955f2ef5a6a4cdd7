#include "tandem/lock.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "lock_agent.hpp"
#include "scripts.hpp"

// How a lock is acquired: ask (src/lua/lock/acquire.lua); if it is taken, stand in the queue and
// sleep; ask again when a message, a timer or a reconnection says that the answer may be another.
// Whatever wakes a waiter, only the server's answer to its own question makes it a holder, so a
// message that was lost, late or wrong costs time and no safety.

namespace tandem {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What a call may outlive its deadline by, so that its last word with the server can be an answer.
constexpr milliseconds courtesy{40};

struct Answer {
  bool held = false;
  std::uint64_t fence = 0;
  milliseconds left{};
  bool leads = false;
  bool left_free = false;  // for strangers: there is nothing to look at before `left` is over
};

Answer read(Reply const& reply) {
  if (reply[0].as<int>() == 1) return {.held = true, .fence = reply[1].as<std::uint64_t>()};
  return {.left = milliseconds{std::max(0LL, reply[1].as<long long>())},
          .leads = reply[2].as<int>() == 1,
          .left_free = reply[3].as<std::string_view>().empty()};
}

/// Registered with the agent for as long as it waits.
class Enlisted {
 public:
  Enlisted(detail::LockAgent& agent, detail::Waiter& waiter) : agent_{agent}, waiter_{waiter} {
    agent_.enlist(waiter_);
  }
  ~Enlisted() { agent_.delist(waiter_); }
  Enlisted(Enlisted const&) = delete;
  Enlisted& operator=(Enlisted const&) = delete;

 private:
  detail::LockAgent& agent_;
  detail::Waiter& waiter_;
};

/// One acquisition on its way.
class Attempt {
 public:
  Attempt(detail::Core& core, std::shared_ptr<detail::LockKeys const> keys,
          LockOptions const& options)
      : core_{core},
        agent_{core.service<detail::LockAgent>()},
        keys_{std::move(keys)},
        options_{options} {}

  /// One round trip. What it leaves in doubt is given back in the background.
  [[nodiscard]] std::shared_ptr<detail::Lease> ask(bool join, Deadline deadline);

  /// Out of the queue, or gives back what was granted meanwhile. Within `courtesy`, of now and of
  /// `deadline` if that has passed; or in the background.
  void leave(Deadline deadline) noexcept;

  [[nodiscard]] Answer const& answer() const noexcept { return answer_; }
  [[nodiscard]] Deadline asked_at() const noexcept { return asked_at_; }
  [[nodiscard]] std::string_view token() const noexcept { return token_; }
  [[nodiscard]] detail::LockAgent& agent() const noexcept { return agent_; }

 private:
  /// `length`: for how long a request that is in doubt is waited for, should it come after all.
  void give_back_later(milliseconds length) noexcept;

  detail::Core& core_;
  detail::LockAgent& agent_;
  std::shared_ptr<detail::LockKeys const> keys_;
  LockOptions const& options_;
  std::string token_ = agent_.fresh_token();
  bool queued_ = false;
  Answer answer_{};
  Deadline asked_at_{};
};

std::shared_ptr<detail::Lease> Attempt::ask(bool join, Deadline deadline) {
  auto const keys = keys_->all();
  Argument const arguments[] = {token_, options_.lease.count(), join ? 1 : 0,
                                detail::grant_time.count()};
  asked_at_ = steady_clock::now();
  deadline = std::max(std::min(deadline, core_.deadline()), asked_at_ + courtesy);
  try {
    answer_ = read(core_.run(scripts::lock_acquire, keys, arguments, deadline));
  } catch (Error const& fault) {
    if (queued_ || fault.in_doubt()) give_back_later(std::max(options_.lease, detail::grant_time));
    throw;
  }
  queued_ = queued_ || join || answer_.held;
  if (!answer_.held) return nullptr;
  auto lease =
      std::make_shared<detail::Lease>(keys_, token_, answer_.fence, options_.lease, options_.renew);
  lease->yield_to_foreign = options_.yield_to_foreign;
  lease->yield_for = options_.yield_for;
  lease->extend_from(asked_at_);
  return lease;
}

void Attempt::give_back_later(milliseconds length) noexcept try {
  agent_.give_back_later(keys_, token_, length);
} catch (std::exception const&) {
  // No memory or no thread for it: the lease ends by itself, and the grant.
}

void Attempt::leave(Deadline deadline) noexcept {
  if (!std::exchange(queued_, false)) return;
  auto const now = steady_clock::now();
  auto const late = std::min(std::max(now - deadline, steady_clock::duration::zero()),
                             steady_clock::duration{courtesy});
  auto const keys = keys_->all();
  Argument const arguments[] = {token_, detail::grant_time.count(), options_.yield_to_foreign,
                                options_.yield_for.count(), 0};
  try {
    (void)core_.run(scripts::lock_release, keys, arguments, now + courtesy - late);
  } catch (std::exception const&) {
    give_back_later({});
  }
}

void require(bool fulfilled, std::string_view name, std::string_view what) {
  if (!fulfilled) throw std::invalid_argument{fmt::format("tandem: lock \"{}\": {}", name, what)};
}

}  // namespace

Lock::Lock(Client client, std::string_view name, LockOptions options)
    : client_{std::move(client)},
      keys_{std::make_shared<detail::LockKeys const>(name)},
      options_{options} {
  require(!name.empty(), name, "the name is empty; any bytes will do");
  require(options.lease >= milliseconds{10} && options.lease <= std::chrono::hours{24}, name,
          fmt::format("the lease is {} ms; accepted is 10 ms to 24 h", options.lease.count()));
  require(options.yield_for >= milliseconds{1} && options.yield_for <= std::chrono::hours{24}, name,
          fmt::format("yield_for is {} ms; accepted is 1 ms to 24 h", options.yield_for.count()));
}

std::string const& Lock::name() const noexcept { return keys_->lock; }

std::optional<Hold> Lock::try_acquire() const { return take(Wait::no, Deadline::max(), {}); }

std::optional<Hold> Lock::try_acquire_until(Deadline deadline) const {
  if (deadline <= steady_clock::now()) return try_acquire();
  return take(Wait::yes, deadline, {});
}

Hold Lock::acquire() const { return *take(Wait::yes, Deadline::max(), {}); }

std::optional<Hold> Lock::acquire(std::stop_token stop) const {
  return take(Wait::yes, Deadline::max(), stop);
}

std::optional<Hold> Lock::take(Wait wait, Deadline deadline, std::stop_token const& stop) const {
  Attempt attempt{client_.core(), keys_, options_};
  auto& agent = attempt.agent();
  if (wait == Wait::yes || options_.renew) agent.start();
  detail::Waiter waiter{*keys_, attempt.token()};
  // Before it can be granted anything: a grant that finds nobody is taken for a dead waiter's.
  std::optional<Enlisted> enlisted;
  if (wait == Wait::yes) enlisted.emplace(agent, waiter);

  for (;;) {
    // Queued without being able to hear, it would be passed over; so it asks, and joins when it is
    // told it can hear.
    bool const join = wait == Wait::yes && agent.listening();
    if (auto const lease = attempt.ask(join, deadline)) {
      if (lease->trusted(steady_clock::now())) {
        if (options_.renew) agent.keep(lease);
        return Hold{client_, lease};
      }
      // The answer took so long that the lease may be over. To ask again is to renew it.
      if (wait == Wait::yes && steady_clock::now() < deadline && !stop.stop_requested()) continue;
      attempt.leave(deadline);
      return std::nullopt;
    }
    if (wait == Wait::no) return std::nullopt;
    auto const& answer = attempt.answer();
    agent.expect(waiter, attempt.asked_at() + answer.left, answer.leads, answer.left_free);
    switch (waiter.wait(deadline, stop)) {
      case detail::Waiter::Woken::to_ask:
        break;
      case detail::Waiter::Woken::by_refusal:
        attempt.leave(deadline);
        throw *waiter.refusal();
      case detail::Waiter::Woken::by_deadline:
      case detail::Waiter::Woken::by_stop:
        attempt.leave(deadline);
        return std::nullopt;
    }
  }
}

std::optional<Owner> Lock::owner() const {
  auto& core = client_.core();
  auto const keys = keys_->all();
  auto const reply = core.run(scripts::lock_owner, keys, {}, core.deadline());
  if (reply.size() == 0) return std::nullopt;
  Owner out;
  out.token = reply[0].as<std::string>();
  out.waiters = reply[3].as<std::size_t>();
  if (auto const left = reply[1].as<long long>(); left >= 0) out.lease_left = milliseconds{left};
  auto const since = reply[2].as<long long>();
  if (since == 0) return out;  // a stranger's token says nothing
  out.since = std::chrono::system_clock::time_point{milliseconds{since}};
  // <client>/<number>/<pid>/<host>/<client name>
  std::string_view rest = out.token;
  auto const next = [&rest] {
    auto const end = rest.find('/');
    auto const part = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    return part;
  };
  (void)next();
  (void)next();
  auto const pid = next();
  std::from_chars(pid.data(), pid.data() + pid.size(), out.pid);
  out.host = next();
  out.client_name = rest;
  return out;
}

}  // namespace tandem
