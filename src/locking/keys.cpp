#include "locking/keys.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include <fmt/core.h>

#include "core/companion_key.hpp"

namespace tandem::detail {
namespace {

// Of several names so many are said in a message.
constexpr std::size_t most_named = 3;

}  // namespace

LockKeys::LockKeys(std::string_view name, LockKind const& its_kind, std::string its_site)
    : kind{its_kind},
      lock{name},
      waiters{companion_key(name, "waiters")},
      state{companion_key(name, "state")},
      site{std::move(its_site)},
      all_{lock, waiters, state},
      locks_{lock} {}

LockKeys::LockKeys(std::vector<std::shared_ptr<LockKeys const>> its_parts)
    : kind{multi_kind},
      lock{its_parts.front()->lock},
      waiters{its_parts.front()->waiters},
      state{its_parts.front()->state},
      parts{std::move(its_parts)} {
  for (auto const& each : parts) {
    all_.insert(all_.end(), {each->lock, each->waiters, each->state});
    locks_.push_back(each->lock);
  }
}

std::vector<std::string_view> LockKeys::to_commit() const {
  if (!several()) return {lock, state};
  std::vector<std::string_view> out{state};
  out.insert(out.end(), locks_.begin(), locks_.end());
  return out;
}

std::string LockKeys::in_words() const {
  auto out = fmt::format("{} \"{}\"", locks_.size() > 1 ? "locks" : "lock", lock);
  auto const named = std::min(locks_.size(), most_named);
  for (std::size_t i = 1; i < named; ++i) out += fmt::format(", \"{}\"", locks_[i]);
  if (locks_.size() > named) out += fmt::format(" and {} more", locks_.size() - named);
  return out;
}

}  // namespace tandem::detail
