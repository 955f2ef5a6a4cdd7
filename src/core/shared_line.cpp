#include "core/shared_line.hpp"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "core/connect.hpp"
#include "core/inspection.hpp"

namespace tandem::detail {

using std::chrono::steady_clock;

std::shared_ptr<Line> SharedLine::get(Deadline deadline) {
  std::shared_ptr<Line> old;  // destroyed outside the lock
  {
    std::unique_lock lock{mutex_};
    if (line_ != nullptr && line_->usable()) return line_;
    auto const give_up = std::min(deadline, steady_clock::now() + options_.connect_timeout);
    while (connecting_) {
      if (!changed_.wait_until(lock, deadline, [this] { return !connecting_; })) {
        throw Unreachable{
            fmt::format("tandem: cannot connect to {}: timeout while another thread tried",
                        options_.endpoint())};
      }
      if (line_ != nullptr && line_->usable()) return line_;
      // Its time is over with the other's: no second one of the same length.
      if (!connecting_ && refusal_ != nullptr && steady_clock::now() >= give_up) {
        std::rethrow_exception(refusal_);
      }
    }
    connecting_ = true;
    old = std::exchange(line_, nullptr);
  }
  old.reset();
  return connect(deadline);
}

std::shared_ptr<Line> SharedLine::current() {
  std::lock_guard const guard{mutex_};
  return line_;
}

void SharedLine::drop() {
  std::shared_ptr<Line> old;  // destroyed outside the lock
  std::lock_guard const guard{mutex_};
  old.swap(line_);
}

std::shared_ptr<Line> SharedLine::connect(Deadline deadline) {
  std::shared_ptr<Line> made;
  std::exception_ptr refusal;
  std::string warning;
  Deadline::duration const patience = options_.connect_timeout;
  try {
    auto wire = connect_patiently(options_, deadline, waiting_);
    if (options_.on_warning && !options_.strict) {
      // There are those that answer some of it by silence or by hanging up: a warning must not be
      // what keeps us from connecting.
      auto const now = steady_clock::now();
      warning = look_at_server(*wire, now + std::min(deadline - now, patience) / 2);
      if (wire->broken()) wire = connect_patiently(options_, deadline, waiting_);
    }
    made = std::make_shared<Line>(options_, std::move(wire), call_attendant_);
  } catch (...) {
    refusal = std::current_exception();
  }
  {
    std::lock_guard const guard{mutex_};
    connecting_ = false;
    line_ = made;
    refusal_ = refusal;
    if (refusal == nullptr && std::exchange(warned_, warning) == warning) warning.clear();
  }
  changed_.notify_all();
  if (refusal != nullptr) std::rethrow_exception(refusal);
  if (!warning.empty()) options_.warn(warning);
  return made;
}

/// What is to be said about it; empty when that is nothing.
std::string SharedLine::look_at_server(Wire& wire, Deadline deadline) const {
  try {
    auto const found = inspect(wire, options_, "tandem", deadline);
    return found.dangers.empty() ? "" : "tandem: " + found.line();
  } catch (Unreachable const& fault) {
    return fmt::format("tandem: {} does not let itself be looked at: {}", options_.endpoint(),
                       fault.what());
  }
}

}  // namespace tandem::detail
