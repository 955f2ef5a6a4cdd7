#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <tandem/client.hpp>
#include <tandem/core/codec.hpp>

namespace tandem {

/// What a Topic keeps of its messages.
struct TopicOptions {
  /// The server keeps so many of the latest, from 0 to 1,000,000: who subscribes later, or was cut
  /// off, is told them. The same for all that publish or subscribe; those without a history are not
  /// heard by those with one.
  std::size_t history = 0;
};

/// Messages that a subscription was not told, or may not have been told.
struct TopicGap {
  enum class Why {
    disconnected,     ///< no history: what was published while the connection was lost
    buffer_full,      ///< no history: the handler is slower than what is published
    history_trimmed,  ///< more were published than the history keeps before they could be read
    history_lost,     ///< the history is another: deleted, or the server has forgotten some of it
  };
  Why why;
  /// How many; none: nobody knows, and it may be none.
  std::optional<std::uint64_t> lost{};
};

/// How a subscription listens.
struct SubscriptionOptions {
  static constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();

  /// So many messages may wait for the handler, from 1 to 10 million,
  std::size_t buffer = 1000;
  /// and so many bytes of them, from 1 KiB to 64 GiB. A single one of any size may.
  std::size_t buffer_bytes = 64U << 20U;
  /// What gives way when the buffer is full: the message that waits longest, the one that has just
  /// come, or the subscription, which ends when the handler was given what waits. A history is read
  /// again instead, when there is room.
  enum class WhenFull { drop_oldest, drop_newest, fail } when_full = WhenFull::drop_oldest;
  /// Of a history, so many of the latest messages are told first.
  std::size_t replay = everything;
  /// Told of each gap, between the messages before and after it.
  std::function<void(TopicGap const&)> on_gap{};
};

namespace detail {
struct Subscribed;
class TopicBytes;
class TopicPatternBytes;
}  // namespace detail

/// As long as it lives, a handler is called with what is published. Movable.
///
/// Threads: one at a time; unsubscribe and is_active from any.
class Subscription {
 public:
  Subscription(Subscription&& other) noexcept;
  Subscription& operator=(Subscription&& other) noexcept;
  /// As unsubscribe().
  ~Subscription();

  /// What waits for the handler is dropped. No call of it is under way when this returns, but where
  /// it is called in one: it waits for that, and for a read of the history that is under way, until
  /// Options::command_timeout.
  void unsubscribe() noexcept;

  /// Not after unsubscribe(), nor when it has failed for want of room, nor in the child of a fork.
  [[nodiscard]] bool is_active() const noexcept;

 private:
  friend class detail::TopicBytes;
  friend class detail::TopicPatternBytes;
  struct End {
    void operator()(detail::Subscribed* mine) const noexcept;
  };
  explicit Subscription(detail::Subscribed* mine) noexcept : mine_{mine} {}

  std::unique_ptr<detail::Subscribed, End> mine_;
};

namespace detail {

using MessageHandler = std::function<void(std::string_view topic, std::string_view message)>;

/// As Topic, with messages as bytes.
class TopicBytes {
 public:
  TopicBytes(Client client, std::string name, TopicOptions options);

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  [[nodiscard]] std::size_t publish(std::string_view message) const;
  [[nodiscard]] Subscription subscribe(MessageHandler handler, SubscriptionOptions options) const;

 private:
  Client client_;
  std::string name_;
  TopicOptions options_;
};

/// As TopicPattern, with messages as bytes.
class TopicPatternBytes {
 public:
  TopicPatternBytes(Client client, std::string pattern);

  [[nodiscard]] std::string const& pattern() const noexcept { return pattern_; }
  [[nodiscard]] Subscription subscribe(MessageHandler handler, SubscriptionOptions options) const;

 private:
  Client client_;
  std::string pattern_;
};

/// Throws std::invalid_argument.
[[noreturn]] void refuse_empty_handler();

/// `error` with the topic in its text.
[[nodiscard]] CodecError codec_error_of(std::string_view topic, CodecError const& error);

template <class T>
[[nodiscard]] T decoded_message(std::string_view topic, std::string_view bytes) {
  try {
    return Codec<T>::decode(bytes);
  } catch (CodecError const& error) {
    throw codec_error_of(topic, error);
  }
}

}  // namespace detail

}  // namespace tandem
