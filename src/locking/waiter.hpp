#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include <tandem/core/error.hpp>
#include <tandem/core/options.hpp>

namespace tandem::detail {

struct Lease;
struct LockKeys;

/// Wakes a thread as it is destroyed: after the locks that the woken one needs, too, are let go.
class [[nodiscard]] Waking {
 public:
  Waking() noexcept = default;
  explicit Waking(std::atomic<std::uint32_t>& word) noexcept : word_{&word} {}
  Waking(Waking&& other) noexcept : word_{std::exchange(other.word_, nullptr)} {}
  Waking& operator=(Waking&& other) noexcept {
    std::swap(word_, other.word_);
    return *this;
  }
  ~Waking();

 private:
  std::atomic<std::uint32_t>* word_ = nullptr;
};

/// One thread that waits for a lock: for another thread of its process, or, as the first of them,
/// for the server. Lives on that thread's stack.
///
/// Threads: wait() is called by its own; the rest from any.
class Waiter {
 public:
  explicit Waiter(std::shared_ptr<LockKeys const> keys);

  enum class Woken {
    granted,
    to_ask,
    to_look,
    to_check,
    promoted,
    passed,
    by_refusal,
    by_deadline,
    by_stop
  };

  /// Waits for something to do: see what a grant is worth; ask the server (it was told to, or it is
  /// time); look after the holder, once; look for a deadlock, once; go to the server as the first of
  /// its process; or take the lease that another thread passed on.
  [[nodiscard]] Woken wait(Deadline deadline, std::stop_token const& stop);

  void ask_now();
  /// The server wrote the lock in its name, with that fence.
  Waking grant(std::uint64_t fence);
  /// What the server answered: when to ask again, and when to look after the holder.
  void expect(Deadline ask_at, Deadline look_at);
  /// Not later than that, should it be set to later.
  void ask_by(Deadline when);
  /// Nor than that, whatever else is said: what it holds already is renewed by asking.
  void renew_at(Deadline when);
  void check_at(Deadline when);
  void refuse(ServerError const& error);
  void promote();
  void pass(std::shared_ptr<Lease> lease);

  [[nodiscard]] std::optional<ServerError> refusal() const;
  [[nodiscard]] std::shared_ptr<Lease> take_lease();
  [[nodiscard]] std::uint64_t take_grant();
  /// Of the one lock that it waits for at this time.
  [[nodiscard]] LockKeys const& keys() const noexcept { return *keys_; }
  [[nodiscard]] std::uint64_t thread() const noexcept { return thread_; }

 private:
  template <class Change>
  Waking change(Change&& change);

  std::shared_ptr<LockKeys const> keys_;  // changed by its own thread, under the agent's mutex
  std::uint64_t const thread_;            // whose it is
  mutable std::mutex mutex_{};
  enum State : std::uint32_t { awake, asleep };
  std::atomic<std::uint32_t> state_{awake};  // changed under the mutex
  bool ask_ = false;
  std::uint64_t grant_ = 0;  // a fence; 0: none
  bool promoted_ = false;
  Deadline ask_at_ = Deadline::max();
  Deadline renew_at_ = Deadline::max();
  Deadline look_at_ = Deadline::max();
  Deadline check_at_ = Deadline::max();
  std::shared_ptr<Lease> lease_{};
  std::optional<ServerError> refusal_{};

  friend class LockAgent;
  // The agent's own, under its mutex.
  std::string_view token_{};
  bool leads_ = false;
  bool left_free_ = false;    // for strangers, until it asks again
  bool wanted_ = false;       // what it is about to be given is asked for already
  bool told_to_ask_ = false;  // until it was answered the key is about to be changed by itself
  Deadline look_there_ = Deadline::max();  // when the event thread looks after the holder ...
  std::string owner_{};                    // ... if it was told who that is
};

}  // namespace tandem::detail
