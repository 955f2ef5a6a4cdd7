#include "core/core.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/core.h>

#include "core/backoff.hpp"
#include "core/describe.hpp"
#include "core/inspection.hpp"

namespace tandem::detail {
namespace {

std::shared_ptr<Options const> checked(Options options) {
  options.check();
  return std::make_shared<Options const>(std::move(options));
}

using std::chrono::steady_clock;

/// Short at first: most often one connection died, and the next one is good.
Backoff between_tries() { return {std::chrono::milliseconds{1}, std::chrono::milliseconds{250}}; }

}  // namespace

Core::OfThisProcess::OfThisProcess(std::shared_ptr<Options const> shared)
    : options{std::move(shared)},
      line{*options, [this] { events.wake(); }},
      pool{*options},
      attendant{*options, line, events},
      events{*options} {
  events.attach_first(attendant);
}

Core::OfThisProcess::~OfThisProcess() {
  // A socket that is closed with replies unread makes the other side forget what it has not read.
  settle_posts(steady_clock::now() + options->command_timeout);
  events.stop();  // before the services that it calls
  line.drop();    // before the attendant, which is told what becomes of what is still under way
}

void Core::OfThisProcess::say_goodbye() noexcept {
  for (auto const& [key, service] : services) {
    try {
      service->before_end();
    } catch (Error const& fault) {
      options->report(fault);
    } catch (std::exception const&) {
      // No memory for it.
    }
  }
}

/// Waits until what was posted is answered. Whatever becomes of it is reported, not thrown.
void Core::OfThisProcess::settle_posts(Deadline deadline) {
  auto const last = line.current();
  if (last == nullptr || !last->has_posts()) return;
  CommandBuffer ping;
  ping.add(std::initializer_list<Argument>{"PING"});
  Reply pong{nullptr};
  Call call{{&pong, 1}};
  last->exchange(ping.bytes(), call, deadline);
}

Core::Core(Options options)
    : options_{checked(std::move(options))},
      process_{new OfThisProcess{options_}},
      fork_hook_{std::in_place, this, [](void* core) noexcept {
                   auto& self = *static_cast<Core*>(core);
                   // No memory for a child ends it. NOLINTNEXTLINE(bugprone-unhandled-exception-at-new)
                   self.process_.store(new OfThisProcess{self.options_}, std::memory_order_release);
                 }} {}

Core::~Core() {
  fork_hook_.reset();  // before what it touches
  auto* const mine = &process();
  mine->say_goodbye();
  // The last handle may go away in a callback: then the thread that runs it buries the rest when it
  // is done.
  if (mine->events.is_own_thread()) {
    mine->events.stop_and_then([mine] { delete mine; });
  } else {
    delete mine;
  }
}

/// Connects where it must, before anything is sent; then sends and receives, once.
class Core::Way {
 public:
  Way(Core& core, CommandBuffer const& commands, Deadline deadline) : deadline_{deadline} {
    if (commands.may_block()) {
      lease_.emplace(core.borrow(deadline));
    } else {
      line_ = core.process().line.get(deadline);
      if (line_->is_settled()) core.attend_from_now_on();
    }
  }

  void exchange(CommandBuffer const& commands, std::span<Reply> replies) const {
    auto const named = [&](std::string_view why) {
      return fmt::format("{} ({})", why, describe(commands));
    };
    if (!lease_) {
      Call call{replies};
      line_->exchange(commands.bytes(), call, deadline_);
      if (call.fate() == Request::Fate::in_doubt) throw InDoubt{named(call.why())};
      if (call.fate() == Request::Fate::not_executed) throw Unreachable{named(call.why())};
      return;
    }
    try {
      lease_->wire().send(commands, deadline_);
      for (auto& reply : replies) reply = lease_->wire().receive_answer(deadline_);
    } catch (InDoubt const& fault) {
      throw InDoubt{named(fault.what())};
    } catch (Unreachable const& fault) {
      throw Unreachable{named(fault.what())};
    }
  }

