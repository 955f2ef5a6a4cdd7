#include "locking/owners.hpp"

#include <algorithm>
#include <utility>

#include "locking/identity.hpp"
#include "scripts.hpp"

namespace tandem::detail {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Says of `out` what its token tells.
template <class Someone>
bool name(Someone& out) {
  auto const who = Identity::of(out.token);
  if (!who) return false;
  out.pid = who->pid;
  out.host = who->host;
  out.client_name = who->name;
  return true;
}

}  // namespace

std::optional<Owner> read_owner(Reply const& reply) {
  if (reply.size() == 0) return std::nullopt;
  Owner out;
  out.token = reply[0].as<std::string>();
  out.waiters = reply[3].as<std::size_t>();
  if (auto const left = reply[1].as<long long>(); left >= 0) out.lease_left = milliseconds{left};
  auto const since = reply[2].as<long long>();
  if (since == 0 || !name(out)) return out;  // a stranger's token says nothing
  out.since = std::chrono::system_clock::time_point{milliseconds{since}};
  return out;
}

std::optional<Owner> owner_of(Core& core, LockKeys const& keys) {
  return read_owner(core.run(scripts::lock_owner, keys.all(), {}, core.deadline()));
}

std::vector<Owner> read_holders(Reply const& reply) {
  std::vector<Owner> out;
  for (std::size_t i = 2; i + 2 < reply.size(); i += 3) {
    Owner each;
    each.token = reply[i].as<std::string>();
    if (!name(each)) continue;  // of another kind of sorted set
    each.lease_left = milliseconds{reply[i + 1].as<long long>()};
    each.since = std::chrono::system_clock::time_point{microseconds{reply[i + 2].as<long long>()}};
    each.waiters = reply[1].as<std::size_t>();
    out.push_back(std::move(each));
  }
  return out;
}

std::vector<Owner> holders_of(Core& core, LockKeys const& keys, std::size_t most) {
  if (most == 0) return {};
  Argument const arguments[] = {most};
  return read_holders(core.run(scripts::permits_holders, keys.all(), arguments, core.deadline()));
}

std::vector<LockWaiter> waiters_of(Core& core, LockKeys const& keys, std::size_t most) {
  if (most == 0) return {};
  std::string_view const waiters[] = {keys.waiters};
  Argument const arguments[] = {most};
  auto const reply = core.run(scripts::lock_waiters, waiters, arguments, core.deadline());
  auto const now = reply[0].as<long long>();
  std::vector<LockWaiter> out;
  for (std::size_t i = 1; i + 1 < reply.size(); i += 2) {
    LockWaiter each;
    each.token = reply[i].as<std::string>();
    each.age = microseconds{std::max(0LL, now - reply[i + 1].as<long long>())};
    name(each);
    out.push_back(std::move(each));
  }
  return out;
}

}  // namespace tandem::detail
