#include "tandem/multi_lock.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "locking/acquisition.hpp"
#include "locking/slot.hpp"

namespace tandem {
namespace {

using std::chrono::steady_clock;
using Group = std::shared_ptr<detail::LockKeys const>;

detail::LockTerms terms_of(MultiLockOptions const& options) {
  return {.lease = options.lease, .renew = options.renew, .deadlock_after = options.deadlock_after};
}

std::vector<std::string> checked(std::vector<std::string> names, MultiLockOptions const& options) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.empty() || names.size() > MultiLock::most_names) {
    throw std::invalid_argument{fmt::format("tandem: multi lock: {} names; accepted are 1 to {}",
                                            names.size(), MultiLock::most_names)};
  }
  detail::require_sane("multi lock", names.front(), terms_of(options));  // an empty one comes first
  return names;
}

}  // namespace

struct detail::MultiNames {
  std::vector<std::string> names;
  Group together{};                // all as one
  std::vector<Group> by_slot{};    // those of one slot of a cluster as one, by the slots
  std::atomic<bool> apart{false};  // the server has said that it wants them so

  explicit MultiNames(std::vector<std::string> sorted) : names{std::move(sorted)} {
    std::vector<Group> all;
    std::map<unsigned, std::vector<Group>> slots;
    std::map<std::string_view, std::string_view> queues;
    for (auto const& each : names) {
      all.push_back(std::make_shared<LockKeys const>(each, lock_kind));
      auto const [other, is_new] = queues.emplace(all.back()->waiters, each);
      require(is_new, "multi lock", each,
              fmt::format("it shares its queue with \"{}\"; accepted is one of the two",
                          other->second));
      slots[slot_of(each)].push_back(all.back());
    }
    for (auto& [slot, some] : slots) {
      by_slot.push_back(std::make_shared<LockKeys const>(std::move(some)));
    }
    together = std::make_shared<LockKeys const>(std::move(all));
  }
};

/// Stopped when the first of several is.
class detail::StopRelay {
 public:
  void follow(std::stop_token const& one) {
    followed_.push_back(std::make_unique<Follower>(one, [source = source_] {
      auto own = source;  // what it calls may be the end of all this
      own.request_stop();
    }));
  }
  [[nodiscard]] std::stop_token token() const noexcept { return source_.get_token(); }

 private:
  using Follower = std::stop_callback<std::function<void()>>;
  std::stop_source source_{};
  std::vector<std::unique_ptr<Follower>> followed_{};
};

MultiHold::MultiHold(std::vector<Part> parts) : parts_{std::move(parts)} {
  if (parts_.size() == 1) return;
  relay_ = std::make_shared<detail::StopRelay>();
  for (auto const& each : parts_) relay_->follow(each.hold.stop_token());
}

std::uint64_t MultiHold::fence(std::string_view name) const {
  for (auto const& each : parts_) {
    auto const locks = each.keys->locks();
    if (std::find(locks.begin(), locks.end(), name) != locks.end()) return each.hold.fence();
  }
  throw std::invalid_argument{
      fmt::format("tandem: multi hold: \"{}\" is not one of its names", name)};
}

Deadline MultiHold::valid_until() const noexcept {
  if (parts_.empty()) return Deadline{};
  auto out = Deadline::max();
  for (auto const& each : parts_) out = std::min(out, each.hold.valid_until());
  return out;
}

bool MultiHold::held() const noexcept {
  return !parts_.empty() && std::all_of(parts_.begin(), parts_.end(),
                                        [](Part const& each) { return each.hold.held(); });
}

std::stop_token MultiHold::stop_token() const {
  if (relay_) return relay_->token();
  return parts_.empty() ? std::stop_token{} : parts_.front().hold.stop_token();
}

Hold const& MultiHold::hold() const {
  if (parts_.empty()) throw LockLost{"tandem: a hold that holds nothing"};
  if (parts_.size() > 1) {
    throw std::logic_error{
        fmt::format("tandem: multi hold: its names are in {} slots of the cluster, {} in the "
                    "first: no script can guard "
                    "them together; accepted are names with one hash tag",
                    parts_.size(), parts_.front().keys->in_words())};
  }
  return parts_.front().hold;
}

Release MultiHold::release() noexcept {
  constexpr std::array from_the_worst{Release::unknown, Release::taken_over, Release::expired,
                                      Release::released};
  auto worst = parts_.empty() ? from_the_worst.begin() : from_the_worst.end() - 1;
  for (auto& each : parts_) {
    worst = std::min(worst,
                     std::find(from_the_worst.begin(), from_the_worst.end(), each.hold.release()));
  }
  return *worst;
}

MultiLock::MultiLock(Client client, std::vector<std::string> names, MultiLockOptions options)
    : client_{std::move(client)},
      names_{std::make_shared<detail::MultiNames>(checked(std::move(names), options))},
      options_{options} {}

std::vector<std::string> const& MultiLock::names() const noexcept { return names_->names; }

std::optional<MultiHold> MultiLock::try_acquire() const {
  return take(Wait::no, Deadline::max(), {});
}

std::optional<MultiHold> MultiLock::try_acquire_until(Deadline deadline) const {
  if (deadline <= steady_clock::now()) return try_acquire();
  return take(Wait::yes, deadline, {});
}

MultiHold MultiLock::acquire() const { return *take(Wait::yes, Deadline::max(), {}); }

std::optional<MultiHold> MultiLock::acquire(std::stop_token stop) const {
  return take(Wait::yes, Deadline::max(), stop);
}

std::optional<MultiHold> MultiLock::take(Wait wait, Deadline deadline,
                                         std::stop_token const& stop) const {
  if (!names_->apart) {
    try {
      return take_each({names_->together}, wait, deadline, stop);
    } catch (ServerError const& refusal) {
      if (refusal.code() != "CROSSSLOT" || names_->by_slot.size() == 1) throw;
      names_->apart = true;
    }
  }
  for (;;) {
    auto out = take_each(names_->by_slot, wait, deadline, stop);
    // What was acquired first may have been lost while the others were waited for.
    bool const goes_on = wait == Wait::yes && steady_clock::now() < deadline;
    if (!out || out->held()) return out;
    if (!goes_on || stop.stop_requested()) return std::nullopt;
  }
}

std::optional<MultiHold> MultiLock::take_each(std::vector<Group> const& groups, Wait wait,
                                              Deadline deadline,
                                              std::stop_token const& stop) const {
  auto const terms = terms_of(options_);
  std::vector<MultiHold::Part> parts;
  parts.reserve(groups.size());
  for (auto const& keys : groups) {
    detail::Acquisition acquisition{client_.core(), keys, terms};
    auto lease = wait == Wait::no ? acquisition.try_once() : acquisition.wait(deadline, stop);
    if (!lease) return std::nullopt;  // those before are given back
    parts.push_back({Hold{client_, std::move(lease)}, keys});
  }
  return MultiHold{std::move(parts)};
}

}  // namespace tandem
