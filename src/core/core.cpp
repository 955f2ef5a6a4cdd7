#include "core/core.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include <fmt/core.h>

#include "core/backoff.hpp"

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
    }
  }

  void exchange(CommandBuffer const& commands, std::span<Reply> replies) const {
    if (lease_) {
      lease_->wire().send(commands, deadline_);
      for (auto& reply : replies) reply = lease_->wire().receive_answer(deadline_);
      return;
    }
    Call call{replies};
    line_->exchange(commands.bytes(), call, deadline_);
    if (call.fate() == Request::Fate::in_doubt) throw InDoubt{call.why()};
    if (call.fate() == Request::Fate::not_executed) throw Unreachable{call.why()};
  }

 private:
  Deadline deadline_;
  std::optional<WireLease> lease_{};
  std::shared_ptr<Line> line_{};
};

Reply Core::ask(CommandBuffer const& command, Deadline deadline, Repeat repeat, Doubt& doubt) {
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

WireLease Core::borrow(Deadline deadline) { return process().pool.borrow(deadline); }

}  // namespace tandem::detail
