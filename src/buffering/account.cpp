#include "buffering/account.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include <fmt/core.h>

#include <tandem/core/error.hpp>

#include "buffering/segment.hpp"

namespace tandem::detail {

using std::chrono::milliseconds;

Account::Account(std::shared_ptr<Segment> segment, std::size_t place)
    : segment_{std::move(segment)}, place_{place}, layout_{segment_->layout(place)} {}

void Account::begin(std::string_view sender, milliseconds resend_for) noexcept {
  auto& fresh = *new (&layout_) Layout{};
  sender.copy(fresh.sender, sizeof fresh.sender - 1);
  fresh.resend_for = static_cast<std::uint64_t>(resend_for.count());
}

std::string_view Account::sender() const noexcept {
  return {layout_.sender, ::strnlen(layout_.sender, sizeof layout_.sender)};
}

milliseconds Account::resend_for() const noexcept {
  return milliseconds{static_cast<milliseconds::rep>(layout_.resend_for)};
}

void Account::check() const {
  auto const name = sender();
  bool const is_named =
      !name.empty() && name.find_first_not_of("0123456789abcdef.") == std::string_view::npos;
  bool const has_time =
      resend_for() >= milliseconds{1} && resend_for() <= milliseconds{std::chrono::hours{24}};
  auto const current = layout_.current.load(std::memory_order_acquire);
  if (is_named && has_time && current < 2 &&
      (layout_.records[current].in_hand == 0 || layout_.records[current].sequence > 0))
    return;
  throw Error{fmt::format(
      "tandem: {}: what a process that has ended left there, in place {}, was not written by "
      "tandem; it is not counted. Remove the file when nobody counts there",
      segment_->path(), place_)};
}

Account::Cell* Account::free_cell() noexcept {
  if (used_.all()) return nullptr;
  std::size_t at = 0;
  while (used_.test(at)) ++at;
  return &layout_.cells[at].cell;
}

std::size_t Account::index(Cell const& cell) const noexcept {
  auto const* const first = reinterpret_cast<char const*>(&layout_.cells[0]);
  return static_cast<std::size_t>(reinterpret_cast<char const*>(&cell) - first) /
         sizeof layout_.cells[0];
}

void Account::add(std::int64_t n) noexcept {
  layout_.common.fetch_add(static_cast<std::uint64_t>(n), std::memory_order_relaxed);
}

std::uint64_t Account::added() const noexcept {
  auto out = layout_.common.load(std::memory_order_relaxed);
  for (auto const& each : layout_.cells) out += each.cell.load(std::memory_order_relaxed);
  return out;
}

void Account::note(Record const& record) noexcept {
  auto const other = 1 - layout_.current.load(std::memory_order_relaxed);
  layout_.records[other] = record;
  layout_.current.store(other, std::memory_order_release);
}

Account::Record Account::record() const noexcept {
  return layout_.records[layout_.current.load(std::memory_order_acquire)];
}

void Account::release() noexcept { segment_->release(place_); }

void Account::leave() noexcept { segment_->leave(place_); }

}  // namespace tandem::detail
