#include "tandem/counter.hpp"

#include <limits>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "core/companion_key.hpp"
#include "core/core.hpp"
#include "core/per_process.hpp"
#include "core/random_id.hpp"
#include "core/scratch.hpp"
#include "scripts.hpp"

namespace tandem {
namespace {

constexpr auto lowest = std::numeric_limits<std::int64_t>::min();
constexpr auto highest = std::numeric_limits<std::int64_t>::max();
/// For how long a change may be on its way after its call has ended.
constexpr std::chrono::milliseconds longest_delay = std::chrono::hours{1};

struct Range {
  std::int64_t from, to;
};

/// The numbers that `n` can be added to so that the sum lies from `low` to `high`.
Range that_bear(std::int64_t n, std::int64_t low, std::int64_t high) {
  constexpr Range none{highest, lowest};
  Range out{};
  if (__builtin_sub_overflow(low, n, &out.from)) {
    if (n < 0) return none;  // the least of them is beyond 64 bits
    out.from = lowest;
  }
  if (__builtin_sub_overflow(high, n, &out.to)) {
    if (n > 0) return none;
    out.to = highest;
  }
  return out;
}

}  // namespace

/// Who asks for changes that are applied once: each has one under way at a time, and numbers them.
struct Counter::Askers {
  struct Asker {
    std::string record;
    std::int64_t sequence = 0;
  };

  struct OfThisProcess {
    std::string id = detail::random_id();
    std::mutex mutex{};
    std::vector<Asker> idle{};
    int count = 0;
  };

  /// One for the time of a change.
  class Turn {
   public:
    Turn(OfThisProcess& all, std::string_view name) : all_{all}, asker_{take(name)} {
      ++asker_.sequence;
    }
    Turn(Turn const&) = delete;
    Turn& operator=(Turn const&) = delete;
    ~Turn() {
      std::lock_guard const guard{all_.mutex};
      all_.idle.push_back(std::move(asker_));  // there is room: see take
    }

    [[nodiscard]] Asker const& operator*() const noexcept { return asker_; }

   private:
    [[nodiscard]] Asker take(std::string_view name) const {
      std::lock_guard const guard{all_.mutex};
      if (all_.idle.empty()) {
        all_.idle.reserve(static_cast<std::size_t>(all_.count) + 1);
        return {detail::companion_key(name, fmt::format("once:{}:{}", all_.id, ++all_.count))};
      }
      auto out = std::move(all_.idle.back());
      all_.idle.pop_back();
      return out;
    }

    OfThisProcess& all_;
    Asker asker_;
  };

  detail::PerProcess<OfThisProcess> processes{};
};

/// What lua/counter/once does to the number, if it lies from `from` to `to`.
struct Counter::Change {
  std::string_view verb;
  std::int64_t operand;
  std::int64_t from = lowest, to = highest;
};

Counter::Counter(Client client, std::string name, CounterOptions options)
    : client_{std::move(client)},
      name_{std::move(name)},
      askers_{options.exactly_once ? std::make_shared<Askers>() : nullptr} {
  if (name_.empty())
    throw std::invalid_argument{"tandem: a counter's name is empty; it is a key of 1 byte or more"};
}

/// The value before it; empty when it was out of the range.
std::optional<std::int64_t> Counter::apply(Change const& change) {
  Askers::Turn const turn{askers_->processes.get(), name_};
  auto& core = client_.core();
  auto const lifetime = longest_delay + core.options().command_timeout;
  std::string_view const keys[] = {name_, (*turn).record};
  Argument const words[] = {(*turn).sequence, lifetime.count(), change.verb,
                            change.operand,   change.from,      change.to};
  auto const reply = core.run(scripts::counter_once, keys, words, core.deadline());
  switch (reply[0].as<int>()) {
    case 0:
      return std::nullopt;
    case 1:
      return reply[1].as<std::int64_t>();
    default:
      throw ServerError{reply[1].as<std::string_view>(),
                        fmt::format("{} on {}", change.verb, name_)};
  }
}

// Without a tag no change is ever sent twice: the one whose reply was lost may have been applied.

std::int64_t Counter::add(std::int64_t n) {
  if (askers_) return *apply({"INCRBY", n}) + n;
  return client_.command("INCRBY", name_, n).as<std::int64_t>();
}

std::int64_t Counter::add(std::int64_t n, Hold const& hold) {
  auto const now = hold.execute([&](Transaction& tx) {
    tx.queue("INCRBY", name_, n);
    tx.queue("GET", name_);  // as text: numbers that went through Lua are exact up to 2^53 only
  });
  return now.as<std::int64_t>();
}

std::optional<std::int64_t> Counter::add_within(std::int64_t n, std::int64_t low,
                                                std::int64_t high) {
  if (low > high) {
    throw std::invalid_argument{
        fmt::format("tandem: counter \"{}\": there is no number from {} to {}", name_, low, high)};
  }
  auto const range = that_bear(n, low, high);
  if (askers_) {
    auto const old = apply({"INCRBY", n, range.from, range.to});
    return old ? std::optional{*old + n} : std::nullopt;
  }
  auto const reply = client_.run(scripts::counter_add_within, {name_}, n, range.from, range.to);
  if (!reply[0].as<bool>()) return std::nullopt;
  return reply[1].as<std::int64_t>() + n;
}

// Not add(-n): the lowest number has no negative. The server knows it, and says so.
std::int64_t Counter::operator-=(std::int64_t n) {
  if (askers_) return *apply({"DECRBY", n}) - n;
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
  if (askers_) return *apply({"SET", desired});
  return client_.run(scripts::counter_exchange, {name_}, desired).as<std::int64_t>();
}

bool Counter::compare_exchange(std::int64_t expected, std::int64_t desired) {
  if (askers_) return apply({"SET", desired, expected, expected}).has_value();
  return client_.run(scripts::counter_compare_exchange, {name_}, expected, desired).as<bool>();
}

}  // namespace tandem
