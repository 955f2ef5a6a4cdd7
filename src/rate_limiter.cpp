#include "tandem/rate_limiter.hpp"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "core/per_process.hpp"
#include "core/since_boot.hpp"
#include "scripts.hpp"

// Why leased permits keep the limit: those of a block count, at the server, from the moment it was
// asked; they are used within the time in which so many come back. So what is used in a window of
// length t was counted in one that begins so much earlier, which is at most
//
//   (burst - lease) + rate * (t + lease / rate) = burst + rate * t

namespace tandem {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr std::int64_t largest = 1'000'000;
constexpr std::chrono::milliseconds longest_per = std::chrono::hours{24} * 366;
constexpr microseconds longest_wait = std::chrono::hours{1};  // take.lua

/// In which so many permits come back.
long double time_of(std::int64_t permits, RateLimiterOptions const& options) {
  return static_cast<long double>(permits) *
         static_cast<long double>(microseconds{options.per}.count()) /
         static_cast<long double>(options.rate);
}

RateLimiterOptions checked(std::string_view name, RateLimiterOptions const& options) {
  auto const require = [&](bool fulfilled, std::string_view what) {
    if (!fulfilled)
      throw std::invalid_argument{fmt::format("tandem: rate limiter \"{}\": {}", name, what)};
  };
  auto const in_range = [&](std::string_view what, std::int64_t given) {
    require(given >= 1 && given <= largest,
            fmt::format("the {} is {}; accepted is 1 to {}", what, given, largest));
  };
  require(!name.empty(), "the name is empty; any bytes will do");
  in_range("rate", options.rate);
  in_range("burst", options.burst);
  require(options.per.count() >= 1 && options.per <= longest_per,
          fmt::format("per is {} ms; accepted is 1 ms to 366 days", options.per.count()));
  require(time_of(options.burst, options) <= microseconds{longest_per}.count(),
          fmt::format("a burst of {} takes longer than 366 days to come back, at {} in each {} ms",
                      options.burst, options.rate, options.per.count()));
  require(options.lease >= 0 && options.lease <= options.burst / 2,
          fmt::format("the lease is {}; accepted is 0 to half of the burst, {}", options.lease,
                      options.burst / 2));
  return options;
}

}  // namespace

struct RateLimiter::State {
  State(Client a_client, std::string a_name, RateLimiterOptions const& some_options)
      : client{std::move(a_client)},
        name{std::move(a_name)},
        options{checked(name, some_options)},
        lifetime{static_cast<std::int64_t>(time_of(options.lease, options) * 1000)} {
    lifetime -= lifetime / detail::drift_divisor;
  }

  /// Permits that were taken in advance.
  struct Block {
    [[nodiscard]] bool take(std::int64_t cost) {
      std::lock_guard const guard{mutex};
      if (left < cost || detail::since_boot() >= until) return false;
      left -= cost;
      return true;
    }
    void put(std::int64_t permits, nanoseconds usable_until) {
      std::lock_guard const guard{mutex};
      left = permits;
      until = usable_until;
    }

    std::mutex mutex{};
    std::int64_t left = 0;
    nanoseconds until{};  // by since_boot()
    std::mutex turn{};    // of one thread, to ask for all
  };

  struct Answer {
    std::int64_t permits;
    microseconds wait;
  };

  /// What the server lets through at once.
  [[nodiscard]] std::int64_t burst() const { return options.burst - options.lease; }

  Answer ask(std::int64_t least, std::int64_t most, microseconds longest, Deadline deadline) {
    std::string_view const keys[] = {name};
    Argument const words[] = {
        options.rate, microseconds{options.per}.count(), burst(), least, most, longest.count()};
    auto const reply = client.core().run(scripts::rate_limiter_take, keys, words, deadline);
    return {reply[0].as<std::int64_t>(), microseconds{reply[1].as<std::int64_t>()}};
  }

  Answer take(std::int64_t cost, microseconds longest) {
    if (cost < 1 || cost > burst()) {
      throw std::invalid_argument{fmt::format(
          "tandem: rate limiter \"{}\": the cost is {}; accepted is 1 to {}", name, cost, burst())};
    }
    if (options.lease == 0) return ask(cost, cost, longest, client.core().deadline());
    auto& block = blocks.get();
    Answer const from_block{cost, microseconds{0}};
    if (block.take(cost)) return from_block;
    auto const deadline = client.core().deadline();
    std::lock_guard const turn{block.turn};  // until another's deadline, which is before this one's
    if (block.take(cost)) return from_block;  // of what that one got
    auto const asked = detail::since_boot();
    auto const answer = ask(cost, std::max(cost, options.lease), longest, deadline);
    if (answer.permits > cost) block.put(answer.permits - cost, asked + lifetime);
    return answer;
  }

  Client client;
  std::string name;
  RateLimiterOptions options;
  nanoseconds lifetime;
  detail::PerProcess<Block> blocks{};
};

RateLimiter::RateLimiter(Client client, std::string name, RateLimiterOptions options)
    : state_{std::make_shared<State>(std::move(client), std::move(name), options)} {}

std::string const& RateLimiter::name() const noexcept { return state_->name; }

RateLimiter::Decision RateLimiter::try_acquire(std::int64_t cost) {
  auto const answer = state_->take(cost, microseconds{0});
  return {answer.permits > 0, answer.permits > 0 ? microseconds{0} : answer.wait};
}

RateLimiter::Decision RateLimiter::try_acquire_until(Deadline deadline, std::int64_t cost) {
  auto const now = steady_clock::now();
  auto const latest = std::clamp(deadline, now, now + longest_wait);
  auto const answer = state_->take(cost, std::chrono::floor<microseconds>(latest - now));
  if (answer.permits == 0) return {false, answer.wait};
  if (answer.wait.count() > 0)
    std::this_thread::sleep_for(answer.wait + answer.wait / detail::drift_divisor);
  return {true, microseconds{0}};
}

std::int64_t RateLimiter::peek() const {
  auto& state = *state_;
  return state.client
      .run(scripts::rate_limiter_peek, {state.name}, state.options.rate,
           microseconds{state.options.per}.count(), state.burst())
      .as<std::int64_t>();
}

}  // namespace tandem
