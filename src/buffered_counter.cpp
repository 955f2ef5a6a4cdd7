#include "tandem/buffered_counter.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "buffering/cells.hpp"
#include "buffering/flusher.hpp"
#include "buffering/in_use.hpp"
#include "core/companion_key.hpp"
#include "core/per_process.hpp"
#include "scripts.hpp"

namespace tandem {
namespace {

using detail::Buffer;

/// More than this a thread does not add without looking how much there is in all.
constexpr std::int64_t most_unseen = std::int64_t{1} << 48;
/// From here on each add looks.
constexpr std::int64_t nearly_full = std::int64_t{1} << 61;

/// Both numbers only ever move on, round the clock of 64 bits: what lies between them is this
/// thread's. It alone writes the first, who holds the buffer's lock the other.
struct alignas(64) CounterCell final : detail::Cell {
  std::atomic<std::uint64_t> added = 0;
  std::atomic<std::uint64_t> fetched = 0;

  [[nodiscard]] std::int64_t unseen() const noexcept {
    return static_cast<std::int64_t>(added.load(std::memory_order_relaxed) -
                                     fetched.load(std::memory_order_relaxed));
  }
  /// False, and nothing added, where `most` or more would lie between them, or less than -`most`.
  [[nodiscard]] bool add(std::int64_t n, std::uint64_t most) noexcept {
    auto const sum = added.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(n);
    if (sum - fetched.load(std::memory_order_relaxed) + most >= 2 * most) return false;
    added.store(sum, std::memory_order_relaxed);
    return true;
  }
};

/// What one object has gathered: in the cells of its threads, in `rest_`, and in hand.
class CounterBuffer final : public Buffer {
 public:
  CounterBuffer(std::string name, std::string record, BufferedCounterOptions const& options)
      : Buffer{std::move(name), std::move(record), {options.flush_interval, options.resend_for}},
        flush_at_{options.flush_at},
        unseen_{static_cast<std::uint64_t>(flush_at_ > 0 ? std::min(flush_at_, most_unseen)
                                                         : most_unseen)} {}
  ~CounterBuffer() override {
    for (auto const& cell : cells_) cell->orphan();
  }

  /// The quick way; false where there is none.
  [[nodiscard]] bool add_unseen(std::int64_t n) noexcept {
    auto* const found = detail::find_cell(number_);
    if (found == nullptr || care.load(std::memory_order_relaxed) != 0) return false;
    return static_cast<CounterCell&>(*found).add(n, unseen_);
  }
  /// The other way; whether the flusher must be told of it.
  [[nodiscard]] bool add_seen(std::int64_t n);

  [[nodiscard]] std::int64_t pending() const;
  /// What is not in the number that was read together with `record`; empty when that cannot be told
  /// any more.
  [[nodiscard]] std::optional<std::int64_t> pending_beside(
      std::optional<std::string> const& record) const;

 private:
  [[nodiscard]] Script const& script() const noexcept override {
    return scripts::buffered_counter_flush;
  }
  [[nodiscard]] std::vector<std::string_view> keys() const override { return {name()}; }

  [[nodiscard]] CounterCell* own_cell();
  [[nodiscard]] std::int64_t sum() const noexcept;
  void fetch(CounterCell& cell) noexcept;
  void fetch_what_was_left();
  void look_how_full() noexcept;
  void gather() override;
  [[nodiscard]] bool pack(std::vector<std::string>& words) override;
  void put_back() noexcept override;
  void let_go() noexcept override { last_ = std::exchange(in_hand_, 0); }
  [[nodiscard]] std::int64_t in_hand() const noexcept override { return in_hand_; }
  [[nodiscard]] std::int64_t gathered() const noexcept override { return rest_; }

  std::uint64_t const number_ = detail::fresh_buffer_number();
  std::int64_t const flush_at_;
  std::uint64_t const unseen_;

