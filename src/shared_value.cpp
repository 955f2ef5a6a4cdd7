#include "tandem/shared_value.hpp"

#include <fmt/core.h>

#include "core/core.hpp"
#include "scripts.hpp"
#include "sharing/key_watch.hpp"

namespace tandem::detail {

std::optional<std::string> SharedBytes::get() const {
  return key_.read({"GET"}).as<std::optional<std::string>>();
}

void SharedBytes::set(std::string_view value) { (void)key_.write({"SET", value}); }

void SharedBytes::set(std::string_view value, Hold const& hold) {
  hold.commit([&](Transaction& tx) { tx.queue("SET", key_.name(), value); });
}

bool SharedBytes::insert(std::string_view value) { return key_.write({"SETNX", value}).as<bool>(); }

bool SharedBytes::erase() { return key_.write({"DEL"}).as<bool>(); }

/// See src/lua/shared_value/change.lua for the reply.
Reply SharedBytes::change(std::optional<std::string_view> expected,
                          std::optional<std::string_view> desired, Deadline deadline) const {
  Argument const arguments[] = {expected ? 1 : 0, expected.value_or(""), desired ? 1 : 0,
                                desired.value_or("")};
  return key_.run(scripts::shared_value_change, arguments, deadline);
}

bool SharedBytes::replace(std::string_view expected, std::string_view desired) {
  return change(expected, desired, key_.deadline())[0].as<bool>();
}

ValueUpdate::ValueUpdate(SharedBytes const& value)
    : value_{value}, deadline_{value.key().deadline()}, current_{value.get()} {}

bool ValueUpdate::try_change(std::optional<std::string_view> desired) {
  if (desired == current_) return true;
  if (std::chrono::steady_clock::now() >= deadline_) {
    throw Conflict{fmt::format(
        "tandem: update of {}: others were first until the deadline; nothing was applied",
        value_.key().in_words())};
  }
  auto const reply = value_.change(current_, desired, deadline_);
  if (reply[0].as<bool>()) return true;
  current_ = reply.size() > 1 ? std::optional{reply[1].as<std::string>()} : std::nullopt;
  return false;
}

/// From the second look on.
class ValueWatch::Watched {
 public:
  Watched(Core& core, std::string key) : waiter_{core.service<KeyWatch>(), std::move(key)} {}
  [[nodiscard]] KeyWatch::Waiter& waiter() noexcept { return waiter_; }

 private:
  KeyWatch::Waiter waiter_;
};

ValueWatch::ValueWatch(SharedBytes const& value) : value_{value} {}
ValueWatch::~ValueWatch() = default;

std::optional<ValueWatch::Seen> ValueWatch::next(Deadline deadline, std::stop_token const& stop) {
  if (!std::exchange(looked_, true)) return Seen{value_.get()};
  if (!watched_) {
    watched_ = std::make_unique<Watched>(value_.key().client().core(), value_.key().name());
  }
  auto& waiter = watched_->waiter();
  if (!waiter.wait(deadline, stop)) return std::nullopt;
  return Seen{waiter.bytes()};
}

}  // namespace tandem::detail
