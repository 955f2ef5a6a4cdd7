#include "tandem/cached_map.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "caching/cache_agent.hpp"
#include "caching/reading.hpp"
#include "core/companion_key.hpp"
#include "core/core.hpp"
#include "core/describe.hpp"
#include "core/per_process.hpp"
#include "scripts.hpp"

namespace tandem::detail {
namespace {

// Of more bytes it is only told that they are others now: who keeps them asks again.
constexpr std::size_t most_that_is_told = 64 * 1024;
// For so long the first change waits for the connection that tells.
constexpr std::chrono::milliseconds first_patience{200};

CacheOptions checked(CacheOptions options) {
  if (options.max_entries < 1 || options.max_entries > 100'000'000) {
    throw std::invalid_argument{
        fmt::format("tandem: a cache's max_entries is {}; from 1 to 100,000,000 are accepted",
                    options.max_entries)};
  }
  if (options.max_age < std::chrono::milliseconds{1} || options.max_age > std::chrono::days{1}) {
    throw std::invalid_argument{
        fmt::format("tandem: a cache's max_age is {} ms; from 1 ms to 1 day are accepted",
                    options.max_age.count())};
  }
  return options;
}

std::string_view word_of(CachedHash::If condition) {
  switch (condition) {
    case CachedHash::If::absent:
      return "absent";
    case CachedHash::If::as_expected:
      return "equal";
    case CachedHash::If::always:
      break;
  }
  return "always";
}

/// A cache in this process, as long as it is used.
class OwnCache {
 public:
  OwnCache(Core& core, std::string const& name, CacheOptions const& options,
           CachedHash::Decode const& decode)
      : core_{core},
        agent_{core.service<CacheAgent>()},
        cache_{agent_.make(core, name, options, decode)} {}
  OwnCache(OwnCache const&) = delete;
  OwnCache& operator=(OwnCache const&) = delete;
  ~OwnCache() {
    agent_.forget(cache_);
    try {
      if (cache_->take_owed_gap()) core_.post(cache_->gap_notice());
    } catch (std::exception const&) {
      // Their max_age is the bound.
    }
  }

  [[nodiscard]] Cache& cache() const noexcept { return *cache_; }
  void start() const { agent_.start(cache_); }

