#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.hpp"
#include "messaging/subscriber.hpp"

namespace tandem::detail {

/// Keeps the channels and patterns subscribed that somebody in this process listens to, each once,
/// and gives what is heard to all of them.
///
/// Threads: safe from several.
class TopicAgent final : public EventListener {
 public:
  explicit TopicAgent(Core& core);

  /// Returns when it is heard for. Throws ServerError when the server refuses that, Unreachable when
  /// it has not confirmed it at the deadline; then it is forgotten. Waits for nothing on the event
  /// thread.
  void add(std::shared_ptr<Subscriber> const& subscriber, Deadline deadline);
  /// It is called no more when this returns.
  void forget(Subscriber const& subscriber) noexcept;

 private:
  enum class State { wanted, asked, heard };
  struct Channel {
    State state = State::wanted;
    Deadline ask_at{};                                       // when wanted
    std::uint64_t question = 0;                              // when asked: by which
    std::vector<std::shared_ptr<Subscriber>> subscribers{};  // none: to be unsubscribed
    std::size_t waiting = 0;                                 // of these, in add()
    std::uint64_t refusals = 0;
    std::optional<ServerError> refusal{};  // the last one, until it is heard
  };
  using Channels = std::map<std::string, Channel, std::less<>>;
  /// Who waits for it is told of a refusal by an exception; all others by Options::on_error.
  [[nodiscard]] static bool is_to_be_reported(Channels::value_type const& each) noexcept {
    return each.second.subscribers.size() > each.second.waiting;
  }

  void on_connected() override;
  void on_refused(ServerError const& error) override;
  void on_disconnected() override;
  void on_message(std::string_view channel, std::string_view text) override;
  void on_pattern_message(std::string_view pattern, std::string_view channel,
                          std::string_view text) override;
  Deadline on_time(Deadline now) override;

  [[nodiscard]] Channels& all_like(bool is_pattern) noexcept {
    return is_pattern ? patterns_ : channels_;
  }
  void strike(Subscriber const& subscriber) noexcept;
  void want_all();
  void ask(bool is_pattern, Deadline now);
  void let_go(bool is_pattern);
  void on_answer(bool is_pattern, std::string const& name, std::uint64_t question,
                 ReplyView const& reply);

  Events& events_;
  Options const& options_;
  std::mutex mutex_{};  // guards:
  std::condition_variable changed_{};
  Channels channels_{};
  Channels patterns_{};
  Deadline ask_at_ = Deadline::max();
  std::uint64_t questions_ = 0;
  std::uint64_t refusals_ = 0;  // of connections
  std::optional<ServerError> refusal_{};
  bool refusal_is_told_ = false;  // once, until there is a connection
};

}  // namespace tandem::detail
