#include "messaging/mailbox.hpp"

#include <utility>

namespace tandem::detail {

void Mailbox::put(std::string_view topic, std::string_view message) {
  {
    std::lock_guard const guard{mutex_};
    // What comes after a message that found no room would only be told to be ahead of it.
    if (closed_ || failed_ || (has_history_ && look_)) return;
    auto const size = topic.size() + message.size();
    if (make_room(size)) {
      waiting_.push_back({std::exchange(at_end_, {}), {std::string{topic}, std::string{message}}});
      bytes_ += size;
    }
  }
  changed_.notify_all();
}

bool Mailbox::make_room(std::size_t size) {
  if (has_room(size)) return true;
  if (has_history_) {
    look_ = true;
    return false;
  }
  if (when_full_ == SubscriptionOptions::WhenFull::drop_oldest) {
    Missed missed;
    while (!has_room(size)) {
      missed.add(take_first().before);
      ++missed.dropped;
    }
    auto& next = waiting_.empty() ? at_end_ : waiting_.front().before;
    missed.add(next);
    next = missed;
    return true;
  }
  failed_ = when_full_ == SubscriptionOptions::WhenFull::fail;
  if (!failed_) ++at_end_.dropped;
  return false;
}

Mailbox::Waiting Mailbox::take_first() {
  auto out = std::move(waiting_.front());
  waiting_.pop_front();
  bytes_ -= out.message.topic.size() + out.message.bytes.size();
  return out;
}

void Mailbox::put_gap() {
  {
    std::lock_guard const guard{mutex_};
    at_end_.gap = true;
  }
  changed_.notify_all();
}

void Mailbox::put_look() {
  {
    std::lock_guard const guard{mutex_};
    look_ = true;
  }
  changed_.notify_all();
}

std::optional<Mailbox::Letter> Mailbox::take() {
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this] {
    return closed_ || !waiting_.empty() || at_end_.is_any() || look_ || failed_;
  });
  if (closed_) return std::nullopt;
  Letter out;
  if (!waiting_.empty()) {
    auto first = take_first();
    out.dropped = first.before.dropped;
    out.gap = first.before.gap;
    out.message = std::move(first.message);
    return out;
  }
  auto const missed = std::exchange(at_end_, {});
  out.dropped = missed.dropped;
  out.gap = missed.gap;
  out.look = std::exchange(look_, false);
  out.failed = failed_;
  return out;
}

void Mailbox::close() noexcept {
  {
    std::lock_guard const guard{mutex_};
    closed_ = true;
  }
  changed_.notify_all();
}

bool Mailbox::is_closed() const {
  std::lock_guard const guard{mutex_};
  return closed_;
}

bool Mailbox::is_closed_by(Deadline deadline) {
  std::unique_lock lock{mutex_};
  return changed_.wait_until(lock, deadline, [this] { return closed_; });
}

}  // namespace tandem::detail
