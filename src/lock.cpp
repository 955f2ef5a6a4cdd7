#include "tandem/lock.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "locking/acquisition.hpp"
#include "locking/agent.hpp"
#include "scripts.hpp"

namespace tandem {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

void require(bool fulfilled, std::string_view name, std::string_view what) {
  if (!fulfilled) throw std::invalid_argument{fmt::format("tandem: lock \"{}\": {}", name, what)};
}

/// Threads meet where these are the same: what one of them acquired is what any of them would have.
std::string site_of(std::string_view name, LockOptions const& options) {
  return fmt::format("{} {} {} {} {} {} {} {}", options.lease.count(), options.renew,
                     options.yield_to_foreign, options.yield_for.count(), options.linger.count(),
                     options.local_passes, options.local_time.count(), name);
}

std::shared_ptr<detail::LockKeys const> keys_of(std::string_view name, LockOptions const& options) {
  detail::LockKeys keys{name, detail::lock_kind};
  keys.site = site_of(name, options);
  return std::make_shared<detail::LockKeys const>(std::move(keys));
}

/// Of lock/owner's answer; empty when nobody holds the lock.
std::optional<Owner> read_owner(Reply const& reply) {
  if (reply.size() == 0) return std::nullopt;
  Owner out;
  out.token = reply[0].as<std::string>();
  out.waiters = reply[3].as<std::size_t>();
  if (auto const left = reply[1].as<long long>(); left >= 0) out.lease_left = milliseconds{left};
  auto const since = reply[2].as<long long>();
  auto const who = detail::Identity::of(out.token);
  if (since == 0 || !who) return out;  // a stranger's token says nothing
  out.since = std::chrono::system_clock::time_point{milliseconds{since}};
  out.pid = who->pid;
  out.host = who->host;
  out.client_name = who->name;
  return out;
}

}  // namespace

Lock::Lock(Client client, std::string_view name, LockOptions options)
    : client_{std::move(client)}, keys_{keys_of(name, options)}, options_{options} {
  using std::chrono::hours;
  require(!name.empty(), name, "the name is empty; any bytes will do");
  require(options.lease >= milliseconds{10} && options.lease <= hours{24}, name,
          fmt::format("the lease is {} ms; accepted is 10 ms to 24 h", options.lease.count()));
  require(options.yield_for >= milliseconds{1} && options.yield_for <= hours{24}, name,
          fmt::format("yield_for is {} ms; accepted is 1 ms to 24 h", options.yield_for.count()));
  require(options.linger >= milliseconds{0} && options.linger <= hours{1}, name,
          fmt::format("linger is {} ms; accepted is 0 to 1 h", options.linger.count()));
  require(options.linger.count() == 0 || (options.renew && options.yield_to_foreign == 0), name,
          "linger goes neither without renew nor with yield_to_foreign");
  require(options.deadlock_after.count() == 0 ||
              (options.deadlock_after >= milliseconds{10} && options.deadlock_after <= hours{1}),
          name,
          fmt::format("deadlock_after is {} ms; accepted is 0, and 10 ms to 1 h",
                      options.deadlock_after.count()));
  require(options.local_time >= milliseconds{0} && options.local_time <= hours{1}, name,
          fmt::format("local_time is {} ms; accepted is 0 to 1 h", options.local_time.count()));
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
  detail::LockTerms const terms{.lease = options_.lease,
                                .renew = options_.renew,
                                .deadlock_after = options_.deadlock_after,
                                .linger = options_.linger,
                                .local_passes = options_.local_passes,
                                .local_time = options_.local_time,
                                .yield_to_foreign = options_.yield_to_foreign,
                                .yield_for = options_.yield_for};
  detail::Acquisition acquisition{client_.core(), keys_, terms};
  auto lease = wait == Wait::no ? acquisition.try_once() : acquisition.wait(deadline, stop);
  if (!lease) return std::nullopt;
  return Hold{client_, std::move(lease)};
}

std::optional<Owner> Lock::owner() const {
  auto& core = client_.core();
  auto const keys = keys_->all();
  return read_owner(core.run(scripts::lock_owner, keys, {}, core.deadline()));
}

std::vector<LockWaiter> Lock::waiters(std::size_t most) const {
  auto& core = client_.core();
  std::string_view const keys[] = {keys_->waiters};
  Argument const arguments[] = {most};
  if (most == 0) return {};
  auto const reply = core.run(scripts::lock_waiters, keys, arguments, core.deadline());
  auto const now = reply[0].as<long long>();
  std::vector<LockWaiter> out;
  for (std::size_t i = 1; i + 1 < reply.size(); i += 2) {
    LockWaiter each;
    each.token = reply[i].as<std::string>();
    each.age = std::chrono::microseconds{std::max(0LL, now - reply[i + 1].as<long long>())};
    if (auto const who = detail::Identity::of(each.token)) {
      each.pid = who->pid;
      each.host = who->host;
      each.client_name = who->name;
    }
    out.push_back(std::move(each));
  }
  return out;
}

std::vector<HeldLock> locks(Client const& client, std::string_view pattern) {
  auto& core = client.core();
  std::map<std::string, Owner> found;  // SCAN may name a key twice
  std::string cursor = "0";
  do {
    CommandBuffer scan;
    scan.add(std::initializer_list<Argument>{"SCAN", cursor, "MATCH", pattern, "COUNT", 1000,
                                             "TYPE", "string"});
    auto const page = core.ask(scan, core.deadline(), detail::Repeat::safe);
    page.throw_if_error("SCAN");
    cursor = page[0].as<std::string>();
    auto const names = page[1].as<std::vector<std::string>>();
    if (names.empty()) continue;
    CommandBuffer ask;
    for (auto const& name : names) {
      detail::LockKeys const keys{name, detail::lock_kind};
      // The first one teaches the server the script, should it have forgotten it.
      detail::add_script(ask, scripts::lock_owner, ask.count() > 0, keys.all(), {});
    }
    auto const answers = core.ask_all(ask, core.deadline());
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (answers[i].is_error()) continue;  // another kind of key by now
      auto owner = read_owner(answers[i]);
      if (owner && owner->since) found.insert_or_assign(names[i], *std::move(owner));
    }
  } while (cursor != "0");
  std::vector<HeldLock> out;
  for (auto& [name, owner] : found) out.push_back({name, std::move(owner)});
  return out;
}

}  // namespace tandem
