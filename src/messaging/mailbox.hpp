#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <tandem/core/subscription.hpp>

namespace tandem::detail {

/// What waits for a handler: of bounded size, filled by the event thread, which never waits, and
/// emptied by the handler's own.
///
/// Threads: safe from several; take from one.
class Mailbox {
 public:
  /// With a history, what finds no room is not missed: it is to be looked up.
  Mailbox(SubscriptionOptions const& options, bool has_history)
      : most_{options.buffer},
        most_bytes_{options.buffer_bytes},
        when_full_{options.when_full},
        has_history_{has_history} {}

  void put(std::string_view topic, std::string_view message);
  /// Something may have been missed at this point: the connection was lost.
  void put_gap();
  /// The history is to be looked into.
  void put_look();

  struct Message {
    std::string topic;
    std::string bytes;
  };
  /// What is next: what was missed, then a look into the history, then a message.
  struct Letter {
    std::uint64_t dropped = 0;
    bool gap = false;
    bool look = false;
    std::optional<Message> message{};
    bool failed = false;  // what would follow found no room, and nothing does
  };
  /// Waits for it. None: it is closed.
  [[nodiscard]] std::optional<Letter> take();

  /// Nothing is put or taken any more.
  void close() noexcept;
  [[nodiscard]] bool is_closed() const;
  /// Whether it is so until then.
  [[nodiscard]] bool is_closed_by(Deadline deadline);

 private:
  struct Missed {
    std::uint64_t dropped = 0;
    bool gap = false;

    void add(Missed const& later) noexcept {
      dropped += later.dropped;
      gap = gap || later.gap;
    }
    [[nodiscard]] bool is_any() const noexcept { return dropped > 0 || gap; }
  };
  struct Waiting {
    Missed before;
    Message message;
  };

  [[nodiscard]] bool has_room(std::size_t size) const noexcept {
    return waiting_.empty() || (waiting_.size() < most_ && bytes_ + size <= most_bytes_);
  }
  [[nodiscard]] Waiting take_first();
  [[nodiscard]] bool make_room(std::size_t size);

  std::size_t const most_;
  std::size_t const most_bytes_;
  SubscriptionOptions::WhenFull const when_full_;
  bool const has_history_;

  mutable std::mutex mutex_{};  // guards:
  std::condition_variable changed_{};
  std::deque<Waiting> waiting_{};
  std::size_t bytes_ = 0;
  Missed at_end_{};  // after all that waits
  bool look_ = false;
  bool failed_ = false;
  bool closed_ = false;
};

}  // namespace tandem::detail
