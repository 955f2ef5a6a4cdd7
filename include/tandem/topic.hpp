#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <tandem/client.hpp>
#include <tandem/core/codec.hpp>
#include <tandem/core/subscription.hpp>

namespace tandem {

/// What some processes publish and others are told: a channel of exactly this name.
///
///     tandem::Topic<std::string> news{redis, "news"};
///     auto subscription = news.subscribe([](std::string const& message) { show(message); });
///     news.publish("hello");
///
/// Other clients may take part: `PUBLISH news hello`, `SUBSCRIBE news`. Each message is told to all
/// subscriptions that there are, in the order in which the server got them, at most once: what is
/// published while the connection is lost is not told, but that something is missing
/// (SubscriptionOptions::on_gap). Take a history where that is not enough, and a `Queue` for work
/// that somebody must do.
///
///     tandem::Topic<std::string> news{redis, "news", {.history = 1000}};
///
/// With a history, a subscription is told every message exactly once and in order, also what was
/// published before it began and while it was cut off, as long as no more were published meanwhile
/// than the history keeps; else on_gap is told how many are missing. For why, and what is not
/// promised, see docs/messages.md.
///
/// Handlers run on a thread of the subscription's own, one call at a time; a slow one delays nobody
/// else. It may use any client and unsubscribe. What it throws, and a message that is no T, go to
/// Options::on_error, and the next message is told. A subscription subscribes again by itself after
/// every loss of the connection. In the child of a fork nobody is told of the parent's messages.
///
/// Shape:   channel `<name>`, messages = `Codec<T>`. With a history also stream `{<name>}:history`,
///          without expiry: entries of one field, "<when the history began> <number>", whose value
///          is the message; and channel `tandem:{<name>}:history`, followed by `:<database>` where
///          that is not 0, "<id> <field>", a line feed, the message.
/// Cost:    publish 1 command in 1 round trip. subscribe 1 round trip, with a history 1 more, and 1
///          for each 1,000 messages or 1 MiB that are replayed; a thread for each subscription. A
///          client that has subscribed keeps a connection to listen.
/// Errors:  std::invalid_argument for a name that is empty or begins with `tandem:` or `__redis__:`,
///          and for options out of range. Unreachable; InDoubt from publish, which is sent once;
///          ServerError, whose code is WRONGTYPE when the key of the history is no stream, NOPERM
///          where the user may not use the channel.
/// Threads: safe from several.
/// Source:  src/messaging/, src/lua/topic/; Redis documentation, "Pub/sub", "Streams".
/// See examples/topic.cpp.
template <class T>
class Topic {
  static_assert(Encodable<T> && Decodable<T>,
                "the message has no tandem::Codec that writes and reads it: specialise "
                "tandem::Codec<T>, see <tandem/core/codec.hpp>");

 public:
  /// No I/O yet.
  Topic(Client client, std::string name, TopicOptions options = {})
      : bytes_{std::move(client), std::move(name), options} {}

  [[nodiscard]] std::string const& name() const noexcept { return bytes_.name(); }

  /// How many subscriptions of connections the server has told it to: one for each client that
  /// listens, however many subscriptions that has, and one more for a pattern; with a history two
  /// for a pattern that matches `tandem:...`, too.
  std::size_t publish(T const& message) { return bytes_.publish(Codec<T>::encode(message)); }

  /// Returns when the server has confirmed it: what is published from then on is told. Waits for
  /// that until Options::command_timeout; not on the client's background thread, where it returns
  /// at once, and what is published after that confirmation is told.
  [[nodiscard]] Subscription subscribe(std::function<void(T const&)> handler,
                                       SubscriptionOptions options = {}) const {
    if (!handler) detail::refuse_empty_handler();
    return bytes_.subscribe(
        [handler = std::move(handler)](std::string_view topic, std::string_view bytes) {
          handler(detail::decoded_message<T>(topic, bytes));
        },
        std::move(options));
  }

 private:
  detail::TopicBytes bytes_;
};

/// All topics whose names match a pattern: `*` for any bytes, `?` for one, `[ab]` for one of these.
///
///     tandem::TopicPattern<std::string> all{redis, "news.*"};
///     auto subscription = all.subscribe([](auto const& topic, auto const& message) { ... });
///
/// As Topic in everything else, without a history: of a topic that has one, what is published is
/// told like that of others. tandem's own channels, `tandem:...`, are left out.
///
/// Source:  Redis documentation, "PSUBSCRIBE".
template <class T>
class TopicPattern {
  static_assert(Decodable<T>,
                "the message has no tandem::Codec that reads it: specialise tandem::Codec<T>, see "
                "<tandem/core/codec.hpp>");

 public:
  /// No I/O yet.
  TopicPattern(Client client, std::string pattern)
      : bytes_{std::move(client), std::move(pattern)} {}

  [[nodiscard]] std::string const& pattern() const noexcept { return bytes_.pattern(); }

  [[nodiscard]] Subscription subscribe(
      std::function<void(std::string const& topic, T const& message)> handler,
      SubscriptionOptions options = {}) const {
    if (!handler) detail::refuse_empty_handler();
    return bytes_.subscribe(
        [handler = std::move(handler)](std::string_view topic, std::string_view bytes) {
          handler(std::string{topic}, detail::decoded_message<T>(topic, bytes));
        },
        std::move(options));
  }

 private:
  detail::TopicPatternBytes bytes_;
};

}  // namespace tandem
