#include "tandem/hold.hpp"

#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "core/core.hpp"
#include "locking/agent.hpp"
#include "locking/release.hpp"

namespace tandem {
namespace {

using std::chrono::steady_clock;

// What lock/commit can take apart: Lua's stack has room for 8,000 values.
constexpr std::size_t most_words = 7000;

detail::LockAgent& agent_of(Client const& client) {
  return client.core().service<detail::LockAgent>();
}

/// `fault`, of a release, as one that says which lock it is about.
Error not_given_back(detail::LockKeys const& keys, Error const& fault) {
  auto const text = fmt::format("tandem: {} could not be given back, and will be: {}",
                                keys.in_words(), fault.what());
  return fault.in_doubt() ? static_cast<Error>(InDoubt{text}) : Error{text};
}

/// The words of commands as lock/commit wants them; owns their text.
class Guarded final : public Transaction {
 public:
  explicit Guarded(detail::Core& core) : core_{core} {}

  [[nodiscard]] std::vector<std::string> const& words() const noexcept { return words_; }

 private:
  Reply read_words(std::span<Argument const> words) override {
    CommandBuffer command;
    command.add(words);
    auto reply = core_.ask(command, core_.deadline(), detail::Repeat::never);
    reply.throw_if_error(words.front().bytes());
    return reply;
  }
  void queue_words(std::span<Argument const> words) override {
    if (words.empty() || words.size() > most_words) {
      throw std::invalid_argument{fmt::format(
          "tandem: commit: a command of {} words; accepted are 1 to {}", words.size(), most_words)};
    }
    words_.push_back(std::to_string(words.size()));
    for (auto const& word : words) words_.emplace_back(word.bytes());
  }

  detail::Core& core_;
  std::vector<std::string> words_{};
};

LockLost lost(detail::Lease const& lease) {
  return LockLost{fmt::format("tandem: {} {} not held any more: nothing was applied",
                              lease.keys->in_words(), lease.keys->several() ? "are" : "is")};
}

Reply run_commit(detail::Core& core, detail::Lease& lease, std::vector<std::string> const& words) {
  auto const keys = lease.keys->to_commit();
  // One after another: the server knows the answer to the last one only.
  std::lock_guard const guard{lease.commit_mutex};
  auto const number = ++lease.commits;
  std::vector<Argument> arguments;
  arguments.reserve(2 + words.size());
  arguments.emplace_back(lease.token);
  arguments.emplace_back(number);
  for (auto const& word : words) arguments.emplace_back(word);
  auto reply = core.run(lease.keys->kind.commit, keys, arguments, core.deadline());
  switch (reply[0].as<int>()) {
    case 0:
      lease.lose(steady_clock::now());
      throw lost(lease);
    case 1: {
      auto elements = std::move(reply).take_elements();
      return std::move(elements.at(1));
    }
    case 2:
      throw ServerError{
          reply[1].as<std::string_view>(),
          fmt::format("commit under {}: nothing was applied", lease.keys->in_words())};
    default:
      throw ServerError{
          reply[1].as<std::string_view>(),
          fmt::format("commit under {} (its other commands were applied)", lease.keys->in_words())};
  }
}

}  // namespace

Hold::Hold(Client client, std::shared_ptr<detail::Lease> lease) noexcept
    : client_{std::move(client)}, lease_{std::move(lease)}, fence_{lease_->fence_of_hold()} {}

Hold::Hold(Hold&& other) noexcept = default;

Hold& Hold::operator=(Hold&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  client_ = std::move(other.client_);
  lease_ = std::move(other.lease_);
  fence_ = other.fence_;
  outcome_ = std::exchange(other.outcome_, std::nullopt);
  return *this;
}

Hold::~Hold() { give_back(); }

std::uint64_t Hold::fence() const noexcept { return lease_ ? fence_ : 0; }

Deadline Hold::valid_until() const noexcept {
  return lease_ && !outcome_ ? lease_->valid_until.load() : Deadline{};
}

bool Hold::held() const noexcept {
  return lease_ && !outcome_ && lease_->trusted(steady_clock::now());
}

std::stop_token Hold::stop_token() const {
  if (!lease_ || outcome_) return {};
  auto token = lease_->watch();
  if (lease_->generation == detail::fork_generation() && !lease_->over.load()) {
    auto& agent = agent_of(*client_);
    agent.start();
    agent.renewals().keep(lease_);
  }
  return token;
}

Reply Hold::execute_with(void (*body)(void*, Transaction&), void* context) const {
  if (!held()) throw lease_ ? lost(*lease_) : LockLost{"tandem: a hold that holds nothing"};
  Guarded transaction{client_->core()};
  body(context, transaction);
  if (transaction.words().empty()) return Reply{nullptr};
  return run_commit(client_->core(), *lease_, transaction.words());
}

Release Hold::release() noexcept {
  if (outcome_) return *outcome_;
  if (!lease_ || lease_->generation != detail::fork_generation()) return Release::unknown;
  auto& agent = agent_of(*client_);
  auto const site = lease_->site;
  using Parting = detail::Site::Parting;
  auto const now = steady_clock::now();
  auto const parting = site->leave(*lease_, now);
  if (parting == Parting::still_inside || parting == Parting::passed_on ||
      parting == Parting::kept) {
    outcome_ = Release::released;
    return *outcome_;
  }
  if (parting == Parting::lost) lease_->lose(now);  // for the other holds of it
  auto& core = client_->core();
  agent.renewals().forget(*lease_);
  lease_->over = true;
  try {
    outcome_ = detail::release(core, *lease_);
  } catch (Error const& fault) {
    outcome_ = Release::unknown;
    core.options().report(not_given_back(*lease_->keys, fault));
    try {
      agent.give_back_later(lease_->keys, lease_->token, {});
    } catch (std::exception const&) {
      // No memory or no thread for it: the lease ends by itself.
    }
  } catch (std::exception const&) {
    outcome_ = Release::unknown;  // out of memory: the lease ends by itself
  }
  if (parting == Parting::to_be_given_back) (void)site->go_on({});
  agent.tidy(site);
  return *outcome_;
}

void Hold::give_back() noexcept {
  if (!lease_ || outcome_ || lease_->generation != detail::fork_generation()) return;
  auto const found = release();
  if (found != Release::expired && found != Release::taken_over) return;
  try {
    client_->options().report(LockLost{fmt::format(
        "tandem: the hold of {} was lost before its release: {}", lease_->keys->in_words(),
        found == Release::expired ? "its lease ended"
        : lease_->keys->several() ? "somebody else holds one of them"
                                  : "somebody else holds the lock")});
  } catch (std::exception const&) {
    // Out of memory for the text.
  }
}

}  // namespace tandem
