#include "tandem/statistics.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "buffering/cells.hpp"
#include "buffering/flusher.hpp"
#include "buffering/in_use.hpp"
#include "core/companion_key.hpp"
#include "core/per_process.hpp"
#include "scripts.hpp"
#include "statistics_sample.hpp"

namespace tandem {
namespace {

using detail::Buckets;
using detail::Buffer;
using detail::Sample;
using std::chrono::seconds;
using std::chrono::sys_seconds;

constexpr seconds longest_period{std::chrono::hours{24 * 366}};

/// One thread's values. The lock is its own but for the moment in which they are fetched.
struct alignas(64) SampleCell final : detail::Cell {
  std::mutex mutex{};
  Sample sample{};
};

/// What one object has gathered: in the cells of its threads, in `rest_`, and in hand.
class SampleBuffer final : public Buffer {
 public:
  SampleBuffer(std::string const& name, std::string last, std::string const& id,
               StatisticsOptions const& options)
      : Buffer{name,
               detail::companion_key(name, "flushed:" + id),
               {options.flush_interval, options.resend_for}},
        last_{std::move(last)},
        period_{std::chrono::floor<seconds>(options.period)} {}
  ~SampleBuffer() override {
    for (auto const& cell : cells_) cell->orphan();
  }

  /// Whether the flusher must be told of it.
  [[nodiscard]] bool add(double value);
  [[nodiscard]] std::int64_t pending() const;

 private:
  [[nodiscard]] Script const& script() const noexcept override { return scripts::statistics_merge; }
  [[nodiscard]] std::vector<std::string_view> keys() const override { return {name(), last_}; }

  [[nodiscard]] SampleCell* own_cell();
  void gather() override;
  [[nodiscard]] bool pack(std::vector<std::string>& words) override;
  void put_back() noexcept override { rest_.take(in_hand_); }
  void let_go() noexcept override { in_hand_ = Sample{}; }
  [[nodiscard]] std::int64_t in_hand() const noexcept override { return in_hand_.count; }
  [[nodiscard]] std::int64_t gathered() const noexcept override { return rest_.count; }

  std::uint64_t const number_ = detail::fresh_buffer_number();
  std::string const last_;
  seconds const period_;

  std::vector<std::shared_ptr<SampleCell>> cells_{};
  Sample rest_{};
  Sample in_hand_{};
};

bool SampleBuffer::add(double value) {
  auto* cell = static_cast<SampleCell*>(detail::find_cell(number_));
  if (cell == nullptr) {
    std::lock_guard const guard{mutex_};
    cell = own_cell();
    if (cell == nullptr) rest_.add(value);
  }
  if (cell != nullptr) {
    std::lock_guard const guard{cell->mutex};
    cell->sample.add(value);
  }
  return (care & asleep) != 0;
}

/// None for a thread that is near its end.
SampleCell* SampleBuffer::own_cell() {
  // As many threads as there are, and no more, have cells.
  std::erase_if(cells_, [this](std::shared_ptr<SampleCell> const& cell) {
    if (!cell->is_left()) return false;
    rest_.take(cell->sample);
    return true;
  });
  auto cell = std::make_shared<SampleCell>();
  cells_.reserve(cells_.size() + 1);
  if (!detail::keep_cell(number_, cell)) return nullptr;
  cells_.push_back(cell);
  return cell.get();
}

std::int64_t SampleBuffer::pending() const {
  std::lock_guard const guard{mutex_};
  auto out = in_hand_.count + rest_.count;
  for (auto const& cell : cells_) {
    std::lock_guard const its_guard{cell->mutex};
    out += cell->sample.count;
  }
  return out;
}

void SampleBuffer::gather() {
  std::erase_if(cells_, [this](std::shared_ptr<SampleCell> const& cell) {
    bool const left = cell->is_left();  // before what is in it
    Sample fetched;
    {
      std::lock_guard const guard{cell->mutex};
      fetched = std::exchange(cell->sample, Sample{});
    }
    rest_.take(fetched);
    return left;
  });
}

bool SampleBuffer::pack(std::vector<std::string>& words) {
  if (rest_.count == 0) return false;
  words.reserve(7 + 2 * rest_.buckets.size());
  words.push_back(std::to_string(period_.count()));
  words.push_back(std::to_string(rest_.count));
  for (auto const number : {rest_.sum.sum, rest_.sum.rest, rest_.squares, rest_.min, rest_.max}) {
    words.push_back(fmt::format("{}", number));  // the shortest text that reads back as the same
  }
  for (auto const& [place, count] : rest_.buckets) {
    words.push_back(Buckets::name(place));
    words.push_back(std::to_string(count));
  }
  in_hand_.take(rest_);
  return true;
}

// -- what is refused ------------------------------------------------------------------------------

std::string checked_name(std::string_view context, std::string_view type) {
  if (context.empty() || type.empty()) {
    throw std::invalid_argument{
        fmt::format("tandem: statistics were given the context '{}' and the type '{}'; both have 1 "
                    "byte or more",
                    context, type)};
  }
  return fmt::format("statistics:{}:{}", context, type);
}

StatisticsOptions const& checked(StatisticsOptions const& options) {
  auto const whole = std::chrono::floor<seconds>(options.period);
  if (whole < seconds{1} || whole != options.period || whole > longest_period) {
    throw std::invalid_argument{
        fmt::format("tandem: statistics were given a period of {} ms; it is whole seconds, from 1 "
                    "s to 366 days",
                    options.period.count())};
  }
  detail::check({options.flush_interval, options.resend_for}, "statistics were");
  return options;
}

}  // namespace

// -- the class ------------------------------------------------------------------------------------

struct Statistics::State {
  State(Client a_client, std::string a_name, StatisticsOptions const& its_options)
      : client{std::move(a_client)},
        name{std::move(a_name)},
        last{detail::companion_key(name, "last")},
        period{std::chrono::floor<seconds>(its_options.period)},
        options{its_options} {}

