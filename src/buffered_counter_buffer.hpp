#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tandem/buffered_counter.hpp>

#include "buffering/account.hpp"
#include "buffering/buffer.hpp"
#include "buffering/cells.hpp"
#include "scripts.hpp"

namespace tandem::detail {

/// Both numbers only ever move on, round the clock of 64 bits: what lies between them is this
/// thread's. It alone writes the first, who holds the buffer's lock the other. The first lies in an
/// account, where there is one.
struct alignas(64) CounterCell final : Cell {
  explicit CounterCell(Account::Cell* in_account) noexcept
      : added{in_account != nullptr ? *in_account : here}, fetched{added.load()} {}

  Account::Cell here = 0;
  Account::Cell& added;
  std::atomic<std::uint64_t> fetched;

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
  /// Without an account it ends with its process.
  CounterBuffer(std::string const& name, std::string_view id, BufferedCounterOptions const& options,
                std::unique_ptr<Account> account = nullptr);
  /// Goes on with what another has left. Throws Error when that makes no sense.
  CounterBuffer(std::string const& name, std::chrono::milliseconds interval,
                std::unique_ptr<Account> left);
  ~CounterBuffer() override;

  /// The quick way; false where there is none.
  [[nodiscard]] bool add_unseen(std::int64_t n) noexcept {
    auto* const found = find_cell(number_);
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
  void note_parcel() noexcept override;
  [[nodiscard]] bool outlives_its_process() const noexcept override { return account_ != nullptr; }
  [[nodiscard]] std::vector<std::shared_ptr<Buffer>> left_by_others(Options const& told) override;
  [[nodiscard]] std::int64_t in_hand() const noexcept override { return in_hand_; }
  [[nodiscard]] std::int64_t gathered() const noexcept override { return rest_; }

  std::uint64_t const number_ = fresh_buffer_number();
  std::int64_t const flush_at_;
  std::uint64_t const unseen_;

  std::vector<std::shared_ptr<CounterCell>> cells_{};
  std::int64_t rest_ = 0;
  std::int64_t in_hand_ = 0;
  std::int64_t last_ = 0;  // of the last parcel, so much arrived

  std::unique_ptr<Account> account_;
  std::uint64_t taken_ = 0;  // out of it, into parcels
};

/// What others have left in the segment of `name`, to be delivered by this process; what makes no
/// sense there is told.
[[nodiscard]] std::vector<std::shared_ptr<Buffer>> left_in(Segment& segment,
                                                           std::string const& name,
                                                           std::chrono::milliseconds interval,
                                                           Options const& told);

}  // namespace tandem::detail
