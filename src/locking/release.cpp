#include "locking/release.hpp"

#include "locking/times.hpp"

namespace tandem::detail {

ReleaseWords::ReleaseWords(Lease const& lease)
    : words_{lease.token, grant_time.count(), lease.fence, lease.yield_to_foreign,
             lease.yield_for.count()},
      count_{lease.keys->kind.release_words} {}

ReleaseWords::ReleaseWords(LockKeys const& keys, std::string_view token, unsigned yield_to_foreign,
                           std::chrono::milliseconds yield_for)
    : words_{token, grant_time.count(), 0, yield_to_foreign, yield_for.count()},
      count_{keys.kind.release_words} {}

Release release(Core& core, Lease const& lease) {
  auto const keys = lease.keys->all();
  ReleaseWords const words{lease};
  auto const reply = core.run(lease.keys->kind.release, keys, words.all(), core.deadline());
  switch (reply.as<int>()) {
    case 0:
      return Release::expired;
    case 1:
      return Release::released;
    default:
      return Release::taken_over;
  }
}

}  // namespace tandem::detail
