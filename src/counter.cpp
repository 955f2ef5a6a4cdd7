#include "tandem/counter.hpp"

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "core/scratch.hpp"
#include "scripts.hpp"

namespace tandem {

Counter::Counter(Client client, std::string name)
    : client_{std::move(client)}, name_{std::move(name)} {
  if (name_.empty())
    throw std::invalid_argument{"tandem: a counter's name is empty; it is a key of 1 byte or more"};
}

// No change is ever sent twice: the one whose reply was lost may have been applied.

std::int64_t Counter::add(std::int64_t n) {
  return client_.command("INCRBY", name_, n).as<std::int64_t>();
}

std::int64_t Counter::add(std::int64_t n, Hold const& hold) {
  auto const now = hold.execute([&](Transaction& tx) {
    tx.queue("INCRBY", name_, n);
    tx.queue("GET", name_);  // as text: numbers that went through Lua are exact up to 2^53 only
  });
  return now.as<std::int64_t>();
}

// Not add(-n): the lowest number has no negative. The server knows it, and says so.
std::int64_t Counter::operator-=(std::int64_t n) {
  return client_.command("DECRBY", name_, n).as<std::int64_t>();
}

std::int64_t Counter::value() const {
  detail::ScratchCommand const get;
  get->add(std::initializer_list<Argument>{"GET", name_});
  auto& core = client_.core();
  auto const reply = core.ask(*get, core.deadline(), detail::Repeat::safe);
  reply.throw_if_error("GET on " + name_);
  try {
    return reply.as<std::optional<std::int64_t>>().value_or(0);
  } catch (ShapeError const&) {
    throw ShapeError{fmt::format("tandem: GET on {}: the text there is no 64-bit number", name_)};
  }
}

std::int64_t Counter::exchange(std::int64_t desired) {
  return client_.run(scripts::counter_exchange, {name_}, desired).as<std::int64_t>();
}

bool Counter::compare_exchange(std::int64_t expected, std::int64_t desired) {
  return client_.run(scripts::counter_compare_exchange, {name_}, expected, desired).as<bool>();
}

}  // namespace tandem