  std::vector<std::shared_ptr<CounterCell>> cells_{};
  std::int64_t rest_ = 0;
  std::int64_t in_hand_ = 0;
  std::int64_t last_ = 0;  // of the last parcel, so much arrived
};

// -- the slow way ---------------------------------------------------------------------------------

bool CounterBuffer::add_seen(std::int64_t n) {
  std::lock_guard const guard{mutex_};
  auto* const cell = own_cell();
  bool is_much = false;
  // Where there is hardly any room, everything is in one place, so that its sum is always exact.
  if (cell == nullptr || (care & full) != 0 || !cell->add(n, unseen_)) {
    gather();
    std::int64_t rest = 0;
    std::int64_t in_all = 0;
    if (__builtin_add_overflow(rest_, n, &rest) ||
        __builtin_add_overflow(in_hand_, rest, &in_all)) {
      throw std::overflow_error{fmt::format(
          "tandem: {}: adding {} to what is pending would leave 64 bits; it was not added", name(),
          n)};
    }
    rest_ = rest;
    is_much = flush_at_ > 0;
  }
  look_how_full();
  bool const is_news = is_much && !is_urgent.exchange(true);
  return is_news || (care & asleep) != 0;
}

/// None for a thread that is near its end.
CounterCell* CounterBuffer::own_cell() {
  if (auto* const found = detail::find_cell(number_)) return static_cast<CounterCell*>(found);
  fetch_what_was_left();  // as many threads as there are, and no more, have cells
  auto cell = std::make_shared<CounterCell>();
  cells_.reserve(cells_.size() + 1);
  if (!detail::keep_cell(number_, cell)) return nullptr;
  cells_.push_back(cell);
  return cell.get();
}

/// All that is pending.
std::int64_t CounterBuffer::sum() const noexcept {
  auto out = detail::saturating_add(in_hand_, rest_);
  for (auto const& cell : cells_) out = detail::saturating_add(out, cell->unseen());
  return out;
}

void CounterBuffer::look_how_full() noexcept {
  auto const in_all = sum();
  if (in_all > -nearly_full && in_all < nearly_full) {
    care.fetch_and(~full);
  } else {
    care.fetch_or(full);
  }
}

void CounterBuffer::fetch(CounterCell& cell) noexcept {
  auto const unseen = cell.unseen();
  std::int64_t rest = 0;
  if (__builtin_add_overflow(rest_, unseen, &rest)) return;  // it stays there until there is room
  rest_ = rest;
  cell.fetched.fetch_add(static_cast<std::uint64_t>(unseen), std::memory_order_relaxed);
}

void CounterBuffer::fetch_what_was_left() {
  std::erase_if(cells_, [this](std::shared_ptr<CounterCell> const& cell) {
    if (!cell->is_left()) return false;
    fetch(*cell);
    return cell->unseen() == 0;
  });
}

void CounterBuffer::gather() {
  fetch_what_was_left();
  for (auto const& cell : cells_) fetch(*cell);
  look_how_full();
}

bool CounterBuffer::pack(std::vector<std::string>& words) {
  if (rest_ == 0) return false;
  words.push_back(std::to_string(rest_));
  in_hand_ = std::exchange(rest_, 0);
  return true;
}

/// What is in hand and what was added since fit together: add_seen has looked at both.
void CounterBuffer::put_back() noexcept {
  rest_ = detail::saturating_add(rest_, std::exchange(in_hand_, 0));
  last_ = 0;
}

std::int64_t CounterBuffer::pending() const {
  std::lock_guard const guard{mutex_};
  return sum();
}

std::optional<std::int64_t> CounterBuffer::pending_beside(
    std::optional<std::string> const& record) const {
  std::lock_guard const guard{mutex_};
  auto const last = sequence();
  std::uint64_t applied = 0;
  if (record) {
    auto const* const end = record->data() + record->size();
    auto const [rest, fault] = std::from_chars(record->data(), end, applied);
    if (fault == std::errc{} && rest != end) --applied;  // with the reason why it was refused
  }
  if (applied == last) return sum() - in_hand_;
  if (applied + 1 != last) return std::nullopt;
  return has_parcel() ? sum() : detail::saturating_add(sum(), last_);
}

}  // namespace

struct BufferedCounter::State {
  State(Client a_client, std::string a_name, BufferedCounterOptions const& its_options)
      : client{std::move(a_client)}, name{std::move(a_name)}, options{its_options} {}

  struct Own : detail::InUse<CounterBuffer> {
    explicit Own(State& state) : Own{state, state.client.core().service<detail::Flusher>()} {}
    Own(State& state, detail::Flusher& flusher)
        : InUse{flusher,
                std::make_shared<CounterBuffer>(
                    state.name, detail::companion_key(state.name, "flushed:" + flusher.fresh_id()),
                    state.options)} {}
  };

  Client client;
  std::string name;
  BufferedCounterOptions options;
  detail::PerProcess<Own, State&> own{*this};  // the last: it is made of the others
};

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
