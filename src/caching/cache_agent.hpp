#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "caching/cache.hpp"
#include "core/core.hpp"

namespace tandem::detail {

/// The caches of a client in this process, and what the event connection says to them.
///
/// Threads: safe from several.
class CacheAgent final : public EventListener {
 public:
  explicit CacheAgent(Core& core);

  /// No I/O yet.
  [[nodiscard]] std::shared_ptr<Cache> make(Core& core, std::string name, CacheOptions options,
                                            CachedHash::Decode decode);
  /// Begins to listen for it, the first time. Throws Unreachable when there can be no thread.
  void start(std::shared_ptr<Cache> const& cache);
  void forget(std::shared_ptr<Cache> const& cache);

 private:
  using Caches = std::vector<std::shared_ptr<Cache>>;

  void on_subscribed() override;
  void on_refused(ServerError const& error) override;
  void on_disconnected() override;
  void on_message(std::string_view channel, std::string_view text) override;
  void on_changed(std::optional<std::string_view> key) override;
  Deadline on_time(Deadline now) override;

  /// What one of them throws keeps nothing from the others.
  template <class Call>
  void tell_all(Call&& call);

  Events& events_;
  std::string const id_;
  std::mutex mutex_{};
  Caches caches_{};  // those that have begun to listen
  std::size_t made_ = 0;
};

}  // namespace tandem::detail