 private:
  Core& core_;
  CacheAgent& agent_;
  std::shared_ptr<Cache> const cache_;
};

}  // namespace

class CachedHash::OfThisProcess
    : public PerProcess<OwnCache, Core&, std::string const&, CacheOptions const&, Decode const&> {
 public:
  using PerProcess::PerProcess;
};

void CachedHash::End::operator()(OfThisProcess* mine) const noexcept { delete mine; }

CachedHash::CachedHash(Client client, std::string name, CacheOptions options, Decode decode)
    : hash_{std::move(client), std::move(name)},
      options_{checked(options)},
      decode_{std::move(decode)},
      mine_{new OfThisProcess{hash_.client().core(), hash_.name(), options_, decode_}} {}

CachedHash::~CachedHash() = default;

// -- reading --------------------------------------------------------------------------------------

CachedHash::Look::Look(CachedHash const& cache, std::string_view field) {
  static_assert(sizeof(Reading) <= sizeof(reading_) && alignof(Reading) <= alignof(Look));
  auto const* const reading = new (reading_) Reading;
  if (reading->is_safe()) found_ = cache.mine_->get().cache().find(field);
}

CachedHash::Look::~Look() { std::launder(reinterpret_cast<Reading*>(reading_))->~Reading(); }

/// What is kept, stale, of a field that was read at the server must not be given out after it.
std::vector<CachedHash::Value> CachedHash::read_through(
    std::span<std::string_view const> fields) const {
  std::vector<Value> out;
  out.reserve(fields.size());
  if (fields.size() == 1) {
    out.push_back(decode_(fields[0], hash_.get(fields[0]).bytes));
  } else {
    std::vector<std::string> const names{fields.begin(), fields.end()};
    for (HashReads reads{hash_, names}; reads.next();) {
      for (std::size_t i = 0; i < reads.fields().size(); ++i)
        out.push_back(decode_(reads.fields()[i], reads.values()[i]));
    }
  }
  for (auto const field : fields) mine_->get().cache().forget(field);
  return out;
}

/// Whether the cache can be asked; else the server is to be.
bool CachedHash::begins_to_be_told(Deadline deadline) const {
  auto const& kept = mine_->get();
  if (kept.cache().is_told()) return true;
  kept.start();
  if (options_.when_disconnected != WhenDisconnected::fail) return false;
  if (!kept.cache().has_been_told() && kept.cache().await_told(deadline)) return true;
  auto const refusal = kept.cache().refusal();
  throw Unreachable{fmt::format("tandem: map {} is not told of changes at the moment{}{}",
                                quoted(hash_.name()), refusal.empty() ? "" : ": ", refusal)};
}

std::vector<CachedHash::Value> CachedHash::fetch(std::span<std::string_view const> fields,
                                                 bool anew) const {
  bool const can_wait = !hash_.client().core().events().is_own_thread();
  auto const until = deadline();
  auto& cache = mine_->get().cache();
  do {
    if (can_wait && begins_to_be_told(until)) {
      std::vector<Value> out;
      out.reserve(fields.size());
      for (auto const& fill : cache.ask(fields, anew)) out.push_back(cache.await(*fill, until));
      if (std::find(out.begin(), out.end(), nullptr) == out.end()) return out;
      continue;  // the connection was lost before all was said
    }
    auto out = read_through(fields);
    // If the process has begun to be told meanwhile, the cache may have read before this did; what
    // it is going to give out must not be older than what is given out here.
    if (!can_wait || !cache.is_told()) return out;
  } while (std::chrono::steady_clock::now() < until);
  throw Unreachable{
      fmt::format("tandem: the connection that reads map {} was lost again and again until the "
                  "deadline",
                  quoted(hash_.name()))};
}

// -- changing -------------------------------------------------------------------------------------

CachedHash::Outcome CachedHash::change(std::string_view field, Wish const& wish,
                                       Deadline deadline) const {
  auto const ttl = milliseconds_of(wish.options);
  auto const& kept = mine_->get();
  auto& cache = kept.cache();
  auto const what = !wish.desired ? 0 : wish.keeps_end ? 2 : 1;
  bool const absent = wish.condition == If::as_expected && !wish.expected;
  Argument const arguments[] = {cache.id(),
                                field,
                                word_of(absent ? If::absent : wish.condition),
                                wish.expected.value_or(""),
                                what,
                                ttl,
                                wish.desired.value_or(""),
                                most_that_is_told};
  auto& core = hash_.client().core();
  kept.start();
  bool const can_wait = !core.events().is_own_thread();
  // Who is told sees what follows its change, and the others need not forget everything for it.
  if (can_wait && !cache.has_been_told())
    (void)cache.await_told(std::min(deadline, std::chrono::steady_clock::now() + first_patience));
  if (can_wait && cache.is_told()) {
    if (auto outcome = cache.change(arguments, wish.desired, deadline))
      return {outcome->done, std::move(outcome->before), outcome->had};
  }
  std::string const ends = companion_key(hash_.name(), "ends");
  std::string_view const keys[] = {hash_.name(), ends, cache.changes()};
  try {
    Cache::Outcome outcome{core.run(scripts::cached_map_change, keys, arguments, deadline)};
    cache.note_made_elsewhere(field, wish.desired, outcome);
    return {outcome.done, std::move(outcome.before), outcome.had};
  } catch (InDoubt const&) {
    cache.owe_gap();
    throw;
  }
}

CachedHash::Outcome CachedHash::change(std::string_view field, Wish const& wish) const {
  return change(field, wish, deadline());
}

Deadline CachedHash::deadline() const { return hash_.client().core().deadline(); }

void CachedHash::refuse_if_over(Deadline deadline, std::string_view field) const {
  if (std::chrono::steady_clock::now() < deadline) return;
  throw Conflict{fmt::format(
      "tandem: update of map {}, field {}: others forestalled it until the deadline; nothing was "
      "applied",
      quoted(hash_.name()), quoted(field))};
}

// -- listening ------------------------------------------------------------------------------------

bool CachedHash::await_told(Deadline deadline) const {
  auto const& kept = mine_->get();
  kept.start();
  return kept.cache().await_told(deadline);
}

std::uint64_t CachedHash::listen(Listener listener) const {
  return mine_->get().cache().listeners().add(std::move(listener));
}

void CachedHash::unlisten(std::uint64_t number) const noexcept {
  mine_->get().cache().listeners().remove(number);
}

}  // namespace tandem::detail