 private:
  Deadline deadline_;
  std::optional<WireLease> lease_{};
  std::shared_ptr<Line> line_{};
};

/// Has the event thread read what no caller waits for, and see to the line's health.
void Core::attend_from_now_on() {
  auto& mine = process();
  if (mine.attended.load(std::memory_order_relaxed)) return;
  try {
    mine.events.start();
  } catch (Unreachable const&) {
    return;  // no thread to be had: the next call tries again, and this one can do without
  }
  mine.events.wake();
  mine.attended.store(true, std::memory_order_relaxed);
}

void Core::refuse_what_changes_the_connection(CommandBuffer const& commands) {
  auto const name = commands.changes_connection();
  if (name.empty()) return;
  throw std::invalid_argument{
      fmt::format("tandem: {} would change the connection that all threads of a Client share; "
                  "Options, Client::transaction and the primitives do what it is for, and a "
                  "Connection takes any command",
                  name)};
}

void Core::post(CommandBuffer const& command) {
  refuse_what_changes_the_connection(command);
  if (command.may_block()) {
    throw std::invalid_argument{
        fmt::format("tandem: {}: what may block cannot be posted", describe(command))};
  }
  attend_from_now_on();
  auto& attendant = process().attendant;
  auto const until = deadline();
  for (;;) {
    auto const line = process().line.get(until);
    if (attendant.post(*line, command)) return;
    // So much is under way that memory would grow; or the line broke this moment.
    process().settle_posts(until);
    if (steady_clock::now() >= until) {
      throw Unreachable{fmt::format("tandem: {} was not sent: so much is under way to {}",
                                    describe(command), options_->endpoint())};
    }
  }
}

Reply Core::ask(CommandBuffer const& command, Deadline deadline, Repeat repeat, Doubt& doubt) {
  refuse_what_changes_the_connection(command);
  Backoff backoff = between_tries();
  for (;;) {
    try {
      Way const way{*this, command, deadline};
      bool refused = false;
      try {
        Reply reply{nullptr};
        way.exchange(command, {&reply, 1});
        if (!doubt || !reply.is_error() || is_unknown_script(reply)) return reply;
        // What it refuses now it may have executed before; one that loads will know in a moment.
        refused = !reply.error_text().starts_with("LOADING ") || steady_clock::now() >= deadline;
        if (refused) {
          doubt.emplace(
              fmt::format("{}; repeated, it was answered: {}", doubt->what(), reply.error_text()));
        }
      } catch (Unreachable const&) {
        // Not executed, so it may go out again.
        if (steady_clock::now() >= deadline) throw;
      } catch (InDoubt const& fault) {
        if (repeat == Repeat::never || steady_clock::now() >= deadline) throw;
        if (!doubt) doubt = fault;
      }
      if (refused) throw *doubt;
    } catch (Error const&) {
      if (doubt) throw *doubt;
      throw;
    }
    poll_until(nullptr, 0, std::min(deadline, steady_clock::now() + backoff.pause()));
  }
}

std::vector<Reply> Core::ask_all(CommandBuffer const& commands, Deadline deadline) {
  refuse_what_changes_the_connection(commands);
  Backoff backoff = between_tries();
  for (;;) {
    Way const way{*this, commands, deadline};
    try {
      std::vector<Reply> replies;
      replies.reserve(commands.count());
      while (replies.size() < commands.count()) replies.emplace_back(nullptr);
      way.exchange(commands, replies);
      return replies;
    } catch (Unreachable const&) {
      if (steady_clock::now() >= deadline) throw;  // as above
    }
    poll_until(nullptr, 0, std::min(deadline, steady_clock::now() + backoff.pause()));
  }
}

Inspection Core::inspect(std::string_view key) {
  auto const until = deadline();
  auto lease = borrow(until);
  return detail::inspect(lease.wire(), *options_, key, until);
}

WireLease Core::borrow(Deadline deadline) {
  process().settle_posts(deadline);  // they came first, over another connection
  return process().pool.borrow(deadline);
}

}  // namespace tandem::detail
