#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "buffering/buffer.hpp"
#include "core/core.hpp"

namespace tandem::detail {

/// Flushes the buffers of a client in the background: those of one interval at the same moment, in
/// one write.
///
/// A buffer that had nothing to flush is left alone until somebody adds to it, which wakes this
/// thread; but for a look each second, because an add may just have been under way. What other
/// processes have left is looked for by the first look, and each second.
///
/// Cost:    1 command for each buffer with something in it, each interval. The script goes in full
///          with the first after connecting.
/// Threads: safe from several.
class Flusher final : public EventListener {
 public:
  explicit Flusher(Core& core);

  /// Never used before: what a buffer is known by to the server.
  [[nodiscard]] std::string fresh_id();

  /// What was added to it is to be flushed by its interval, or at once where it is urgent. The
  /// first look starts the event thread, if there can be one.
  void look_at(std::shared_ptr<Buffer> const& buffer);
  /// Its object ends: delivers it, and what other processes have left.
  void retire(std::shared_ptr<Buffer> const& buffer);
  /// Nobody will add to it any more: flushes it now, or later if the server cannot be reached. On
  /// the event thread, later.
  void deliver(std::shared_ptr<Buffer> const& buffer);
  /// Those that add to `name`.
  [[nodiscard]] std::vector<std::shared_ptr<Buffer>> of(std::string_view name);

  void before_end() override;

 private:
  using Buffers = std::vector<std::shared_ptr<Buffer>>;

  void start();
  void on_disconnected() override { taught_.clear(); }
  Deadline on_time(Deadline now) override;

  [[nodiscard]] Buffers due(Deadline now);
  void take_over_what_was_left(Deadline now);
  void flush(std::shared_ptr<Buffer> const& buffer);
  void take_answer(std::shared_ptr<Buffer> const& buffer, Buffer::Sent const& parcel,
                   ReplyView const* reply);
  void forget(Buffer const& buffer);
  void postpone(Buffer& buffer, Deadline due);
  void let_sleep(Buffer& buffer);
  [[nodiscard]] bool is_retired(Buffer const& buffer);

  Core& core_;
  Events& events_;  // not the core: a callback of ours may be what drops its last handle
  Options const& options_;
  std::string const id_;
  std::atomic<std::uint64_t> count_{0};
  std::atomic<bool> started_{false};
  std::vector<std::string_view> taught_{};  // scripts that the server knows; the event thread's own

  std::mutex mutex_{};
  Buffers buffers_{};
  std::size_t undelivered_ = 0;
  Deadline next_due_ = Deadline::max();   // the first of theirs, or earlier
  Deadline next_look_ = Deadline::max();  // at what other processes have left
};

}  // namespace tandem::detail
