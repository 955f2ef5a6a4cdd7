#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/core/job_queue.hpp>

#include "core/core.hpp"
#include "queueing/job_leases.hpp"
#include "queueing/queue_keys.hpp"

namespace tandem::detail {

/// Hears, for all who wait at a client's queues, what the server says to them, over one channel of the
/// client's own, `tandem:<client>`:
///
///     job <number> ...   that waiter is given a job (see told_job())
///     ask <number>       that waiter is to ask the server again
///     take <number>      that waiter is to ask for a large job, and waits no longer
///     none <number>      that waiter, which has left, was given nothing more than it was told
///
/// Who gives up returns at once; the word that it waits no longer goes out in the background, and a
/// job that is given to who does not wait is given back. The end of the client waits for both.
///
/// Threads: safe from several.
class QueueAgent final : public EventListener {
 public:
  explicit QueueAgent(Core& core);

  /// One who waits. Lives on its thread's stack.
  class Waiter {
   public:
    /// `terms`: see terms_of_worker().
    Waiter(QueueAgent& agent, std::shared_ptr<QueueKeys const> keys, std::string terms);
    ~Waiter();
    Waiter(Waiter const&) = delete;
    Waiter& operator=(Waiter const&) = delete;

    [[nodiscard]] std::string const& token() const noexcept { return token_; }
    /// Whether what is said to it would be heard.
    [[nodiscard]] bool would_be_told() const noexcept { return agent_.listening_.load(); }
    /// When to ask although nothing was said, for what nobody says (a job that another client put
    /// there by XADD; the first of those who wait, who was killed): `longest` from now, but a second at
    /// least, and no more than that where nothing would be heard.
    [[nodiscard]] Deadline looks_in_at(std::chrono::milliseconds longest) const noexcept;
    /// The server may have noted that token from now on, or has forgotten it.
    void joins() noexcept { has_joined_ = true; }
    void has_left() noexcept { has_joined_ = false; }
    /// Whether the server has noted it, and has not said that it has forgotten it for a large job.
    [[nodiscard]] bool is_noted();
    /// Waits under another token from now on; what is given to the old one is given back.
    void begin_anew();

    /// Whether it was told a job.
    [[nodiscard]] bool is_given() const;

    enum class Woken { given, to_ask, by_deadline, by_stop };
    /// Throws what the server refuses its channel with.
    [[nodiscard]] Woken wait(Deadline deadline, Deadline ask_at, std::stop_token const& stop);
    [[nodiscard]] GivenJob take_given();

   private:
    friend class QueueAgent;
    void enlist();
    void delist();

    QueueAgent& agent_;
    std::shared_ptr<QueueKeys const> const keys_;
    std::string const terms_;
    std::uint64_t number_ = 0;
    std::string token_{};
    bool has_joined_ = false;
    // Under the agent's mutex.
    std::condition_variable_any told_{};
    bool ask_ = false;
    bool take_ = false;
    std::optional<GivenJob> given_{};
  };

  /// Extends it from now on. Starts the event thread.
  void keep(std::shared_ptr<JobLease> const& lease);

 private:
  /// One who has given up, until it is sure that nothing is given to it any more.
  struct Gone {
    std::shared_ptr<QueueKeys const> keys;
    std::string token;
    bool is_said = false;
  };

  /// The ticket of a job that was given to one who did not wait for it.
  struct Unwanted {
    std::shared_ptr<QueueKeys const> keys;
    std::string ticket;
  };

  void on_subscribed() override;
  void on_refused(ServerError const& error) override;
  void on_disconnected() override;
  void on_message(std::string_view channel, std::string_view text) override;
  Deadline on_time(Deadline now) override;
  void before_end() override;

  void start();
  // Each false when there is no connection.
  bool say_gone(std::uint64_t number, Gone const& gone);
  bool give_back(Unwanted const& job);

  Core& core_;
  Events& events_;
  std::string const id_;
  std::string const channel_;
  JobLeases leases_;
  std::atomic<bool> listening_ = false;

  std::mutex mutex_{};
  bool started_ = false;
  bool keeps_ = false;
  std::optional<ServerError> refusal_{};
  std::uint64_t count_ = 0;
  std::map<std::uint64_t, Waiter*> waiters_{};
  std::map<std::uint64_t, Gone> gone_{};
  std::vector<Unwanted> unwanted_{};
  std::size_t giving_back_ = 0;  // so many are on their way
  std::condition_variable settled_{};
};

}  // namespace tandem::detail
