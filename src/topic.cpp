#include "tandem/topic.hpp"

#include <stdexcept>

#include <fmt/core.h>

#include "core/core.hpp"
#include "core/describe.hpp"
#include "core/fork.hpp"
#include "messaging/subscriber.hpp"

namespace tandem {
namespace detail {

/// What a Subscription is, in the process that it began in.
struct Subscribed {
  std::shared_ptr<Subscriber> subscriber;
  unsigned generation = fork_generation();
  // In a child its locks may be held by threads that are not there.
  [[nodiscard]] bool is_here() const noexcept { return generation == fork_generation(); }
};

namespace {

constexpr std::size_t longest_history = 1'000'000;
constexpr std::size_t most_buffered = 10'000'000;
constexpr std::size_t fewest_bytes = 1024;
constexpr std::size_t most_bytes = std::size_t{64} << 30U;

std::string checked(std::string name) {
  if (name.empty())
    throw std::invalid_argument{"tandem: a topic's name is empty; any other bytes are accepted"};
  if (name.starts_with("tandem:") || name.starts_with("__redis__:")) {
    throw std::invalid_argument{
        fmt::format("tandem: a topic's name is {}; what begins with tandem: or __redis__: is not a "
                    "user's, any other bytes are accepted",
                    quoted(name))};
  }
  return name;
}

void check(SubscriptionOptions const& options) {
  if (options.buffer < 1 || options.buffer > most_buffered) {
    throw std::invalid_argument{
        fmt::format("tandem: a subscription's buffer is {}; accepted are 1 to {}", options.buffer,
                    most_buffered)};
  }
  if (options.buffer_bytes < fewest_bytes || options.buffer_bytes > most_bytes) {
    throw std::invalid_argument{
        fmt::format("tandem: a subscription's buffer_bytes is {}; accepted are {} to {}",
                    options.buffer_bytes, fewest_bytes, most_bytes)};
  }
}

std::unique_ptr<Subscribed> begin(Client const& client, Subscriber::Wish wish) {
  check(wish.options);
  if (!wish.handler) refuse_empty_handler();
  auto out = std::make_unique<Subscribed>();
  out->subscriber = std::make_shared<Subscriber>(client, std::move(wish));
  out->subscriber->begin();
  return out;
}

}  // namespace

void refuse_empty_handler() {
  throw std::invalid_argument{"tandem: the handler of a subscription is empty"};
}

CodecError codec_error_of(std::string_view topic, CodecError const& error) {
  return CodecError{fmt::format("tandem: topic {}: {}", quoted(topic), error.what())};
}

// -- a topic --------------------------------------------------------------------------------------

TopicBytes::TopicBytes(Client client, std::string name, TopicOptions options)
    : client_{std::move(client)}, name_{checked(std::move(name))}, options_{options} {
  if (options.history <= longest_history) return;
  throw std::invalid_argument{fmt::format("tandem: topic {}: history is {}; accepted are 0 to {}",
                                          quoted(name_), options.history, longest_history)};
}

std::size_t TopicBytes::publish(std::string_view message) const {
  if (options_.history > 0)
    return History{client_, name_}.publish(name_, options_.history, message);
  auto& core = client_.core();
  CommandBuffer command;
  command.add(std::initializer_list<Argument>{"PUBLISH", name_, message});
  auto const reply = core.ask(command, core.deadline(), Repeat::never);
  if (reply.is_error()) reply.throw_if_error(fmt::format("PUBLISH on {}", printable(name_)));
  return reply.as<std::size_t>();
}

Subscription TopicBytes::subscribe(MessageHandler handler, SubscriptionOptions options) const {
  Subscriber::Wish wish{.topic = name_,
                        .channel = name_,
                        .handler = std::move(handler),
                        .options = std::move(options)};
  if (options_.history > 0) {
    wish.history.emplace(client_, name_);
    wish.channel = wish.history->channel();
  }
  return Subscription{begin(client_, std::move(wish)).release()};
}

// -- a pattern ------------------------------------------------------------------------------------

TopicPatternBytes::TopicPatternBytes(Client client, std::string pattern)
    : client_{std::move(client)}, pattern_{std::move(pattern)} {
  if (pattern_.empty())
    throw std::invalid_argument{"tandem: a pattern of topics is empty; any other is accepted"};
}

Subscription TopicPatternBytes::subscribe(MessageHandler handler,
                                          SubscriptionOptions options) const {
  return Subscription{begin(client_, {.topic = pattern_,
                                      .channel = pattern_,
                                      .is_pattern = true,
                                      .handler = std::move(handler),
                                      .options = std::move(options)})
                          .release()};
}

}  // namespace detail

// -- a subscription -------------------------------------------------------------------------------

Subscription::Subscription(Subscription&& other) noexcept = default;
Subscription& Subscription::operator=(Subscription&& other) noexcept = default;
Subscription::~Subscription() = default;

void Subscription::End::operator()(detail::Subscribed* mine) const noexcept {
  if (!mine->is_here()) return;
  auto const subscriber = mine->subscriber;
  subscriber->end();
  subscriber->let_go_of_thread();
  delete mine;
}

void Subscription::unsubscribe() noexcept {
  if (mine_ != nullptr && mine_->is_here()) mine_->subscriber->end();
}

bool Subscription::is_active() const noexcept {
  return mine_ != nullptr && mine_->is_here() && mine_->subscriber->is_active();
}

}  // namespace tandem
