#include "buffering/flusher.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include <fmt/core.h>

#include "core/random_id.hpp"

namespace tandem::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A thread that saw the flusher awake may have been stopped before it added; nobody else is woken.
constexpr std::chrono::seconds look_again_after{1};
// What was not answered, or waits for a connection, does not wait for a long interval.
constexpr milliseconds try_again_after{100};
// What the server refuses it will refuse again for a while.
constexpr milliseconds ask_again_after{1000};

/// Buffers of one interval are due at the same moments, so that they leave together.
Deadline next_tick(Deadline now, milliseconds interval) {
  return now - now.time_since_epoch() % Deadline::duration{interval} + interval;
}

Deadline soon(Buffer const& buffer) {
  return next_tick(steady_clock::now(), std::min(buffer.terms().interval, try_again_after));
}

}  // namespace

// -- for the threads that use buffers -------------------------------------------------------------

Flusher::Flusher(Core& core)
    : core_{core}, events_{core.events()}, options_{core.options()}, id_{random_id()} {}

std::string Flusher::fresh_id() { return fmt::format("{}.{}", id_, ++count_); }

void Flusher::start() {
  if (started_.load(std::memory_order_relaxed)) return;
  try {
    events_.start();
  } catch (Unreachable const&) {
    return;  // no thread to be had: the next look tries again; a caller's flush does without
  }
  events_.keep_connected();
  started_ = true;
}

void Flusher::look_at(std::shared_ptr<Buffer> const& buffer) {
  start();
  auto const now = steady_clock::now();
  auto& schedule = buffer->schedule;
  bool looks = false;
  bool sooner = false;
  {
    std::lock_guard const guard{mutex_};
    if (!std::exchange(schedule.known, true)) {
      buffers_.push_back(buffer);
      looks = buffer->outlives_its_process() && !schedule.retired;
      if (looks) next_look_ = now;
    }
    bool const slept = (buffer->care.fetch_and(~Buffer::asleep) & Buffer::asleep) != 0;
    auto const due = buffer->is_urgent ? now : next_tick(now, buffer->terms().interval);
    schedule.due = slept ? due : std::min(schedule.due, due);
    sooner = schedule.due < next_due_;
    if (sooner) next_due_ = schedule.due;
  }
  if (looks || sooner) events_.wake();
}

void Flusher::retire(std::shared_ptr<Buffer> const& buffer) {
  try {
    for (auto const& left : buffer->left_by_others(options_)) deliver(left);
  } catch (std::exception const& fault) {  // out of memory: they are left as they were
    options_.report(Error{fmt::format("tandem: {}: {}", buffer->name(), fault.what())});
  }
  deliver(buffer);
}

void Flusher::deliver(std::shared_ptr<Buffer> const& buffer) {
  bool waits = !events_.is_own_thread();
  bool failed = false;
  {
    std::lock_guard const guard{mutex_};
    // Where the server could not be reached for one, a thousand do not each find it out.
    waits = waits && undelivered_ == 0;
  }
  try {
    if (waits) buffer->flush(core_);
  } catch (std::exception const&) {
    failed = true;  // told by the event thread, which tries again, or by before_end
  }
  if (buffer->is_empty()) {
    forget(*buffer);
    return;
  }
  {
    std::lock_guard const guard{mutex_};
    buffer->schedule.retired = true;
    buffer->schedule.undelivered = failed;
    if (failed) ++undelivered_;
  }
  buffer->is_urgent = true;  // nobody is there to flush it before a long interval is over
  look_at(buffer);
}

void Flusher::forget(Buffer const& buffer) {
  std::shared_ptr<Buffer> last;  // not destroyed under the lock
  std::lock_guard const guard{mutex_};
  auto const found = std::find_if(buffers_.begin(), buffers_.end(),
                                  [&](auto const& each) { return each.get() == &buffer; });
  if (found == buffers_.end()) return;
  last = std::move(*found);
  last->schedule.known = false;
  *found = std::move(buffers_.back());
  buffers_.pop_back();
  if (last->schedule.undelivered) --undelivered_;
}

std::vector<std::shared_ptr<Buffer>> Flusher::of(std::string_view name) {
  Buffers out;
  std::lock_guard const guard{mutex_};
  for (auto const& each : buffers_) {
    if (each->name() == name) out.push_back(each);
  }
  return out;
}

void Flusher::before_end() {
  Buffers left;
  {
    std::lock_guard const guard{mutex_};
    left = buffers_;
  }
  std::string why;
  bool reachable = true;
  for (auto const& each : left) {
    try {
      if (reachable) each->flush(core_);
    } catch (Error const& fault) {
      why = fault.what();
      reachable = !fault.poisons_connection();
    }
    if (auto const words = each->last_words(why)) options_.report(*words);
  }
}

