#include "tandem/shared_value.hpp"

#include <initializer_list>
#include <stdexcept>

#include <fmt/core.h>

#include "core/core.hpp"
#include "scripts.hpp"
#include "sharing/key_watch.hpp"

// Writes are sent once, as those of a map, for the reasons that src/shared_map.cpp gives.

namespace tandem::detail {
namespace {

Reply ask(Core& core, std::string_view name, std::initializer_list<Argument> words, Repeat repeat) {
  CommandBuffer command;
  command.add(words);
  auto reply = core.ask(command, core.deadline(), repeat);
  if (reply.is_error()) reply.throw_if_error(fmt::format("{} on {}", words.begin()->bytes(), name));
  return reply;
}

std::string checked(std::string name) {
  if (name.empty()) {
    throw std::invalid_argument{"tandem: a value's name is empty; any other bytes are accepted"};
  }
  return name;
}

}  // namespace

SharedBytes::SharedBytes(Client client, std::string name)
    : client_{std::move(client)}, name_{checked(std::move(name))} {}

std::optional<std::string> SharedBytes::get() const {
  return ask(client_.core(), name_, {"GET", name_}, Repeat::safe).as<std::optional<std::string>>();
}

void SharedBytes::set(std::string_view value) {
  (void)ask(client_.core(), name_, {"SET", name_, value}, Repeat::never);
}

void SharedBytes::set(std::string_view value, Hold const& hold) {
  hold.commit([&](Transaction& tx) { tx.queue("SET", name_, value); });
}

bool SharedBytes::insert(std::string_view value) {
  return ask(client_.core(), name_, {"SETNX", name_, value}, Repeat::never).as<bool>();
}

bool SharedBytes::erase() {
  return ask(client_.core(), name_, {"DEL", name_}, Repeat::never).as<bool>();
}

/// See src/lua/shared_value/change.lua for the reply.
Reply SharedBytes::change(std::optional<std::string_view> expected,
                          std::optional<std::string_view> desired, Deadline deadline) const {
  std::string_view const keys[] = {name_};
  Argument const arguments[] = {expected ? 1 : 0, expected.value_or(""), desired ? 1 : 0,
                                desired.value_or("")};
  return client_.core().run(scripts::shared_value_change, keys, arguments, deadline);
}

bool SharedBytes::replace(std::string_view expected, std::string_view desired) {
  return change(expected, desired, client_.core().deadline())[0].as<bool>();
}

void SharedBytes::refuse(CodecError const& error) const {
  throw CodecError{fmt::format("tandem: value \"{}\": {}", name_, error.what())};
}

ValueUpdate::ValueUpdate(SharedBytes const& value)
    : value_{value}, deadline_{value.client_.core().deadline()}, current_{value.get()} {}

bool ValueUpdate::try_change(std::optional<std::string_view> desired) {
  if (desired == current_) return true;
  if (std::chrono::steady_clock::now() >= deadline_) {
    throw Conflict{fmt::format(
        "tandem: update of value \"{}\": others were first until the deadline; nothing was applied",
        value_.name())};
  }
  auto const reply = value_.change(current_, desired, deadline_);
  if (reply[0].as<bool>()) return true;
  current_ = reply.size() > 1 ? std::optional{reply[1].as<std::string>()} : std::nullopt;
  return false;
}

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
    watched_ = std::make_unique<Watched>(value_.client_.core(), value_.name());
  }
  auto& waiter = watched_->waiter();
  if (!waiter.wait(deadline, stop)) return std::nullopt;
  return Seen{waiter.bytes()};
}

}  // namespace tandem::detail
