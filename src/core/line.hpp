#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tandem/core/options.hpp>
#include <tandem/core/reply.hpp>

#include "core/request.hpp"
#include "core/wire.hpp"

namespace tandem::detail {

/// One connection that many threads talk over at once, without a thread of its own.
///
/// Who speaks while another is speaking leaves its words with that one, to go out with its next
/// write; and so does who speaks while the server has enough to do: its words go out with the others'
/// when a reply comes, or a moment later. Of those who wait for replies one reads, for all of them; the rest sleep.
/// When its own reply is in, it hands the reading on. So a thread alone sends and receives as if the
/// connection were its own, and sixteen share each system call.
///
/// A request whose caller gives up leaves a gap that its late reply falls into: the connection
/// stays good for the others. It is given up as a whole when something goes wrong with it, or when
/// a reply that nobody waits for any more is late by most of Options::command_timeout.
///
/// Where replies are to come and no caller waits for any, somebody else is called to read them (see
/// `attend`).
///
/// Threads: safe from several.
/// Source:  the idea is leader/followers (Schmidt et al., 2000), with flat combining (Hendler et
///          al., 2010) of the writes and Nagle's rule (RFC 896) for when they leave.
class Line {
 public:
  /// `call_attendant` is called, with no lock held, when replies are to come that nobody reads.
  Line(
      Options const& options, std::unique_ptr<Wire> wire,
      std::function<void()> call_attendant = [] {})
      : options_{options}, wire_{std::move(wire)}, call_attendant_{std::move(call_attendant)} {}
  /// What is still to be answered is in doubt.
  ~Line();
  Line(Line const&) = delete;
  Line& operator=(Line const&) = delete;

  /// Sends `bytes`, the commands of `request`, and waits for the end of it: until `deadline`.
  void exchange(std::string_view bytes, Call& call, Deadline deadline);

  /// Sends them, or leaves them to go out with the next write, and waits for nothing. False, and
  /// nothing done, when the line is broken, or so much is under way that who posts more must wait.
  [[nodiscard]] bool post(std::string_view bytes, Request& request);

  /// Whether the next request may go over it. An idle line is looked at: has the server hung up?
  [[nodiscard]] bool usable() noexcept;
  /// Whether something that was posted is not answered yet.
  [[nodiscard]] bool has_posts() noexcept;
  /// Whether it has been in use for a while, so that it is worth while to see to its health.
  [[nodiscard]] bool is_settled() const noexcept {
    return settled_.load(std::memory_order_relaxed);
  }

  // -- for the attendant: a thread that has time when no caller does --

  /// What to poll the line for: none while a caller reads, or there is nothing to come.
  [[nodiscard]] pollfd unattended() noexcept;
  /// Reads and writes what can be without waiting, unless a caller does.
  void attend() noexcept;
  struct Health {
    bool silent;  // nothing is under way, and nothing was for a while: a PING would tell
    Deadline look_again;
  };
  /// Gives the line up where something is late.
  [[nodiscard]] Health examine(Deadline now, std::chrono::milliseconds long_silence) noexcept;

 private:
  struct Slot {
    Request* request;  // none: its caller has given up
    std::size_t bytes;
    std::size_t commands;
    std::size_t unanswered;  // of them
    Deadline since;
    bool ends_a_write = false;

