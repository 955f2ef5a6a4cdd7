#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <tandem/core/channel.hpp>

#include "core/backoff.hpp"
#include "core/bell.hpp"
#include "core/wire.hpp"

namespace tandem::detail {

/// What a service hears from the event thread. Every call comes on that thread, with no lock of
/// Events held; what it throws is reported and harms nobody else.
class EventListener {
 public:
  EventListener() = default;
  EventListener(EventListener const&) = delete;
  EventListener& operator=(EventListener const&) = delete;
  virtual ~EventListener() = default;

  /// Every channel asked for is subscribed, but those that were asked for in the meantime. What was
  /// said before may have been missed, and keys are no longer tracked.
  virtual void on_subscribed() {}
  /// The server refuses to be listened to (an ACL, a wrong password); it is asked again later.
  virtual void on_refused(ServerError const& /*error*/) {}
  /// There is a connection, and nothing is heard over it yet.
  virtual void on_connected() {}
  /// The connection is gone; it is made anew as long as it is wanted.
  virtual void on_disconnected() {}
  virtual void on_message(std::string_view /*channel*/, std::string_view /*text*/) {}
  /// Of a channel that a pattern was subscribed for, by ask_to_hear.
  virtual void on_pattern_message(std::string_view /*pattern*/, std::string_view /*channel*/,
                                  std::string_view /*text*/) {}
  /// A key that was read after `track_next` has changed, and is no longer tracked. No key: any of
  /// them may have.
  virtual void on_changed(std::optional<std::string_view> /*key*/) {}
  /// A descriptor of its own that it wants to be told of; asked for anew each time before the thread
  /// sleeps.
  [[nodiscard]] virtual pollfd watch() { return {-1, 0, 0}; }
  virtual void on_ready() {}
  /// The client is about to go away: the last moment to say something to the server. Called on the
  /// thread that drops its last handle.
  virtual void before_end() {}
  /// Called when due, and after each `wake`. Returns when it is due next.
  virtual Deadline on_time(Deadline now) = 0;
};

/// The background thread of a client: one conversation of its own with the server, for what nobody
/// waits for.
///
/// It hears subscriptions and invalidations, sends the batches of timers, and fires timers whatever
/// the network does: no step of it waits for the server, and while it connects it goes on firing.
/// Subscriptions are a wish that is restored after every reconnection. With RESP3 all of this is
/// one connection; with RESP2, whose subscribed connections may not send commands, two.
///
/// Cost:    nothing before start(), then one thread. With the first subscription or keep_connected()
///          one or two connections, and a PING for each 5 s of silence.
/// Threads: start, subscribe, keep_connected, wake and stop from any; the rest on the event thread.
class Events final : private Waiting {
 public:
  /// Told the reply, or nullptr when the connection was lost before it came.
  using Answer = std::function<void(ReplyView const*)>;

  explicit Events(Options const& options) : options_{options} {}
  ~Events() override;

  /// Before start(), or from the thread that made the listener while nothing is due for it.
  void attach(EventListener& listener);
  /// Before anybody else knows of this object. Takes no lock: a fork's hook comes here, with that of
  /// the hooks, which start() takes with its own.
  void attach_first(EventListener& listener);

  /// Starts the thread, once. Throws Unreachable when there can be none.
  void start();
  /// Ends the thread: no listener is called after it returns.
  void stop();
  /// Whether the caller is the event thread; it cannot wait for its own end, so it says what is to
  /// follow that.
  [[nodiscard]] bool is_own_thread() const noexcept {
    return std::this_thread::get_id() == own_id_.load();
  }
  void stop_and_then(std::function<void()> then);

  void subscribe(std::string channel);
  /// Once for each time that the channel was subscribed.
  void unsubscribe(std::string const& channel);
  /// Wants the connection also without a subscription: somebody only sends.
  void keep_connected();
  void wake() noexcept;

  /// Calls what must not end the thread: what it throws is reported.
  template <class Call>
  void guarded(Call&& call) noexcept {
    try {
      call();
    } catch (...) {
      report_what_is_thrown();
    }
  }

