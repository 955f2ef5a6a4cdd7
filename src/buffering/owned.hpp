#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include <tandem/client.hpp>

#include "buffering/flusher.hpp"
#include "core/fork.hpp"

namespace tandem::detail {

/// The buffer that an object adds to, in each process one of its own: the child of a fork begins
/// with an empty one. What it inherited is abandoned as it is, because the parent's other threads
/// may have been in the middle of changing it.
///
/// Threads: safe from several, but for the end.
template <class Kind>
class Owned {
 public:
  struct InProcess {
    unsigned generation;
    Flusher& flusher;
    std::shared_ptr<Kind> buffer;
  };
  /// Makes a buffer that is known to the server by what Flusher::fresh_id() gives.
  using Make = std::function<std::shared_ptr<Kind>(std::string const& id)>;

  Owned(Client client, Make make)
      : client_{std::move(client)}, make_{std::move(make)}, current_{fresh()} {}
  Owned(Owned const&) = delete;
  Owned& operator=(Owned const&) = delete;
  /// Flushes what is left, or leaves it to the client's end.
  ~Owned() {
    auto* const mine = current_.load();
    if (mine->generation != fork_generation()) return;  // nothing was added in this process
    mine->flusher.retire(mine->buffer);
    delete mine;
  }

  [[nodiscard]] InProcess& get() {
    auto* mine = current_.load(std::memory_order_acquire);
    if (mine->generation == fork_generation()) return *mine;
    auto made = std::unique_ptr<InProcess>{fresh()};
    if (current_.compare_exchange_strong(mine, made.get())) mine = made.release();
    return *mine;  // where another thread was first, its
  }
  [[nodiscard]] Client& client() noexcept { return client_; }

 private:
  [[nodiscard]] InProcess* fresh() {
    auto const generation = fork_generation();
    auto& flusher = client_.core().template service<Flusher>();
    return new InProcess{generation, flusher, make_(flusher.fresh_id())};
  }

  Client client_;
  Make make_;
  std::atomic<InProcess*> current_;
};

}  // namespace tandem::detail
