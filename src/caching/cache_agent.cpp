#include "caching/cache_agent.hpp"

#include <algorithm>
#include <utility>

#include "core/random_id.hpp"

namespace tandem::detail {

CacheAgent::CacheAgent(Core& core) : events_{core.events()}, id_{random_id()} {}

std::shared_ptr<Cache> CacheAgent::make(Core& core, std::string name, CacheOptions options,
                                        CachedHash::Decode decode) {
  std::size_t number = 0;
  {
    std::lock_guard const guard{mutex_};
    number = ++made_;
  }
  return std::make_shared<Cache>(core, id_ + "/" + std::to_string(number), std::move(name), options,
                                 std::move(decode));
}

void CacheAgent::start(std::shared_ptr<Cache> const& cache) {
  events_.start();
  {
    std::lock_guard const guard{mutex_};
    if (std::find(caches_.begin(), caches_.end(), cache) != caches_.end()) return;
    caches_.push_back(cache);
  }
  events_.subscribe(cache->channel());
}

void CacheAgent::forget(std::shared_ptr<Cache> const& cache) {
  {
    std::lock_guard const guard{mutex_};
    if (std::erase(caches_, cache) == 0) return;
  }
  events_.unsubscribe(cache->channel());
}

template <class Call>
void CacheAgent::tell_all(Call&& call) {
  Caches caches;
  {
    std::lock_guard const guard{mutex_};
    caches = caches_;
  }
  for (auto const& cache : caches) {
    events_.guarded([&] { call(*cache); });
  }
}

void CacheAgent::on_subscribed() {
  tell_all([this](Cache& cache) {
    if (events_.is_subscribed(cache.channel())) cache.on_subscribed();
  });
}

void CacheAgent::on_refused(ServerError const& error) {
  tell_all([&](Cache& cache) { cache.on_refused(error); });
}

void CacheAgent::on_disconnected() {
  tell_all([](Cache& cache) { cache.on_disconnected(); });
}

void CacheAgent::on_message(std::string_view channel, std::string_view text) {
  tell_all([&](Cache& cache) {
    if (cache.channel() == channel) cache.on_message(text);
  });
}

void CacheAgent::on_changed(std::optional<std::string_view> key) {
  tell_all([&](Cache& cache) { cache.on_changed(key); });
}

Deadline CacheAgent::on_time(Deadline now) {
  auto next = Deadline::max();
  tell_all([&](Cache& cache) { next = std::min(next, cache.on_time(now)); });
  return next;
}

}  // namespace tandem::detail
