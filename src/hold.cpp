#include "tandem/hold.hpp"

#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "lock_agent.hpp"
#include "scripts.hpp"

namespace tandem {
namespace {

using std::chrono::steady_clock;

detail::LockAgent& agent_of(Client const& client) {
  return client.core().service<detail::LockAgent>();
}

Release ask_to_release(detail::Core& core, detail::Lease const& lease) {
  auto const keys = lease.keys->all();
  Argument const arguments[] = {lease.token, detail::grant_time.count(), lease.yield_to_foreign,
                                lease.yield_for.count(), lease.fence};
  auto const reply = core.run(scripts::lock_release, keys, arguments, core.deadline());
  switch (reply.as<int>()) {
    case 0:
      return Release::expired;
    case 1:
      return Release::released;
    default:
      return Release::taken_over;
  }
}

/// `fault`, of a release, as one that says which lock it is about.
Error not_given_back(std::string_view lock, Error const& fault) {
  auto const text = fmt::format("tandem: lock \"{}\" could not be given back, and will be: {}",
                                lock, fault.what());
  return fault.in_doubt() ? static_cast<Error>(InDoubt{text}) : Error{text};
}

}  // namespace

Hold::Hold(Hold&& other) noexcept = default;

Hold& Hold::operator=(Hold&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  client_ = std::move(other.client_);
  lease_ = std::move(other.lease_);
  outcome_ = std::exchange(other.outcome_, std::nullopt);
  return *this;
}

Hold::~Hold() { give_back(); }

std::uint64_t Hold::fence() const noexcept { return lease_ ? lease_->fence : 0; }

Deadline Hold::valid_until() const noexcept {
  return lease_ ? lease_->valid_until.load() : Deadline{};
}

bool Hold::held() const noexcept { return lease_ && lease_->trusted(steady_clock::now()); }

std::stop_token Hold::stop_token() const {
  if (!lease_) return {};
  if (lease_->generation == detail::fork_generation() && !lease_->over.load()) {
    auto& agent = agent_of(*client_);
    agent.start();
    agent.keep(lease_);
  }
  return lease_->stop.get_token();
}

Release Hold::release() noexcept {
  if (outcome_) return *outcome_;
  if (!lease_ || lease_->generation != detail::fork_generation()) return Release::unknown;
  auto& core = client_->core();
  auto& agent = agent_of(*client_);
  agent.forget(*lease_);
  lease_->over = true;
  try {
    outcome_ = ask_to_release(core, *lease_);
  } catch (Error const& fault) {
    outcome_ = Release::unknown;
    core.options().report(not_given_back(lease_->keys->lock, fault));
    try {
      agent.give_back_later(lease_->keys, lease_->token, {});
    } catch (std::exception const&) {
      // No memory or no thread for it: the lease ends by itself.
    }
  } catch (std::exception const&) {
    outcome_ = Release::unknown;  // out of memory: the lease ends by itself
  }
  return *outcome_;
}

void Hold::give_back() noexcept {
  if (!lease_ || outcome_ || lease_->generation != detail::fork_generation()) return;
  auto const found = release();
  if (found != Release::expired && found != Release::taken_over) return;
  try {
    client_->options().report(LockLost{fmt::format(
        "tandem: the hold of lock \"{}\" was lost before its release: {}", lease_->keys->lock,
        found == Release::expired ? "its lease ended" : "somebody else holds the lock")});
  } catch (std::exception const&) {
    // Out of memory for the text.
  }
}

}  // namespace tandem