// -- on the event thread --------------------------------------------------------------------------

Deadline Flusher::on_time(Deadline now) {
  take_over_what_was_left(now);
  for (auto const& each : due(now)) {
    if (auto const given_up = each->give_up_if_late()) options_.report(*given_up);
    flush(each);
  }
  std::lock_guard const guard{mutex_};
  return std::min(next_due_, next_look_);
}

void Flusher::take_over_what_was_left(Deadline now) {
  Buffers looking;
  {
    std::lock_guard const guard{mutex_};
    if (now < next_look_) return;
    for (auto const& each : buffers_) {
      if (each->outlives_its_process() && !each->schedule.retired) looking.push_back(each);
    }
    next_look_ = looking.empty() ? Deadline::max() : now + look_again_after;
  }
  for (auto const& each : looking) {
    for (auto const& left : each->left_by_others(options_)) deliver(left);
  }
}

Flusher::Buffers Flusher::due(Deadline now) {
  Buffers out;
  std::lock_guard const guard{mutex_};
  if (now < next_due_) return out;
  next_due_ = Deadline::max();
  for (auto const& each : buffers_) {
    auto& due = each->schedule.due;
    if (due <= now) {
      due = next_tick(now, each->terms().interval);
      out.push_back(each);
    }
    next_due_ = std::min(next_due_, due);
  }
  return out;
}

void Flusher::postpone(Buffer& buffer, Deadline due) {
  std::lock_guard const guard{mutex_};
  buffer.schedule.due = due;
  next_due_ = std::min(next_due_, due);
}

bool Flusher::is_retired(Buffer const& buffer) {
  std::lock_guard const guard{mutex_};
  return buffer.schedule.retired;
}

/// Unless somebody has added to it meanwhile.
void Flusher::let_sleep(Buffer& buffer) {
  std::lock_guard const guard{mutex_};
  if ((buffer.care & Buffer::asleep) == 0) return;
  buffer.schedule.due = steady_clock::now() + look_again_after;
  next_due_ = std::min(next_due_, buffer.schedule.due);
}

void Flusher::flush(std::shared_ptr<Buffer> const& buffer) {
  auto& schedule = buffer->schedule;
  if (schedule.under_way) return;
  // In this order: what is added from here on is fetched, or wakes this thread.
  buffer->is_urgent = false;
  buffer->care.fetch_or(Buffer::asleep);
  bool const connected = events_.connected();
  auto const parcel = connected ? buffer->begin() : nullptr;
  if (parcel == nullptr && (connected || buffer->is_empty())) {
    if (is_retired(*buffer)) {
      forget(*buffer);
    } else {
      let_sleep(*buffer);
    }
    return;
  }
  buffer->care.fetch_and(~Buffer::asleep);
  if (parcel == nullptr) {
    postpone(*buffer, soon(*buffer));
    return;
  }

  auto const sha1 = buffer->script().sha1();
  bool const taught = std::find(taught_.begin(), taught_.end(), sha1) != taught_.end();
  CommandBuffer command;
  buffer->write(command, *parcel, taught);
  schedule.under_way = events_.send(command, [this, buffer, parcel](ReplyView const* reply) {
    take_answer(buffer, parcel, reply);
  });
  if (!schedule.under_way) {
    buffer->lost(parcel, false);
  } else if (!taught) {
    taught_.push_back(sha1);
  }
}

void Flusher::take_answer(std::shared_ptr<Buffer> const& buffer, Buffer::Sent const& parcel,
                          ReplyView const* reply) {
  buffer->schedule.under_way = false;
  if (reply == nullptr) {
    buffer->lost(parcel, true);
    postpone(*buffer, soon(*buffer));
    return;
  }
  if (is_unknown_script(*reply)) {
    std::erase(taught_, buffer->script().sha1());
    buffer->lost(parcel, false);
    postpone(*buffer, Deadline::min());
    return;
  }
  auto const refusal = buffer->answered(parcel, *reply);
  if (refusal && refusal->code() == "LOADING") {  // as good as away, and nobody's fault
    postpone(*buffer, soon(*buffer));
    return;
  }
  if (refusal) {
    postpone(*buffer, steady_clock::now() + std::max(buffer->terms().interval, ask_again_after));
    if (std::exchange(buffer->schedule.told, refusal->what()) != refusal->what())
      options_.report(*refusal);
    return;
  }
  buffer->schedule.told.clear();
  if (buffer->is_urgent) postpone(*buffer, Deadline::min());  // asked for while this was under way
  if (!is_retired(*buffer)) return;
  if (buffer->is_empty()) {
    forget(*buffer);
  } else {
    postpone(*buffer, Deadline::min());  // what had come together beside that parcel
  }
}

}  // namespace tandem::detail
