#include "core/core.hpp"

namespace tandem::detail {
namespace {

std::shared_ptr<Options const> checked(Options options) {
  options.check();
  return std::make_shared<Options const>(std::move(options));
}

}  // namespace

Core::Core(Options options)
    : options_{checked(std::move(options))},
      process_{new OfThisProcess{options_}},
      fork_hook_{this, [](void* core) noexcept {
                   auto& self = *static_cast<Core*>(core);
                   self.process().events.abandon_in_child();
                   self.process_.store(new OfThisProcess{self.options_}, std::memory_order_release);
                 }} {}

Core::~Core() {
  auto* const mine = &process();
  // The last handle may go away in a callback: then the thread that runs it buries the rest when it is done.
  if (mine->events.is_own_thread()) {
    mine->events.stop_and_then([mine] { delete mine; });
  } else {
    delete mine;
  }
}

Reply Core::ask(CommandBuffer const& command, Deadline deadline, Repeat repeat) {
  for (;;) {
    auto const lease = borrow(deadline);
    try {
      lease.wire().send(command, deadline);
      return lease.wire().receive_answer(deadline);
    } catch (Unreachable const&) {
      // Not executed, so it may go out again; borrow() ends the loop when the deadline is over.
    } catch (InDoubt const&) {
      if (repeat == Repeat::never || std::chrono::steady_clock::now() >= deadline) throw;
    }
  }
}

std::vector<Reply> Core::ask_all(CommandBuffer const& commands, Deadline deadline) {
  for (;;) {
    auto const lease = borrow(deadline);
    try {
      return exchange(lease.wire(), commands, deadline);
    } catch (Unreachable const&) {
      // As above.
    }
  }
}

WireLease Core::borrow(Deadline deadline) { return process().pool.borrow(deadline); }

}  // namespace tandem::detail