  struct Own : detail::InUse<SampleBuffer> {
    explicit Own(State& state) : Own{state, state.client.core().service<detail::Flusher>()} {}
    Own(State& state, detail::Flusher& flusher)
        : InUse{flusher, std::make_shared<SampleBuffer>(state.name, state.last, flusher.fresh_id(),
                                                        state.options)} {}
  };

  Client client;
  std::string name;
  std::string last;
  seconds period;
  StatisticsOptions options;
  detail::PerProcess<Own, State&> own{*this};  // the last: it is made of the others

  /// One hash of the server's; empty when it is not there.
  [[nodiscard]] std::optional<Period> decode(ReplyView hash) const;
  struct Seen {
    sys_seconds start;  // of the period in which the server's clock is
    std::optional<Period> current, last;
  };
  [[nodiscard]] Seen see();
};

std::optional<Statistics::Period> Statistics::State::decode(ReplyView hash) const {
  if (hash.size() == 0) return std::nullopt;
  Period out;
  int found = 0;
  auto const read = [&](std::string_view text, auto& number) {
    auto const* const end = text.data() + text.size();
    auto const [stopped, fault] = std::from_chars(text.data(), end, number);
    if (fault == std::errc{} && stopped == end) return;
    throw CodecError{
        fmt::format("tandem: {}: '{}' is no number that statistics write", name, text)};
  };
  seconds::rep start = 0;
  for (auto const& [field, text] :
       hash.as<std::vector<std::pair<std::string_view, std::string_view>>>()) {
    ++found;
    if (field == "start") {
      read(text, start);
    } else if (field == "count") {
      read(text, out.count_);
    } else if (field == "sum") {
      read(text, out.sum_);
    } else if (field == "m2") {
      read(text, out.squares_);
    } else if (field == "min") {
      read(text, out.min_);
    } else if (field == "max") {
      read(text, out.max_);
    } else {
      --found;
      if (auto const place = Buckets::place(field)) {
        out.buckets_.push_back({*place, 0});
        read(text, out.buckets_.back().count);
      }
    }
  }
  if (found != 6) {
    throw CodecError{fmt::format("tandem: {}: the hash there is none of statistics", name)};
  }
  out.start_ = sys_seconds{seconds{start}};
  std::sort(out.buckets_.begin(), out.buckets_.end(),
            [](auto const& a, auto const& b) { return a.place < b.place; });
  return out;
}

Statistics::State::Seen Statistics::State::see() {
  auto& core = client.core();
  std::string_view const keys[] = {name, last};
  auto const reply = core.run(scripts::statistics_read, keys, {}, core.deadline());
  auto const now = reply[0].as<seconds::rep>();
  return {sys_seconds{seconds{now - now % period.count()}}, decode(reply[1]), decode(reply[2])};
}

Statistics::Statistics(Client client, std::string_view context, std::string_view type,
                       StatisticsOptions options)
    : state_{std::make_shared<State>(std::move(client), checked_name(context, type),
                                     checked(options))} {}

void Statistics::add(double value) {
  if (!std::isfinite(value)) {
    throw std::invalid_argument{fmt::format(
        "tandem: {}: {} cannot be added; a value is a finite number", state_->name, value)};
  }
  auto& own = state_->own.get();
  if (own->add(value + 0.0)) own.wants_a_look();  // no negative zero
}

void Statistics::flush() { state_->own.get()->flush(state_->client.core()); }

Statistics::Period Statistics::current() {
  flush();
  auto seen = state_->see();
  if (seen.current && seen.current->start_ >= seen.start) return *std::move(seen.current);
  Period none;
  none.start_ = seen.start;
  return none;
}

std::optional<Statistics::Period> Statistics::last() const {
  auto seen = state_->see();
  if (seen.current && seen.current->start_ < seen.start) return std::move(seen.current);
  return std::move(seen.last);
}

std::int64_t Statistics::pending() const { return state_->own.get()->pending(); }

std::int64_t Statistics::unconfirmed() const { return state_->own.get()->unconfirmed(); }

}  // namespace tandem
