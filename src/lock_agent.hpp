#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/core.hpp"
#include "lock_keys.hpp"

namespace tandem::detail {

/// How long a waiter has to take up a grant. Long against a stall of the machine, short against a
/// lease: a waiter that was stopped in just that moment delays the others by so much.
inline constexpr std::chrono::milliseconds grant_time{1000};

/// One acquisition: the record behind a Hold. The background thread renews it and ends it.
struct Lease {
  Lease(std::shared_ptr<LockKeys const> its_keys, std::string its_token, std::uint64_t its_fence,
        std::chrono::milliseconds its_length, bool renewed)
      : keys{std::move(its_keys)},
        token{std::move(its_token)},
        fence{its_fence},
        length{its_length},
        renew{renewed} {}

  std::shared_ptr<LockKeys const> keys;
  std::string token;
  std::uint64_t fence;
  std::chrono::milliseconds length;
  bool renew;
  unsigned yield_to_foreign = 0;
  std::chrono::milliseconds yield_for{1};
  unsigned generation = fork_generation();
  std::stop_source stop{};

  std::atomic<Deadline> valid_until{Deadline{}};
  std::atomic<bool> over{false};  // released, or known to be lost

  // The agent's own, under its mutex.
  std::optional<Deadline> due{};  // when it is looked at next; none: not kept
  Deadline renew_at{};

  /// Counts from before the request was sent, less what the two clocks may differ in speed.
  void extend_from(Deadline sent) noexcept {
    valid_until.store(sent + length - length / 100 - std::chrono::milliseconds{1});
  }
  /// It ended without a release: nobody may trust it from `now` on, and who watches it is told.
  void lose(Deadline now) {
    over = true;
    valid_until = std::min(valid_until.load(), now);
    stop.request_stop();
  }
  [[nodiscard]] bool trusted(Deadline now) const noexcept {
    return !over.load() && now < valid_until.load() && generation == fork_generation();
  }
};

/// One thread that waits for a lock. Lives on that thread's stack, between LockAgent::enlist and
/// delist.
class Waiter {
 public:
  Waiter(LockKeys const& keys, std::string_view token) : keys_{keys}, token_{token} {}

  enum class Woken { to_ask, by_deadline, by_stop, by_refusal };

  /// Waits for a reason to ask the server: a grant, a change, the time set by `ask_at`.
  [[nodiscard]] Woken wait(Deadline deadline, std::stop_token const& stop);
  void ask_at(Deadline when, bool leads);
  /// Not later than that, should it be set to later.
  void ask_by(Deadline when);
  [[nodiscard]] std::optional<ServerError> refusal();

 private:
  friend class LockAgent;

  void ask_now();

  LockKeys const& keys_;
  std::string_view token_;
  std::mutex mutex_{};
  std::condition_variable_any changed_{};
  bool ask_ = false;
  Deadline ask_at_ = Deadline::max();
  std::optional<ServerError> refusal_{};

  // The agent's own, under its mutex.
  Deadline track_at_ = Deadline::max();
  bool told_to_ask_ =
      false;  // until it was answered the key is looked at no more: it is about to change it itself
};

/// What a client does for all its locks in the background: hears grants, renews leases, ends them
/// in time, notices that a stranger gave a lock up, and gives back what a caller could not.
///
/// Waiters are told through one channel of the client's own, named in every token. A waiter that
/// leads its queue has the key tracked by the server once it has waited `track_after`, so that a
/// foreign DEL wakes it without a command for each tick; in a busy queue hand-offs come sooner and
/// no tracking is paid for.
///
/// Threads: safe from several.
class LockAgent final : public EventListener {
 public:
  explicit LockAgent(Core& core);

  /// A token never used before: `<client>/<number>/<pid>/<host>/<client name>`.
  [[nodiscard]] std::string fresh_token();

  /// Starts the event thread and says which channel it is to hear.
  void start();
  /// Whether grants would be heard.
  [[nodiscard]] bool listening() const noexcept { return listening_.load(); }

  void enlist(Waiter& waiter);
  void delist(Waiter& waiter);
  /// What the server answered: when to ask again, whether `waiter` leads its queue, and whether the
  /// key is left free until then, so that there is nothing to track.
  void expect(Waiter& waiter, Deadline lease_end, bool leads, bool left_free);

  /// Renews `lease` if it says so, and requests its stop when it ends.
  void keep(std::shared_ptr<Lease> const& lease);
  /// The opposite: it is being released.
  void forget(Lease& lease);

  /// Gives back, or leaves the queue, as soon as the server can be reached; asks again and again,
  /// ever more seldom, for `length` after the first answer, for what is in doubt may be executed
  /// after it.
  void give_back_later(std::shared_ptr<LockKeys const> keys, std::string token,
                       std::chrono::milliseconds length);

 private:
  struct GivenBack {
    std::shared_ptr<LockKeys const> keys;
    std::string token;
    std::chrono::milliseconds length;
    Deadline next{};
    Deadline give_up = Deadline::max();
    std::chrono::milliseconds pause{50};
  };
  struct Due {
    Deadline when;
    std::shared_ptr<Lease> lease;
    bool operator<(Due const& other) const noexcept {
      return when != other.when ? when < other.when : lease < other.lease;
    }
  };

  void on_subscribed() override;
  void on_refused(ServerError const& error) override;
  void on_disconnected() override;
  void on_message(std::string_view channel, std::string_view text) override;
  void on_changed(std::optional<std::string_view> key) override;
  Deadline on_time(Deadline now) override;

  void serve_leases(Deadline now);
  void renew(std::shared_ptr<Lease> const& lease, Deadline now, bool in_full);
  void take_renewal(std::shared_ptr<Lease> const& lease, Deadline sent, bool in_full,
                    ReplyView const* reply);
  void reschedule(std::shared_ptr<Lease> const& lease, Deadline when);
  void track_leaders(Deadline now);
  /// False when the server does not track keys for us.
  bool track(LockKeys const& keys, std::string token);
  void serve_given_back(Deadline now);
  void take_given_back(std::string_view token, ReplyView const* reply);
  static void tell_to_ask(Waiter& waiter);
  template <class Call>
  void with_waiter(std::string_view token, Call&& call);

  Events& events_;  // not the core: a callback of ours may be what drops its last handle
  std::string const id_;
  std::string const suffix_;
  std::atomic<std::uint64_t> count_{0};
  std::atomic<bool> listening_{false};

  std::mutex mutex_{};
  bool started_ = false;
  std::optional<ServerError> refusal_{};
  std::unordered_map<std::string_view, Waiter*> waiters_{};
  std::set<Due> leases_{};
  std::vector<GivenBack> given_back_{};
  Deadline next_due_ = Deadline::max();  // what on_time answered last
};

}  // namespace tandem::detail
