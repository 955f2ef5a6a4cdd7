#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/core.hpp"
#include "locking/identity.hpp"
#include "locking/renewals.hpp"
#include "locking/returns.hpp"
#include "locking/site.hpp"
#include "locking/times.hpp"
#include "locking/waiter.hpp"
#include "locking/watch.hpp"

namespace tandem::detail {

/// What a client does for all its locks in the background: hears grants, has leases renewed, looks
/// after those who hold what its threads wait for, and gives up idle leases that others want.
///
/// Waiters are told through one channel of the client's own, named in every token:
///
///     grant <fence> <wanted> <token>
///                             the lock was written in that waiter's name; whether others wait (1 or
///                             0), where it would be kept
///     lead <ms> <token> <owner>   that waiter is the first now; the lock is taken for so long, by
///                             `owner` (nothing of a stranger)
///     first <token>           that waiter is the first now, of a kind that several hold
///     watch <token> <owner>   that waiter is where `owner` runs, and the first is not
///     wanted <token>          another process wants the lock that this token holds
///     check <wait>            that wait is part of a deadlock, says one who looked
///
/// A waiter that has waited for `look_after` watches the holder's process, where it runs in the same
/// place; when that dies, the lock is given back in its name. If the waiter is the first of the
/// queue, it also has the key tracked by the server, so that a foreign DEL wakes it without a
/// command for each tick.
///
/// Threads: safe from several.
class LockAgent final : public EventListener {
 public:
  explicit LockAgent(Core& core);

  /// A token never used before.
  [[nodiscard]] std::string fresh_token(TokenKind kind);

  /// Starts the event thread and says which channel it is to hear.
  void start();
  /// Whether grants would be heard.
  [[nodiscard]] bool listening() const noexcept { return listening_.load(); }

  /// Where the threads of this process meet for a lock.
  [[nodiscard]] std::shared_ptr<Site> site(LockKeys const& keys, Site::Bounds const& bounds);
  /// Where one acquisition is alone.
  [[nodiscard]] std::shared_ptr<Site> own_site();
  /// Forgets it when nobody is there.
  void tidy(std::shared_ptr<Site> const& site);

  /// `token` is about to be asked for, by the thread of `waiter`.
  void enlist(Waiter& waiter, std::string_view token);
  void delist(Waiter& waiter);
  /// Of several locks: what the server answers next is all that is known of its place in a queue,
  /// besides what is said to it from now on.
  void ask_anew(Waiter& waiter);
  /// Of several locks: it waits for that one from now on.
  void turn_to(Waiter& waiter, std::shared_ptr<LockKeys const> const& keys);
  /// What the server answered: when to ask again, whether `waiter` leads its queue, and whether the
  /// key is left free until then, so that there is nothing to look after.
  void expect(Waiter& waiter, Deadline lease_end, bool leads, bool left_free);
  /// It has waited: see to those who hold, and to the key if `waiter` leads.
  void look(Waiter& waiter, std::vector<std::string> const& owners);

  /// `waiter` got `lease`: its site has it from now on.
  void settle(Waiter& waiter, std::shared_ptr<Site> const& site,
              std::shared_ptr<Lease> const& lease);

  struct Held {
    std::string token;
    std::string lock;
  };
  /// What that thread holds, and nothing but a release will end.
  [[nodiscard]] std::vector<Held> held_by(std::uint64_t thread);
  [[nodiscard]] std::string const& id() const noexcept { return id_; }
  /// Names a wait; to be told by others when it should look for a deadlock.
  [[nodiscard]] std::string fresh_wait();
  /// What was said of an earlier wait, in that field, need not be taken back any more.
  void tell_when_to_check(std::string const& wait, std::string_view field, Waiter& waiter);
  void wait_is_over(std::string const& wait);
  /// In the background: `field` of the hash `key`, which is forgotten at `until` anyway.
  void take_back_later(std::string key, std::string field, Deadline until);

  [[nodiscard]] LockRenewals& renewals() noexcept { return renewals_; }
  /// Starts the event thread for it.
  void give_back_later(std::shared_ptr<LockKeys const> keys, std::string token,
                       std::chrono::milliseconds length);

  void before_end() override;

 private:
  struct Watched {
    std::shared_ptr<LockKeys const> keys;
    int pid;
    std::string start;
  };

  /// What somebody said of its wait.
  struct Said {
    std::string key;
    std::string field;
    Deadline until;  // then it is forgotten
  };

  struct Lingering {
    std::shared_ptr<Site> site;
    Deadline look_at;  // whether it is idle for too long
  };

  void on_subscribed() override;
  void on_refused(ServerError const& error) override;
  void on_disconnected() override;
  void on_message(std::string_view channel, std::string_view text) override;
  void on_changed(std::optional<std::string_view> key) override;
  pollfd watch() override { return {watch_.descriptor(), POLLIN, 0}; }
  void on_ready() override;
  Deadline on_time(Deadline now) override;

  /// Those who hold that lock now, and no others of it.
  void watch_holders(std::shared_ptr<LockKeys const> const& keys,
                     std::vector<std::string> const& owners);
  /// Nobody of it, where no waiter wants it any more.
  void unwatch(std::string const& lock);
  void look_after_holders(Deadline now);
  void take_back_waits(Deadline now);
  void give_up(Site& site);
  void give_up_idle(Deadline now);
  void give_back_idle(Lease& lease);
  void on_wanted(std::string_view token);
  void assume_wanted();
  /// False when the server does not track keys for us.
  bool track(LockKeys const& keys, std::string token);
  static void tell_to_ask(Waiter& waiter);
  template <class Call>
  void with_waiter(std::string_view token, Call&& call);
  [[nodiscard]] std::vector<std::shared_ptr<Site>> lingering();

  Core& core_;
  Events& events_;  // not the core: a callback of ours may be what drops its last handle
  std::string const id_;
  std::string const channel_;
  std::string const place_;
  std::string const suffix_;
  std::atomic<std::uint64_t> count_{0};
  std::atomic<bool> started_{false};
  std::atomic<bool> listening_{false};
  LockRenewals renewals_;
  LockReturns returns_;
  ProcessWatch watch_{};

  std::mutex mutex_{};
  std::optional<ServerError> refusal_{};
  std::unordered_map<std::string_view, Waiter*> waiters_{};
  // By the holder's token and the lock.
  std::map<std::pair<std::string, std::string>, Watched> watched_{};
  std::unordered_map<std::string, Waiter*> waits_{};  // those that may be part of a deadlock
  std::vector<Said> to_be_taken_back_{};
  std::vector<Lingering> lingering_{};
  Deadline next_due_ = Deadline::max();  // what on_time answered last

  std::mutex sites_mutex_{};
  std::unordered_map<std::string_view, std::shared_ptr<Site>> sites_{};
};

}  // namespace tandem::detail