    [[nodiscard]] bool is_awaited() const noexcept {
      return request != nullptr && request->is_awaited();
    }
    /// Whether the server may have executed some of it although it never got the last so many
    /// bytes. It executes a command once it has read all of it.
    [[nodiscard]] bool may_be_executed_without(std::size_t missing) const noexcept {
      return missing == 0 || (missing < bytes && commands > 1);
    }
  };
  /// A queue that keeps its memory.
  class Slots {
   public:
    /// Makes room for so many more, so that `push` cannot fail.
    void make_room(std::size_t count);
    void push(Slot const& slot) noexcept { slots_.push_back(slot); }
    void pop() noexcept;
    void clear() noexcept { slots_.clear(), first_ = 0; }
    [[nodiscard]] bool empty() const noexcept { return first_ == slots_.size(); }
    [[nodiscard]] std::size_t size() const noexcept { return slots_.size() - first_; }
    [[nodiscard]] Slot& front() noexcept { return slots_[first_]; }
    [[nodiscard]] Slot& back() noexcept { return slots_.back(); }
    [[nodiscard]] std::span<Slot> all() noexcept { return std::span{slots_}.subspan(first_); }
    void erase(Slot const* slot) noexcept { slots_.erase(slots_.begin() + (slot - slots_.data())); }

   private:
    std::vector<Slot> slots_{};
    std::size_t first_ = 0;
  };

  /// Requests that have ended, told so once the lock is released. Needs no memory of its own.
  class Ended {
   public:
    void add(Request* request, Request::Fate fate) noexcept;
    void tell(std::string const& why) const noexcept;

   private:
    Request* first_ = nullptr;
    Request* last_ = nullptr;
  };

  void start(std::string_view bytes, Request& request, Deadline deadline);
  [[nodiscard]] bool accept(std::string_view bytes, Request& request, Deadline now);
  [[nodiscard]] bool is_better_held() const noexcept;
  [[nodiscard]] bool is_held() const noexcept;
  void take_outbox() noexcept;
  void write(std::string_view rest, Deadline deadline);
  void leave_to_reader(std::string_view rest);
  void write_what_is_held() noexcept;
  void write_what_was_left();
  void await(Call& call, Deadline deadline);
  void read_for_all(Call const& call, Deadline deadline);
  [[nodiscard]] bool wait_for_room_too(bool blocked, Deadline until);
  void deliver();
  void hand_on_reading(Call const& from) noexcept;
  void withdraw(Call& call);
  [[nodiscard]] std::chrono::milliseconds patience() const noexcept;
  [[nodiscard]] bool is_overdue(Deadline now) noexcept;
  void forget_queued(Ended& ended) noexcept;
  void forget_unsent(Ended& ended) noexcept;
  void give_up(std::string const& why) noexcept;
  void stop_writing(std::string const& why) noexcept;
  static void remember(std::string& place, std::string_view text) noexcept;
  void say_why(std::string& place, std::string_view doing, std::string_view what) const noexcept;

  Options const& options_;
  std::unique_ptr<Wire> wire_;
  std::function<void()> const call_attendant_;
  Deadline const made_ = std::chrono::steady_clock::now();
  std::atomic<bool> settled_ = false;

  std::mutex mutex_{};   // guards all but what belongs to the roles
  bool broken_ = false;  // nothing more goes out
  bool over_ = false;    // and nothing comes in
  std::string why_broken_{};
  Slots pending_{};             // sent, or being sent: their replies come in this order
  Slots queued_{};              // in outbox_
  std::string outbox_{};        // what goes out with the next write
  std::size_t unanswered_ = 0;  // writes: some of their replies are to come
  std::size_t crowd_ = 0;       // so many requests were under way at once of late
  Deadline held_until_{};       // when a caller's words in outbox_ go out without a reply, too
  Deadline heard_at_{};         // when a reply came last
  Deadline last_word_ = made_;  // of ours
  bool writing_ = false;        // somebody has the writer's role
  bool sending_ = false;        // and is at it: some of unsent_ may be out already
  bool blocked_ = false;        // nobody has it, but batch_ is not out: who reads goes on writing
  std::size_t unsent_ = 0;      // of the last bytes of pending_
  Call const* reader_ = nullptr;
  bool attended_ = false;  // the attendant has been called, or polls

  std::string batch_{};  // the writer's

  std::vector<Reply> heard_{};                // the reader's
  Call const attendant_{std::span<Reply>{}};  // stands for it in reader_
};

}  // namespace tandem::detail