  [[nodiscard]] bool connected() const noexcept { return commands_.wire != nullptr; }
  /// Sends one command without waiting. False, and nothing sent, when not connected.
  bool send(CommandBuffer const& command, Answer answer) {
    return send(command, std::chrono::steady_clock::now() + options_.command_timeout,
                std::move(answer));
  }
  /// The same; without an answer until then the connection is given up.
  bool send(CommandBuffer const& command, Deadline deadline, Answer answer);
  /// Asks, by a PING, to be answered where messages and invalidations are heard: after all of them
  /// that the server says before. Nothing when not connected.
  void ask_where_heard(Answer answer);
  /// Says SUBSCRIBE, PSUBSCRIBE, UNSUBSCRIBE or PUNSUBSCRIBE with that one name, for who sees to it
  /// himself that it is said again over the next connection. False, and nothing said, when not
  /// connected.
  bool ask_to_hear(std::string_view verb, std::string_view name, Answer answer);
  /// Within on_subscribed: whether that channel is among them.
  [[nodiscard]] bool is_subscribed(std::string const& channel) const;
  /// Asks to be told by `on_changed` when a key that the next command reads changes. False when it
  /// cannot be had.
  bool track_next();

 private:
  struct Pending {
    Answer answer;
    Deadline deadline;
    std::size_t confirmations = 0;  // of a SUBSCRIBE, which is answered by so many pushes
  };
  struct Link {
    std::unique_ptr<Wire> wire;
    std::string outbox;
    std::deque<Pending> pending;
    Deadline last_heard;
    bool more = false;  // it was not listened to to the end
  };

  bool wait(int fd, short events, Deadline deadline) override;

  void report_what_is_thrown() noexcept;
  void run();
  void round();
  void connect();
  void begin_tracking();
  void subscribe_wanted();
  void unsubscribe_unwanted();
  void disconnect();
  void hear(Link& link);
  void take_push(Link& link, ReplyView push);
  void take_answer(Link& link, ReplyView reply);
  void take_invalidation(ReplyView keys);
  void flush(Link& link);
  void post(Link& link, CommandBuffer const& command, Answer answer, std::size_t confirmations = 0);
  [[nodiscard]] static Deadline first_deadline(Link const& link) noexcept;
  void ping_if_silent(Link& link, Deadline now);
  void fire_due();
  [[nodiscard]] Link& listening() noexcept { return resp3_ ? commands_ : subscriptions_; }
  [[nodiscard]] Deadline next_due() const;
  [[nodiscard]] bool is_wanted() const;
  template <class Call>
  void tell(Call&& call);

  Options const& options_;

  mutable std::mutex mutex_{};  // guards what other threads touch: the block below
  bool started_ = false;
  bool stopping_ = false;
  bool woken_ = false;
  bool sends_ = false;
  std::vector<std::string> wanted_{};
  std::vector<std::string> unwanted_{};
  std::vector<EventListener*> listeners_{};
  std::function<void()> then_{};
  std::thread thread_{};
  std::atomic<std::thread::id> own_id_{};

  std::optional<Bell> bell_{};  // from start() on
  // From here on the event thread's own.
  Link commands_{};
  Link subscriptions_{};  // RESP2 only
  bool resp3_ = true;
  bool tracking_ = false;
  bool firing_ = false;
  std::size_t subscribed_ = 0;            // of wanted_, in order; all but those of
  std::size_t subscribing_ = 0;           // so many SUBSCRIBEs are confirmed
  Deadline ask_again_ = Deadline::max();  // for those that were refused
  std::vector<Deadline> due_{};
  std::vector<pollfd> fds_{};
  Deadline next_attempt_{};
  Backoff backoff_ = fresh_backoff();

  static Backoff fresh_backoff() {
    return {std::chrono::milliseconds{10}, std::chrono::milliseconds{1000}};
  }
};

}  // namespace tandem::detail
