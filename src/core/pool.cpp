#include "core/pool.hpp"

#include <utility>

#include <fmt/core.h>

#include "core/connect.hpp"

namespace tandem::detail {

using std::chrono::steady_clock;

WireLease::~WireLease() {
  // After a fork inside the scope the pool is the parent's, and so is the wire.
  if (wire_ == nullptr || pool_ == nullptr || !wire_->of_this_process()) return;
  pool_->give_back(std::move(wire_));
}

WireLease Pool::borrow(Deadline deadline) {
  auto wire = take_idle(deadline);
  if (wire == nullptr) wire = connect(deadline);
  return {this, std::move(wire)};
}

std::shared_ptr<Wire> Pool::take_idle(Deadline deadline) {
  for (;;) {
    std::shared_ptr<Wire> wire;  // destroyed outside the lock
    {
      std::unique_lock lock{mutex_};
      auto const can_go_on = [&] { return !idle_.empty() || open_ < options_.max_connections; };
      if (!freed_.wait_until(lock, deadline, can_go_on)) {
        throw Unreachable{
            fmt::format("tandem: all {} connections to {} were in use until the deadline",
                        options_.max_connections, options_.endpoint())};
      }
      if (idle_.empty()) {
        ++open_;
        return nullptr;
      }
      wire = std::move(idle_.back());
      idle_.pop_back();
    }
    if (wire->is_quiet()) return wire;
    forget_one();
  }
}

std::shared_ptr<Wire> Pool::connect(Deadline deadline) {
  try {
    return connect_patiently(options_, deadline, waiting_);
  } catch (...) {
    forget_one();
    throw;
  }
}

void Pool::forget_one() noexcept {
  {
    std::lock_guard const guard{mutex_};
    --open_;
  }
  freed_.notify_one();
}

void Pool::give_back(std::shared_ptr<Wire> wire) noexcept {
  if (wire->broken()) {
    wire.reset();
    forget_one();
    return;
  }
  {
    std::lock_guard const guard{mutex_};
    idle_.push_back(std::move(wire));
  }
  freed_.notify_one();
}

}  // namespace tandem::detail
