#include "tandem/buffered_counter.hpp"

#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "buffered_counter_buffer.hpp"
#include "buffering/flusher.hpp"
#include "buffering/in_use.hpp"
#include "buffering/segment.hpp"
#include "core/per_process.hpp"
#include "scripts.hpp"

namespace tandem {

using detail::CounterBuffer;
using detail::Flusher;

struct BufferedCounter::State {
  State(Client a_client, std::string a_name, BufferedCounterOptions const& its_options)
      : client{std::move(a_client)}, name{std::move(a_name)}, options{its_options} {}

  struct Own : detail::InUse<CounterBuffer> {
    explicit Own(State& state) : Own{state, state.client.core().service<Flusher>()} {}
    Own(State& state, Flusher& flusher) : InUse{flusher, state.fresh_buffer(flusher)} {
      if (state.options.survive_crash) wants_a_look();  // at what others have left
    }
  };

  [[nodiscard]] std::shared_ptr<CounterBuffer> fresh_buffer(Flusher& flusher) const;

  Client client;
  std::string name;
  BufferedCounterOptions options;
  detail::PerProcess<Own, State&> own{*this};  // the last: it is made of the others
};

std::shared_ptr<CounterBuffer> BufferedCounter::State::fresh_buffer(Flusher& flusher) const {
  auto const id = flusher.fresh_id();
  if (!options.survive_crash) return std::make_shared<CounterBuffer>(name, id, options);
  auto const& server = client.core().options();
  auto const of = fmt::format("{}\n{}\n{} {}\n{}", server.endpoint(), server.database,
                              server.user.size(), server.user, name);
  for (;;) {
    auto entered = detail::Segment::enter(of, id, options.resend_for);
    if (entered.own)
      return std::make_shared<CounterBuffer>(name, id, options, std::move(entered.own));
    auto left = detail::left_in(*entered.segment, name, options.flush_interval, server);
    if (left.empty()) {
      throw Error{fmt::format(
          "tandem: {}: all {} places in {} are taken, by objects that live or whose adds cannot be "
          "delivered now; so many of one name can survive a crash on one host",
          name, detail::Segment::most_accounts, entered.segment->path())};
    }
    // What others have left is delivered now, so that there is room.
    for (auto& each : left) flusher.deliver(std::exchange(each, nullptr));
  }
}

BufferedCounter::BufferedCounter(Client client, std::string name, BufferedCounterOptions options) {
  if (name.empty()) {
    throw std::invalid_argument{
        "tandem: a buffered counter's name is empty; it is a key of 1 byte or more"};
  }
  detail::check({options.flush_interval, options.resend_for}, "a buffered counter was");
  if (options.flush_at < 0) {
    throw std::invalid_argument{
        fmt::format("tandem: a buffered counter was given a flush_at of {}; it is an amount, or 0 "
                    "for none",
                    options.flush_at)};
  }
  state_ = std::make_shared<State>(std::move(client), std::move(name), options);
}

void BufferedCounter::add(std::int64_t n) {
  auto& own = state_->own.get();
  if (!own->add_unseen(n) && own->add_seen(n)) own.wants_a_look();
}

void BufferedCounter::flush() { state_->own.get()->flush(state_->client.core()); }

std::int64_t BufferedCounter::pending() const { return state_->own.get()->pending(); }

std::int64_t BufferedCounter::unconfirmed() const { return state_->own.get()->unconfirmed(); }

std::int64_t BufferedCounter::value() const {
  // After so many tries the record is of older data, or has expired: the number has all there is.
  constexpr int tries = 5;
  auto& core = state_->client.core();
  auto const deadline = core.deadline();
  for (int i = 1;; ++i) {
    auto const buffers = state_->own.get().flusher().of(state_->name);
    std::vector<CounterBuffer const*> counters;
    std::vector<std::string_view> keys{state_->name};
    for (auto const& each : buffers) {
      auto const* const counter = dynamic_cast<CounterBuffer const*>(each.get());
      if (counter == nullptr) continue;  // something else is kept under that name
      counters.push_back(counter);
      keys.emplace_back(counter->record());
    }
    auto const reply = core.run(scripts::buffered_counter_read, keys, {}, deadline);
    std::optional<std::int64_t> out;
    try {
      out = reply[0].as<std::optional<std::int64_t>>().value_or(0);
    } catch (ShapeError const&) {
      throw ShapeError{
          fmt::format("tandem: GET on {}: the text there is no 64-bit number", state_->name)};
    }
    for (std::size_t at = 0; out && at < counters.size(); ++at) {
      auto pending = counters[at]->pending_beside(reply[at + 1].as<std::optional<std::string>>());
      if (!pending && i == tries) pending = counters[at]->pending();
      out = pending ? std::optional{detail::saturating_add(*out, *pending)} : std::nullopt;
    }
    if (out) return *out;
  }
}

}  // namespace tandem
