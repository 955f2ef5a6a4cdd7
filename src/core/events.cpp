#include "core/events.hpp"

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

#include <fmt/core.h>
#include <pthread.h>

#include "core/thread.hpp"

namespace tandem::detail {
namespace {

using std::chrono::steady_clock;

constexpr auto silence = std::chrono::seconds{5};
// A server that refused to be listened to changes its mind slowly.
constexpr auto refused_pause = std::chrono::seconds{1};
// For how long one connection is listened to before timers are looked at again.
constexpr auto one_sitting = std::chrono::milliseconds{2};
constexpr std::string_view invalidations = "__redis__:invalidate";  // RESP2's channel for them

}  // namespace

// -- from any thread ------------------------------------------------------------------------------

Events::~Events() { stop(); }

void Events::attach_first(EventListener& listener) { listeners_.push_back(&listener); }

void Events::attach(EventListener& listener) {
  std::lock_guard const guard{mutex_};
  listeners_.push_back(&listener);
}

void Events::start() {
  std::lock_guard const guard{mutex_};
  if (started_ || stopping_) return;
  if (!bell_ || bell_->error() != 0) bell_.emplace();
  if (bell_->error() != 0) {
    throw Unreachable{fmt::format("tandem: no eventfd: {}", error_text(bell_->error()))};
  }
  try {
    thread_ = thread_without_signals([this] { run(); });
  } catch (std::system_error const& fault) {
    throw Unreachable{
        fmt::format("tandem: no thread for what goes on in the background: {}", fault.what())};
  }
  started_ = true;
  pthread_setname_np(thread_.native_handle(), "tandem");
}

void Events::stop() {
  {
    std::lock_guard const guard{mutex_};
    stopping_ = true;
  }
  wake();
  if (thread_.joinable()) thread_.join();
}

void Events::stop_and_then(std::function<void()> then) {
  {
    std::lock_guard const guard{mutex_};
    stopping_ = true;
    then_ = std::move(then);
    thread_.detach();
  }
  wake();  // it is in a callback now, and would sleep once more after it
}

void Events::subscribe(std::string channel) {
  {
    std::lock_guard const guard{mutex_};
    wanted_.push_back(std::move(channel));
  }
  wake();
}

void Events::unsubscribe(std::string const& channel) {
  {
    std::lock_guard const guard{mutex_};
    unwanted_.push_back(channel);
  }
  wake();
}

void Events::keep_connected() {
  {
    std::lock_guard const guard{mutex_};
    sends_ = true;
  }
  wake();
}

void Events::wake() noexcept {
  std::lock_guard const guard{mutex_};
  if (!std::exchange(woken_, true) && bell_) bell_->ring();
}

// -- the loop -------------------------------------------------------------------------------------

void Events::report_what_is_thrown() noexcept {
  try {
    throw;
  } catch (Error const& fault) {
    options_.report(fault);
  } catch (std::exception const& fault) {
    options_.report(Error{std::string{"tandem: on the background thread: "} + fault.what()});
  } catch (...) {
    options_.report(Error{"tandem: on the background thread: an exception of unknown type"});
  }
}

template <class Call>
void Events::tell(Call&& call) {
  std::vector<EventListener*> listeners;
  {
    std::lock_guard const guard{mutex_};
    if (stopping_) return;
    listeners = listeners_;
  }
  for (auto* const each : listeners) {
    guarded([&] { call(*each); });
  }
}

void Events::run() {
  own_id_ = std::this_thread::get_id();
  auto const running = [&] {
    std::lock_guard const guard{mutex_};
    return !stopping_;
  };
  while (running()) {
    try {
      round();
    } catch (Error const&) {
      disconnect();  // the network's fault or the server's: who waits for either is told so
    } catch (std::exception const& fault) {  // out of memory: this thread must outlive it
      options_.report(Unreachable{std::string{"tandem: on the event thread: "} + fault.what()});
      disconnect();
    }
  }
  // Frees this object, where its owner went away on this very thread.
  if (auto const then = std::exchange(then_, {})) then();
}

void Events::round() {
  if (!connected() && is_wanted() && steady_clock::now() >= next_attempt_) connect();
  fire_due();  // takes note of having been woken, so before what it may have been woken for
  unsubscribe_unwanted();
  if (connected()) subscribe_wanted();

  fds_.assign({{bell_->descriptor(), POLLIN, 0}, {-1, 0, 0}, {-1, 0, 0}});
  Link* const links[] = {&commands_, &subscriptions_};
  for (std::size_t i = 0; i < 2; ++i) {
    auto& link = *links[i];
    if (link.wire == nullptr) continue;
    flush(link);
    ping_if_silent(link, steady_clock::now());
    fds_[i + 1] = {link.wire->descriptor(),
                   static_cast<short>(link.outbox.empty() ? POLLIN : POLLIN | POLLOUT), 0};
  }
  tell([&](EventListener& listener) {
    fds_.push_back({-1, 0, 0});  // should it throw
    fds_.back() = listener.watch();
  });
  auto const unread = commands_.more || subscriptions_.more;
  if (!poll_until(fds_.data(), fds_.size(), unread ? Deadline::min() : next_due()) && !unread)
    return;
  if (fds_[0].revents != 0) bell_->silence();
  for (std::size_t i = 0; i < 2; ++i) {
    if ((fds_[i + 1].revents != 0 || links[i]->more) && links[i]->wire != nullptr) hear(*links[i]);
  }
  std::size_t watched = 3;
  tell([&](EventListener& listener) {
    if (watched < fds_.size() && fds_[watched++].revents != 0) listener.on_ready();
  });
}

/// Without a subscription there is nothing to be heard, and most services have nothing to say.
bool Events::is_wanted() const {
  std::lock_guard const guard{mutex_};
  return sends_ || !wanted_.empty();
}

Deadline Events::next_due() const {
  auto next = Deadline::max();
  if (connected()) {
    next = std::min(steady_clock::now() + silence, ask_again_);
  } else if (is_wanted()) {
    next = next_attempt_;
  }
  for (auto const due : due_) next = std::min(next, due);
  for (auto const* link : {&commands_, &subscriptions_}) {
    next = std::min(next, first_deadline(*link));
  }
  return next;
}

void Events::fire_due() {
  bool woken = false;
  std::size_t count = 0;
  {
    std::lock_guard const guard{mutex_};
    woken = std::exchange(woken_, false);
    count = listeners_.size();
  }
  due_.resize(count, Deadline{});
  auto const now = steady_clock::now();
  firing_ = true;
  std::size_t i = 0;
  tell([&](EventListener& listener) {
    auto const at = i++;
    if (at >= due_.size() || (!woken && now < due_[at])) return;
    due_[at] = now + std::chrono::seconds{1};  // should it throw
    due_[at] = listener.on_time(now);
  });
  firing_ = false;
}

/// While a wire connects or shakes hands, timers go on, and a stop ends it.
bool Events::wait(int fd, short events, Deadline deadline) {
  for (;;) {
    {
      std::lock_guard const guard{mutex_};
      if (stopping_) return false;
    }
    if (!firing_) fire_due();
    auto until = deadline;
    for (auto const due : due_) until = std::min(until, due);
    pollfd fds[2] = {{bell_->descriptor(), POLLIN, 0}, {fd, events, 0}};
    if (poll_until(fds, 2, until)) {
      if (fds[0].revents != 0) bell_->silence();
      if (fds[1].revents != 0) return true;
    }
    if (steady_clock::now() >= deadline) return false;
  }
}

// -- the connection -------------------------------------------------------------------------------

void Events::connect() {
  next_attempt_ = steady_clock::now() + backoff_.pause();
  auto const deadline = steady_clock::now() + options_.connect_timeout;
  try {
    Waiting& timers_go_on = *this;
    auto wire = std::make_unique<Wire>(options_, deadline, timers_go_on);
    resp3_ = wire->protocol() == 3;
    if (!resp3_) subscriptions_.wire = std::make_unique<Wire>(options_, deadline, timers_go_on);
    commands_.wire = std::move(wire);
  } catch (ServerError const& refusal) {
    subscriptions_.wire.reset();
    tell([&](EventListener& listener) { listener.on_refused(refusal); });
    return;
  } catch (Unreachable const&) {
    subscriptions_.wire.reset();
    return;  // tried again at next_attempt_; who waits for the server learns it by its own call
  }
  commands_.last_heard = subscriptions_.last_heard = steady_clock::now();
  backoff_ = fresh_backoff();
  subscribed_ = subscribing_ = 0;
  ask_again_ = Deadline::max();
  begin_tracking();
  tell([](EventListener& listener) { listener.on_connected(); });
}

void Events::begin_tracking() {
  CommandBuffer command;
  auto const note = [this](ReplyView const* reply) {
    tracking_ = reply != nullptr && !reply->is_error();
  };
  tracking_ = false;
  if (resp3_) {
    command.add(std::initializer_list<Argument>{"CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP"});
    post(commands_, command, note);
    return;
  }
  command.add(std::initializer_list<Argument>{"CLIENT", "ID"});
  post(subscriptions_, command, [this, note](ReplyView const* id) {
    if (id == nullptr || id->kind() != ReplyKind::integer) return;
    CommandBuffer redirect;
    redirect.add(std::initializer_list<Argument>{"CLIENT", "TRACKING", "ON", "REDIRECT",
                                                 id->as<long long>(), "OPTIN", "NOLOOP"});
    post(commands_, redirect, note);
  });
  command.clear();
  command.add(std::initializer_list<Argument>{"SUBSCRIBE", invalidations});
  post(subscriptions_, command, nullptr, 1);
}

/// After those that were wanted before it: whoever wants a channel anew says so later.
void Events::unsubscribe_unwanted() {
  std::vector<std::string> gone;
  {
    std::lock_guard const guard{mutex_};
    for (auto const& channel : std::exchange(unwanted_, {})) {
      auto const at = std::find(wanted_.begin(), wanted_.end(), channel);
      if (at == wanted_.end()) continue;
      if (static_cast<std::size_t>(at - wanted_.begin()) < subscribed_) --subscribed_;
      wanted_.erase(at);
      if (std::find(wanted_.begin(), wanted_.end(), channel) == wanted_.end())
        gone.push_back(channel);
    }
  }
  if (gone.empty() || !connected()) return;
  CommandBuffer command;
  command.begin(1 + gone.size());
  command.word("UNSUBSCRIBE");
  for (auto const& channel : gone) command.word(channel);
  post(listening(), command, nullptr, gone.size());
}

void Events::subscribe_wanted() {
  if (steady_clock::now() >= ask_again_) {
    ask_again_ = Deadline::max();
    subscribed_ = 0;
  }
  std::vector<std::string> fresh;
  {
    std::lock_guard const guard{mutex_};
    fresh.assign(wanted_.begin() + static_cast<std::ptrdiff_t>(subscribed_), wanted_.end());
  }
  if (fresh.empty()) return;
  subscribed_ += fresh.size();
  ++subscribing_;
  CommandBuffer command;
  command.begin(1 + fresh.size());
  command.word("SUBSCRIBE");
  for (auto const& channel : fresh) command.word(channel);
  post(
      listening(), command,
      [this](ReplyView const* refusal) {
        if (refusal == nullptr) return;
        --subscribing_;
        if (refusal->is_error()) {
          ask_again_ = steady_clock::now() + refused_pause;
          tell([&](EventListener& listener) {
            listener.on_refused(ServerError{refusal->error_text(), "SUBSCRIBE"});
          });
        } else if (subscribing_ == 0 && ask_again_ == Deadline::max()) {
          tell([](EventListener& listener) { listener.on_subscribed(); });
        }
      },
      fresh.size());
}

void Events::disconnect() {
  next_attempt_ = steady_clock::now() + backoff_.pause();
  auto lost = std::exchange(commands_.pending, {});
  for (auto& each : std::exchange(subscriptions_.pending, {})) lost.push_back(std::move(each));
  bool const had = connected();
  for (auto* const link : {&commands_, &subscriptions_}) {
    link->wire.reset();
    link->outbox.clear();
    link->more = false;
  }
  tracking_ = false;
  for (auto const& each : lost) {
    if (each.answer) guarded([&] { each.answer(nullptr); });
  }
  if (had) tell([](EventListener& listener) { listener.on_disconnected(); });
}

void Events::post(Link& link, CommandBuffer const& command, Answer answer,
                  std::size_t confirmations) {
  link.outbox += command.bytes();
  link.pending.push_back(
      {std::move(answer), steady_clock::now() + options_.command_timeout, confirmations});
}

bool Events::send(CommandBuffer const& command, Deadline deadline, Answer answer) {
  if (!connected()) return false;
  post(commands_, command, std::move(answer));
  commands_.pending.back().deadline = deadline;
  return true;
}

Deadline Events::first_deadline(Link const& link) noexcept {
  auto first = Deadline::max();
  for (auto const& each : link.pending) first = std::min(first, each.deadline);
  return first;
}

void Events::ask_where_heard(Answer answer) {
  if (!connected()) return;
  CommandBuffer command;
  command.add(std::initializer_list<Argument>{"PING"});
  post(listening(), command, std::move(answer));
}

bool Events::ask_to_hear(std::string_view verb, std::string_view name, Answer answer) {
  if (!connected()) return false;
  CommandBuffer command;
  command.add(std::initializer_list<Argument>{verb, name});
  post(listening(), command, std::move(answer), 1);
  return true;
}

bool Events::is_subscribed(std::string const& channel) const {
  std::lock_guard const guard{mutex_};
  auto const sent = wanted_.begin() + static_cast<std::ptrdiff_t>(subscribed_);
  return std::find(wanted_.begin(), sent, channel) != sent;
}

bool Events::track_next() {
  if (!connected() || !tracking_) return false;
  CommandBuffer command;
  command.add(std::initializer_list<Argument>{"CLIENT", "CACHING", "YES"});
  post(commands_, command, nullptr);
  return true;
}

void Events::flush(Link& link) {
  if (link.outbox.empty()) return;
  auto const sent = link.wire->send_some(link.outbox);
  link.outbox.erase(0, sent);
}

void Events::ping_if_silent(Link& link, Deadline now) {
  if (!link.pending.empty()) {
    if (now >= first_deadline(link))
      throw InDoubt{"tandem: the event connection did not answer in time"};
    return;
  }
  if (now - link.last_heard < silence) return;
  CommandBuffer command;
  command.add(std::initializer_list<Argument>{"PING"});
  post(link, command, nullptr);
  flush(link);
}

void Events::hear(Link& link) {
  link.last_heard = steady_clock::now();
  std::fill(due_.begin(), due_.end(), Deadline{});  // what is heard may change what is due
  // Who talks without end must not stop the timers: what is more is heard in the next round.
  auto const enough = steady_clock::now() + one_sitting;
  for (;;) {
    auto const reply = link.wire->receive_if_here(enough);
    link.more = steady_clock::now() >= enough;
    if (!reply) return;
    bool const pushed =
        reply->kind() == ReplyKind::push ||
        (&link == &subscriptions_ && reply->kind() == ReplyKind::array && reply->size() > 0);
    if (pushed) {
      take_push(link, *reply);
    } else {
      take_answer(link, *reply);
    }
    if (link.more || link.wire == nullptr) return;
  }
}

void Events::take_answer(Link& link, ReplyView reply) {
  if (link.pending.empty()) throw InDoubt{"tandem: the server answered a question nobody asked"};
  auto const pending = std::move(link.pending.front());
  link.pending.pop_front();
  if (pending.answer) guarded([&] { pending.answer(&reply); });
}

void Events::take_invalidation(ReplyView keys) {
  if (keys.is_nil()) {
    tell([](EventListener& listener) { listener.on_changed(std::nullopt); });
    return;
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    auto const key = keys[i].as<std::string_view>();
    tell([&](EventListener& listener) { listener.on_changed(key); });
  }
}

void Events::take_push(Link& link, ReplyView push) {
  auto const kind = push[0].as<std::string_view>();
  if (kind == "message") {
    auto const channel = push[1].as<std::string_view>();
    if (channel == invalidations) return take_invalidation(push[2]);
    auto const text = push[2].as<std::string_view>();
    tell([&](EventListener& listener) { listener.on_message(channel, text); });
  } else if (kind == "pmessage") {
    auto const pattern = push[1].as<std::string_view>();
    auto const channel = push[2].as<std::string_view>();
    auto const text = push[3].as<std::string_view>();
    tell([&](EventListener& listener) { listener.on_pattern_message(pattern, channel, text); });
  } else if (kind == "invalidate") {
    take_invalidation(push[1]);
  } else if (kind == "subscribe" || kind == "unsubscribe" || kind == "psubscribe" ||
             kind == "punsubscribe" || kind == "pong") {
    if (link.pending.empty()) throw InDoubt{"tandem: the server confirmed what nobody asked for"};
    auto& front = link.pending.front();
    if (front.confirmations > 1) {
      --front.confirmations;
      return;
    }
    auto const answer = std::move(front.answer);
    link.pending.pop_front();
    if (answer) guarded([&] { answer(&push); });
  }
}

}  // namespace tandem::detail
