#include "locking/downgrade.hpp"

#include <fmt/core.h>

#include "locking/agent.hpp"
#include "scripts.hpp"

namespace tandem::detail {
namespace {

using std::chrono::steady_clock;

/// Its site knows it no more, and nobody renews it.
void end(LockAgent& agent, Lease& lease) noexcept {
  agent.renewals().forget(lease);
  lease.over = true;
  auto const site = lease.site;
  if (site->leave(lease, steady_clock::now()) == Site::Parting::to_be_given_back) {
    (void)site->go_on({});
  }
  agent.tidy(site);
}

}  // namespace

std::shared_ptr<Lease> downgrade(Core& core, std::shared_ptr<Lease> const& alone) {
  auto& agent = core.service<LockAgent>();
  if (!alone->trusted(steady_clock::now())) {
    if (alone->generation == fork_generation()) end(agent, *alone);
    throw LockLost{fmt::format("tandem: lock \"{}\" is not held any more", alone->keys->lock)};
  }
  std::string token;
  std::shared_ptr<Site> site;
  try {
    token = agent.fresh_token(TokenKind::shared);
    site = agent.own_site();
    auto const asked_at = steady_clock::now();
    Argument const arguments[] = {alone->token, token, alone->length.count(), grant_time.count()};
    auto const reply =
        core.run(scripts::permits_downgrade, alone->keys->all(), arguments, core.deadline());
    if (reply[0].as<int>() == 0) {
      throw LockLost{fmt::format("tandem: lock \"{}\" is not held any more", alone->keys->lock)};
    }
    auto lease = std::make_shared<Lease>(alone->keys, token, reply[1].as<std::uint64_t>(),
                                         alone->length, alone->renew);
    lease->extend_from(asked_at);
    site->occupy(lease, asked_at, true);
    if (lease->renew) agent.renewals().keep(lease);
    end(agent, *alone);
    return lease;
  } catch (...) {
    end(agent, *alone);
    if (site) agent.tidy(site);
    agent.give_back_later(alone->keys, alone->token, alone->length);
    if (!token.empty()) agent.give_back_later(alone->keys, token, alone->length);
    throw;
  }
}

}  // namespace tandem::detail
