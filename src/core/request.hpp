#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <tandem/core/options.hpp>
#include <tandem/core/reply.hpp>

namespace tandem::detail {

/// Commands on their way over a Line, and what became of them.
///
/// `finished` is told of the end, once, on whichever thread read the last reply or noticed the
/// fault, with no lock held but in the reader's role: it must neither wait nor ask anything of the
/// same line. A thread sleeps for it (`Call`); a coroutine would be scheduled by it.
class Request {
 public:
  enum class Fate { open, answered, not_executed, in_doubt };

  /// One reply of `replies` for each command.
  explicit Request(std::span<Reply> replies) noexcept : replies_{replies} {}
  Request(Request const&) = delete;
  Request& operator=(Request const&) = delete;

  [[nodiscard]] Fate fate() const noexcept { return fate_; }
  [[nodiscard]] std::string const& why() const noexcept { return why_; }  ///< of what failed

 protected:
  virtual ~Request() = default;
  virtual void finished() noexcept = 0;
  /// Whether a thread waits for it, which can read for others too.
  [[nodiscard]] virtual bool is_awaited() const noexcept { return false; }
  /// It has the reader's role now.
  virtual void lead() noexcept {}

 private:
  friend class Line;

  std::span<Reply> replies_;
  std::size_t taken_ = 0;
  Fate fate_ = Fate::open;
  std::string why_{};
  Request* next_ended_ = nullptr;
};

/// A request that its caller's thread waits for.
class Call final : public Request {
 public:
  using Request::Request;

 private:
  friend class Line;
  enum State : std::uint32_t { running, asleep, leading, done };

  void finished() noexcept override { wake(done); }
  [[nodiscard]] bool is_awaited() const noexcept override { return true; }
  void lead() noexcept override {
    was_made_reader_ = true;
    wake(leading);
  }

  void wake(State state) noexcept;
  /// Until it is woken; false at the deadline.
  bool sleep(Deadline deadline) noexcept;
  void sleep_until_done() noexcept;
  [[nodiscard]] bool is_done() const noexcept {
    return state_.load(std::memory_order_acquire) == done;
  }

  std::atomic<std::uint32_t> state_{running};
  bool was_made_reader_ =
      false;  // by another thread's `hand_on_reading`; the line's mutex guards it
};

}  // namespace tandem::detail
