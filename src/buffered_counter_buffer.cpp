#include "buffered_counter_buffer.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include <fmt/core.h>

#include "buffering/segment.hpp"
#include "core/companion_key.hpp"

namespace tandem::detail {
namespace {

/// More than this a thread does not add without looking how much there is in all.
constexpr std::int64_t most_unseen = std::int64_t{1} << 48;
/// From here on each add looks.
constexpr std::int64_t nearly_full = std::int64_t{1} << 61;

std::string record_of(std::string_view name, std::string_view id) {
  return companion_key(name, fmt::format("flushed:{}", id));
}

}  // namespace

CounterBuffer::CounterBuffer(std::string const& name, std::string_view id,
                             BufferedCounterOptions const& options,
                             std::unique_ptr<Account> account)
    : Buffer{name, record_of(name, id), {options.flush_interval, options.resend_for}},
      flush_at_{options.flush_at},
      unseen_{static_cast<std::uint64_t>(flush_at_ > 0 ? std::min(flush_at_, most_unseen)
                                                       : most_unseen)},
      account_{std::move(account)} {}

CounterBuffer::CounterBuffer(std::string const& name, std::chrono::milliseconds interval,
                             std::unique_ptr<Account> left)
    : Buffer{name, record_of(name, left->sender()), {interval, left->resend_for()}},
      flush_at_{0},
      unseen_{0},
      account_{std::move(left)} {
  account_->check();
  auto const record = account_->record();
  taken_ = record.taken;
  in_hand_ = record.in_hand;
  rest_ = static_cast<std::int64_t>(account_->added() - taken_);
  std::vector<std::string> words;
  if (in_hand_ != 0) words.push_back(std::to_string(in_hand_));
  go_on(record.sequence, std::move(words), std::chrono::nanoseconds{record.first_sent});
}

CounterBuffer::~CounterBuffer() {
  for (auto const& cell : cells_) cell->orphan();
  if (account_ == nullptr) return;
  if (!has_parcel() && sum() == 0) {
    account_->release();
  } else {
    account_->leave();
  }
}

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
    if (account_ != nullptr) account_->add(n);
    rest_ = rest;
    is_much = flush_at_ > 0 && (cell != nullptr || rest >= flush_at_ || rest <= -flush_at_);
  }
  look_how_full();
  bool const is_news = is_much && !is_urgent.exchange(true);
  return is_news || (care & asleep) != 0;
}

/// None for a thread that is near its end, and where an account has no more.
CounterCell* CounterBuffer::own_cell() {
  if (auto* const found = find_cell(number_)) return static_cast<CounterCell*>(found);
  fetch_what_was_left();  // as many threads as there are, and no more, have cells
  auto* const in_account = account_ != nullptr ? account_->free_cell() : nullptr;
  if (account_ != nullptr && in_account == nullptr) return nullptr;
  auto cell = std::make_shared<CounterCell>(in_account);
  cells_.reserve(cells_.size() + 1);
  if (!keep_cell(number_, cell)) return nullptr;
  cells_.push_back(cell);
  if (in_account != nullptr) account_->use(*in_account);
  return cell.get();
}

/// All that is pending.
std::int64_t CounterBuffer::sum() const noexcept {
  auto out = saturating_add(in_hand_, rest_);
  for (auto const& cell : cells_) out = saturating_add(out, cell->unseen());
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
    if (cell->unseen() != 0) return false;
    if (account_ != nullptr) account_->give_back(cell->added);
    return true;
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
  taken_ += static_cast<std::uint64_t>(in_hand_);
  return true;
}

/// What is in hand and what was added since fit together: add_seen has looked at both.
void CounterBuffer::put_back() noexcept {
  taken_ -= static_cast<std::uint64_t>(in_hand_);
  rest_ = saturating_add(rest_, std::exchange(in_hand_, 0));
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
  return has_parcel() ? sum() : saturating_add(sum(), last_);
}

// -- what outlives a process ----------------------------------------------------------------------

void CounterBuffer::note_parcel() noexcept {
  if (account_ != nullptr) account_->note({sequence(), taken_, in_hand_, first_sent().count()});
}

std::vector<std::shared_ptr<Buffer>> CounterBuffer::left_by_others(Options const& told) {
  if (account_ == nullptr) return {};
  return left_in(*account_->segment(), name(), terms().interval, told);
}

std::vector<std::shared_ptr<Buffer>> left_in(Segment& segment, std::string const& name,
                                             std::chrono::milliseconds interval,
                                             Options const& told) {
  std::vector<std::shared_ptr<Buffer>> out;
  for (auto& each : segment.adopt()) {
    try {
      out.push_back(std::make_shared<CounterBuffer>(name, interval, std::move(each)));
    } catch (Error const& fault) {
      told.report(fault);
    }
  }
  return out;
}

}  // namespace tandem::detail
