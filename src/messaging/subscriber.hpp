#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include <tandem/core/subscription.hpp>

#include "messaging/history.hpp"
#include "messaging/mailbox.hpp"

namespace tandem::detail {

class TopicAgent;

/// One subscription: its handler, the thread that calls it, and what waits for it.
///
/// Threads: on_heard and on_message on the event thread or with the agent's lock; end from any.
class Subscriber : public std::enable_shared_from_this<Subscriber> {
 public:
  struct Wish {
    std::string topic;    // the name or the pattern, as the user gave it
    std::string channel;  // what is subscribed for it
    bool is_pattern = false;
    MessageHandler handler{};
    SubscriptionOptions options{};
    std::optional<History> history{};
  };
  Subscriber(Client client, Wish wish);
  Subscriber(Subscriber const&) = delete;
  Subscriber& operator=(Subscriber const&) = delete;
  ~Subscriber();

  /// Listens, and returns when that is confirmed; then begins to call the handler. Throws
  /// Unreachable and ServerError, and is not listened for then.
  void begin();
  /// Nothing is called any more when it returns, but where it is called in a handler.
  void end() noexcept;
  /// After end(), where nobody waits for the thread any more.
  void let_go_of_thread() noexcept;

  [[nodiscard]] bool is_active() const noexcept { return active_; }
  [[nodiscard]] std::string const& channel() const noexcept { return wish_.channel; }
  [[nodiscard]] bool is_pattern() const noexcept { return wish_.is_pattern; }
  /// The topic, as errors say it.
  [[nodiscard]] std::string in_words() const;

  /// From now on, everything is heard; maybe again.
  void on_heard();
  void on_message(std::string_view topic, std::string_view text) { mailbox_.put(topic, text); }

 private:
  [[nodiscard]] bool is_own_thread() const noexcept {
    return own_id_.load() == std::this_thread::get_id();
  }
  /// Whether this is still the process that it began in, and it has not ended.
  [[nodiscard]] bool goes_on() const noexcept;
  void find_place();
  void start();
  void run();
  void open(Mailbox::Letter const& letter);
  void tell(std::string_view topic, std::string_view message);
  void tell_gap(TopicGap const& gap);
  void tell_in_order(Mailbox::Message const& message);
  void tell_steps(std::vector<History::Step> const& steps);
  void catch_up();
  void fail();
  template <class Call>
  void guarded(Call&& call);

  Client const client_;
  Wish wish_;
  TopicAgent& agent_;
  unsigned const generation_;
  Mailbox mailbox_;
  bool was_heard_ = false;
  bool has_place_ = false;  // in the history
  std::atomic<bool> active_ = true;
  std::atomic<std::thread::id> own_id_{};
  std::mutex joining_{};  // guards:
  std::thread thread_{};
};

}  // namespace tandem::detail
