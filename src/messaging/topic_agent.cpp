#include "messaging/topic_agent.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/core.h>

#include "core/describe.hpp"

namespace tandem::detail {
namespace {

// A server that refused a channel changes its mind slowly.
constexpr std::chrono::seconds refused_pause{1};
// The channels that scripts of tandem's publish at.
constexpr std::string_view own_channels = "tandem:";

}  // namespace

TopicAgent::TopicAgent(Core& core) : events_{core.events()}, options_{core.options()} {}

// -- from any thread ------------------------------------------------------------------------------

void TopicAgent::add(std::shared_ptr<Subscriber> const& subscriber, Deadline deadline) {
  events_.start();
  events_.keep_connected();
  std::unique_lock lock{mutex_};
  auto& channel = all_like(subscriber->is_pattern())[subscriber->channel()];
  channel.subscribers.push_back(subscriber);
  if (channel.state == State::heard) return subscriber->on_heard();
  channel.ask_at = ask_at_ = Deadline{};
  auto const before = channel.refusals;
  auto const before_of_connections = refusals_;
  events_.wake();
  if (events_.is_own_thread()) return;
  ++channel.waiting;
  changed_.wait_until(lock, deadline, [&] {
    return channel.state == State::heard || channel.refusals != before ||
           refusals_ != before_of_connections;
  });
  --channel.waiting;
  if (channel.state == State::heard) return;
  auto const refusal = channel.refusals != before           ? channel.refusal
                       : refusals_ != before_of_connections ? refusal_
                                                            : std::nullopt;
  strike(*subscriber);
  lock.unlock();
  events_.wake();
  if (refusal) throw ServerError{*refusal};
  throw Unreachable{fmt::format("tandem: the subscription to {} was not confirmed in time by {}",
                                subscriber->in_words(), options_.endpoint())};
}

void TopicAgent::forget(Subscriber const& subscriber) noexcept {
  {
    std::lock_guard const guard{mutex_};
    strike(subscriber);
  }
  events_.wake();
}

void TopicAgent::strike(Subscriber const& subscriber) noexcept {
  auto& all = all_like(subscriber.is_pattern());
  auto const found = all.find(subscriber.channel());
  if (found == all.end()) return;
  auto& channel = found->second;
  std::erase_if(channel.subscribers, [&](auto const& each) { return each.get() == &subscriber; });
  if (!channel.subscribers.empty()) return;
  if (channel.state == State::wanted) all.erase(found);
  ask_at_ = Deadline{};
}

// -- on the event thread --------------------------------------------------------------------------

void TopicAgent::on_connected() {
  want_all();
  std::lock_guard const guard{mutex_};
  refusal_is_told_ = false;
}

void TopicAgent::on_disconnected() { want_all(); }

void TopicAgent::want_all() {
  std::lock_guard const guard{mutex_};
  for (auto* const all : {&channels_, &patterns_}) {
    std::erase_if(*all, [](auto const& each) { return each.second.subscribers.empty(); });
    for (auto& [name, channel] : *all) {
      channel.state = State::wanted;
      channel.ask_at = Deadline{};
    }
  }
  ask_at_ = Deadline{};
}

/// Of the connection; a refused channel of somebody else's is no concern of these.
void TopicAgent::on_refused(ServerError const& error) {
  if (events_.connected()) return;
  bool report = false;
  {
    std::lock_guard const guard{mutex_};
    ++refusals_;
    refusal_ = error;
    bool const is_missed = std::any_of(channels_.begin(), channels_.end(), is_to_be_reported) ||
                           std::any_of(patterns_.begin(), patterns_.end(), is_to_be_reported);
    report = is_missed && !std::exchange(refusal_is_told_, true);
  }
  changed_.notify_all();
  if (report) options_.report(error);
}

Deadline TopicAgent::on_time(Deadline now) {
  std::lock_guard const guard{mutex_};
  if (!events_.connected()) return Deadline::max();  // on_connected() comes
  if (now < ask_at_) return ask_at_;
  ask_at_ = Deadline::max();
  for (bool const is_pattern : {false, true}) {
    let_go(is_pattern);
    ask(is_pattern, now);
  }
  return ask_at_;
}

void TopicAgent::let_go(bool is_pattern) {
  std::erase_if(all_like(is_pattern), [&](auto const& each) {
    auto const& [name, channel] = each;
    if (!channel.subscribers.empty()) return false;
    if (channel.state != State::wanted)
      (void)events_.ask_to_hear(is_pattern ? "PUNSUBSCRIBE" : "UNSUBSCRIBE", name, nullptr);
    return true;
  });
}

void TopicAgent::ask(bool is_pattern, Deadline now) {
  for (auto& [name, channel] : all_like(is_pattern)) {
    if (channel.state != State::wanted) continue;
    if (channel.ask_at > now) {
      ask_at_ = std::min(ask_at_, channel.ask_at);
      continue;
    }
    channel.state = State::asked;
    channel.question = ++questions_;
    (void)events_.ask_to_hear(
        is_pattern ? "PSUBSCRIBE" : "SUBSCRIBE", name,
        [this, is_pattern, name = name, question = questions_](ReplyView const* reply) {
          if (reply != nullptr) on_answer(is_pattern, name, question, *reply);
        });
  }
}

void TopicAgent::on_answer(bool is_pattern, std::string const& name, std::uint64_t question,
                           ReplyView const& reply) {
  std::optional<ServerError> report;
  {
    std::lock_guard const guard{mutex_};
    auto& all = all_like(is_pattern);
    auto const found = all.find(name);
    if (found == all.end() || found->second.question != question) return;
    auto& channel = found->second;
    if (reply.is_error()) {
      ServerError const refusal{
          reply.error_text(),
          fmt::format("{} on {}", is_pattern ? "PSUBSCRIBE" : "SUBSCRIBE", printable(name))};
      if (!channel.refusal && is_to_be_reported(*found)) report = refusal;
      channel.refusal = refusal;
      ++channel.refusals;
      channel.state = State::wanted;
      channel.ask_at = std::chrono::steady_clock::now() + refused_pause;
      ask_at_ = std::min(ask_at_, channel.ask_at);
    } else {
      channel.state = State::heard;
      channel.refusal.reset();
      for (auto const& each : channel.subscribers) each->on_heard();
    }
  }
  changed_.notify_all();
  if (report) options_.report(*report);
}

// What comes before the confirmation is of an earlier subscription, which has ended: there may be a
// hole after it, of which nobody would be told.

void TopicAgent::on_message(std::string_view channel, std::string_view text) {
  std::lock_guard const guard{mutex_};
  auto const found = channels_.find(channel);
  if (found == channels_.end() || found->second.state != State::heard) return;
  for (auto const& each : found->second.subscribers) each->on_message({}, text);
}

void TopicAgent::on_pattern_message(std::string_view pattern, std::string_view channel,
                                    std::string_view text) {
  if (channel.starts_with(own_channels)) return;
  std::lock_guard const guard{mutex_};
  auto const found = patterns_.find(pattern);
  if (found == patterns_.end() || found->second.state != State::heard) return;
  for (auto const& each : found->second.subscribers) each->on_message(channel, text);
}

}  // namespace tandem::detail
