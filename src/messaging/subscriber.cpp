#include "messaging/subscriber.hpp"

#include <chrono>
#include <exception>
#include <system_error>
#include <utility>

#include <fmt/core.h>
#include <pthread.h>

#include "core/backoff.hpp"
#include "core/core.hpp"
#include "core/describe.hpp"
#include "core/fork.hpp"
#include "core/thread.hpp"
#include "messaging/topic_agent.hpp"

namespace tandem::detail {

Subscriber::Subscriber(Client client, Wish wish)
    : client_{std::move(client)},
      wish_{std::move(wish)},
      agent_{client_.core().service<TopicAgent>()},
      generation_{fork_generation()},
      mailbox_{wish_.options, wish_.history.has_value()} {}

Subscriber::~Subscriber() = default;

std::string Subscriber::in_words() const {
  return fmt::format("{} {}", wish_.is_pattern ? "topics" : "topic", quoted(wish_.topic));
}

// -- beginning and end ----------------------------------------------------------------------------

void Subscriber::begin() {
  agent_.add(shared_from_this(), client_.core().deadline());
  try {
    // On the event thread nothing waits for the server: there its own thread does, before it reads.
    if (wish_.history && !client_.core().events().is_own_thread()) find_place();
    start();
  } catch (...) {
    agent_.forget(*this);
    throw;
  }
}

void Subscriber::find_place() {
  wish_.history->begin(wish_.options.replay);
  has_place_ = true;
}

void Subscriber::start() {
  try {
    std::lock_guard const guard{joining_};
    thread_ = thread_without_signals([self = shared_from_this()] { self->run(); });
    pthread_setname_np(thread_.native_handle(), "tandem-topic");
  } catch (std::system_error const& fault) {
    throw Unreachable{
        fmt::format("tandem: no thread for a subscription to {}: {}", in_words(), fault.what())};
  }
}

void Subscriber::end() noexcept {
  active_ = false;
  agent_.forget(*this);
  mailbox_.close();
  if (is_own_thread()) return;
  std::lock_guard const guard{joining_};
  if (thread_.joinable()) thread_.join();
}

void Subscriber::let_go_of_thread() noexcept {
  if (!is_own_thread()) return;  // end() has waited for it
  std::lock_guard const guard{joining_};
  if (thread_.joinable()) thread_.detach();
}

bool Subscriber::goes_on() const noexcept { return generation_ == fork_generation() && active_; }

void Subscriber::on_heard() {
  bool const again = std::exchange(was_heard_, true);
  if (wish_.history) {
    mailbox_.put_look();
  } else if (again) {
    mailbox_.put_gap();
  }
}

// -- its thread -----------------------------------------------------------------------------------

void Subscriber::run() {
  own_id_ = std::this_thread::get_id();
  while (goes_on()) {
    auto const letter = mailbox_.take();
    if (!letter) return;
    try {
      open(*letter);
    } catch (std::exception const& fault) {  // out of memory: this thread must outlive it
      client_.core().options().report(
          Error{fmt::format("tandem: for {}: {}", in_words(), fault.what())});
      if (wish_.history) mailbox_.put_look();
    }
  }
}

void Subscriber::open(Mailbox::Letter const& letter) {
  if (letter.gap) tell_gap({TopicGap::Why::disconnected});
  if (letter.dropped > 0) tell_gap({TopicGap::Why::buffer_full, letter.dropped});
  if (letter.look) catch_up();
  if (letter.message && wish_.history) {
    tell_in_order(*letter.message);
  } else if (letter.message) {
    tell(wish_.is_pattern ? letter.message->topic : wish_.topic, letter.message->bytes);
  }
  if (letter.failed) fail();
}

void Subscriber::tell(std::string_view topic, std::string_view message) {
  if (!goes_on()) return;
  guarded([&] { wish_.handler(topic, message); });
}

void Subscriber::tell_gap(TopicGap const& gap) {
  if (!goes_on() || !wish_.options.on_gap) return;
  guarded([&] { wish_.options.on_gap(gap); });
}

template <class Call>
void Subscriber::guarded(Call&& call) {
  auto const& options = client_.core().options();
  try {
    call();
  } catch (Error const& fault) {
    options.report(fault);
  } catch (std::exception const& fault) {
    options.report(Error{fmt::format("tandem: in a handler of {}: {}", in_words(), fault.what())});
  } catch (...) {
    options.report(
        Error{fmt::format("tandem: in a handler of {}: an exception of unknown type", in_words())});
  }
}

void Subscriber::fail() {
  tell_gap({TopicGap::Why::buffer_full});
  if (!goes_on()) return;
  client_.core().options().report(Error{
      fmt::format("tandem: the subscription to {} has ended: its buffer was full", in_words())});
  active_ = false;
  agent_.forget(*this);
  mailbox_.close();
}

// -- with a history -------------------------------------------------------------------------------

void Subscriber::tell_in_order(Mailbox::Message const& message) {
  try {
    auto const heard = History::parse(message.bytes);
    auto order = wish_.history->order_of(heard);
    if (order == History::Order::beyond) {
      catch_up();
      order = wish_.history->order_of(heard);
    }
    if (order != History::Order::told) tell_steps(wish_.history->take(heard));
  } catch (CodecError const& error) {
    client_.core().options().report(codec_error_of(wish_.topic, error));
  }
}

void Subscriber::tell_steps(std::vector<History::Step> const& steps) {
  for (auto const& step : steps) {
    if (step.gap) {
      tell_gap(*step.gap);
    } else {
      tell(wish_.topic, step.message);
    }
  }
}

/// Reads all that was published up to now, however long that takes: what follows cannot be told
/// before it.
void Subscriber::catch_up() {
  Backoff backoff{std::chrono::milliseconds{10}, std::chrono::milliseconds{1000}};
  std::string reported;
  while (goes_on()) {
    try {
      if (!has_place_) find_place();
      auto const part = wish_.history->read();
      tell_steps(part.steps);
      if (part.is_last) return;
      continue;
    } catch (ServerError const& refusal) {
      bool const passes = refusal.code() == "LOADING";  // it has just been started
      if (!passes && std::exchange(reported, refusal.what()) != refusal.what())
        client_.core().options().report(refusal);
    } catch (Error const&) {  // the connection's fault: who publishes learns of it, too
    }
    if (mailbox_.is_closed_by(std::chrono::steady_clock::now() + backoff.pause())) return;
  }
}

}  // namespace tandem::detail
