#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/core/command.hpp>
#include <tandem/core/options.hpp>
#include <tandem/core/reply.hpp>

#include "core/wire.hpp"

namespace tandem::detail {

/// Commands on their way over a Line, and what became of them.
///
/// `finished` is told of the end, once, on whichever thread read the last reply or noticed the
/// fault, with no lock held: a thread sleeps for it (`Call`), a callback may be called by it.
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
  /// Whether a thread waits for it that can read for others too.
  [[nodiscard]] virtual bool can_lead() const noexcept { return false; }
  /// It has the reader's role now.
  virtual void lead() noexcept {}

 private:
  friend class Line;

  std::span<Reply> replies_;
  std::size_t taken_ = 0;
  Fate fate_ = Fate::open;
  std::string why_{};
};

/// A request that its caller's thread waits for.
class Call final : public Request {
 public:
  using Request::Request;

 private:
  friend class Line;
  enum State : std::uint32_t { running, asleep, leading, done };

  void finished() noexcept override { wake(done); }
  [[nodiscard]] bool can_lead() const noexcept override { return true; }
  void lead() noexcept override {
    was_told_to_lead_ = true;
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
  bool was_told_to_lead_ = false;  // guarded by the line's mutex
};

/// One connection that many threads talk over at once, without a thread of its own.
///
/// Who speaks while another is speaking leaves its words with that one, to go out with its next
/// write. Of those who wait for replies one reads, for all of them; the rest sleep. When its own
/// reply is in, it hands the reading on. So a thread alone sends and receives as if the connection
/// were its own, and sixteen share each system call.
///
/// A request whose caller gives up leaves a gap that its late reply falls into: the connection
/// stays good for the others. It is given up as a whole when something goes wrong with it, or when
/// a reply is late by a whole Options::command_timeout.
///
/// Threads: safe from several.
/// Source:  the idea is leader/followers (Schmidt et al., 2000), with flat combining (Hendler et
///          al., 2010) of the writes.
class Line {
 public:
  Line(Options const& options, std::unique_ptr<Wire> wire)
      : options_{options}, wire_{std::move(wire)} {}
  Line(Line const&) = delete;
  Line& operator=(Line const&) = delete;

  /// Sends `bytes`, the commands of `request`, and waits for the end of it: until `deadline`.
  void exchange(std::string_view bytes, Call& call, Deadline deadline);

  /// Whether the next request may go over it. An idle line is looked at: has the server hung up?
  [[nodiscard]] bool usable() noexcept;

 private:
  struct Slot {
    Request* request;  // none: its caller has given up
    std::size_t bytes;
    std::size_t commands;
    std::size_t unanswered;  // of them
    Deadline since;

    /// Whether the server may have executed some of it although it never got the last so many
    /// bytes. It executes a command once it has read all of it.
    [[nodiscard]] bool may_be_executed_without(std::size_t missing) const noexcept {
      return missing == 0 || (missing < bytes && commands > 1);
    }
  };
  /// A queue that keeps its memory.
  class Slots {
   public:
    void push(Slot const& slot) { slots_.push_back(slot); }
    void pop() noexcept;
    void clear() noexcept { slots_.clear(), first_ = 0; }
    [[nodiscard]] bool empty() const noexcept { return first_ == slots_.size(); }
    [[nodiscard]] Slot& front() noexcept { return slots_[first_]; }
    [[nodiscard]] std::span<Slot> all() noexcept { return std::span{slots_}.subspan(first_); }
    void erase(Slot const* slot) noexcept { slots_.erase(slots_.begin() + (slot - slots_.data())); }

   private:
    std::vector<Slot> slots_{};
    std::size_t first_ = 0;
  };

  void start(std::string_view bytes, Request& request, Deadline now, Deadline deadline);
  void write(std::string_view rest, Deadline deadline);
  void write_what_was_left();
  void await(Call& call, Deadline deadline);
  void read_for_all(Call const& call, Deadline deadline);
  void deliver();
  void hand_on_reading(Call const& from) noexcept;
  void withdraw(Call& call);
  void give_up(std::string const& why) noexcept;
  void stop_writing(std::string const& why) noexcept;
  static void finish(Request& request, Request::Fate fate, std::string const& why) noexcept;

  Options const& options_;
  std::unique_ptr<Wire> wire_;

  std::mutex mutex_{};   // guards all but what belongs to the roles
  bool broken_ = false;  // nothing more goes out
  bool over_ = false;    // and nothing comes in
  std::string why_broken_{};
  Slots pending_{};         // sent, or being sent: their replies come in this order
  Slots queued_{};          // in outbox_
  std::string outbox_{};    // what goes out with the next write
  bool writing_ = false;    // somebody has the writer's role
  bool sending_ = false;    // and is at it: some of unsent_ may be out already
  bool blocked_ = false;    // nobody has it, but batch_ is not out: who reads goes on writing
  std::size_t unsent_ = 0;  // of the last bytes of pending_
  Call const* reader_ = nullptr;

  std::string batch_{};  // the writer's

  std::vector<Reply> heard_{};     // the reader's
  std::vector<Request*> ended_{};  // the reader's
};

}  // namespace tandem::detail
