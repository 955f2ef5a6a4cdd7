#include "sharing/key_watch.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace tandem::detail {

KeyWatch::Waiter::Waiter(KeyWatch& watch, std::string key) : watch_{watch}, key_{std::move(key)} {
  watch_.events_.start();
  watch_.events_.keep_connected();
  {
    std::lock_guard const guard{watch_.mutex_};
    auto& entry = watch_.keys_[key_];
    entry.waiters.push_back(this);
    after_ = watch_.reads_;
    entry.read_at = Deadline{};  // also for those before it: it costs no more
  }
  watch_.events_.wake();
}

KeyWatch::Waiter::~Waiter() {
  std::lock_guard const guard{watch_.mutex_};
  auto const found = watch_.keys_.find(key_);
  found->second.waiters.remove(this);
  if (found->second.waiters.empty()) watch_.keys_.erase(found);
}

bool KeyWatch::Waiter::wait(Deadline deadline, std::stop_token const& stop) {
  std::unique_lock lock{watch_.mutex_};
  auto const heard = [this] { return is_new_ || refusal_; };
  if (deadline == Deadline::max()) {  // which a clock of the kernel's cannot be asked for
    watch_.changed_.wait(lock, stop, heard);
  } else {
    watch_.changed_.wait_until(lock, stop, deadline, heard);
  }
  if (refusal_) throw ServerError{*std::exchange(refusal_, std::nullopt)};
  return std::exchange(is_new_, false);
}

void KeyWatch::on_changed(std::optional<std::string_view> key) {
  if (!key) return read_all();
  {
    std::lock_guard const guard{mutex_};
    auto const found = keys_.find(*key);
    if (found == keys_.end()) return;
    found->second.read_at = Deadline{};
  }
  events_.wake();
}

/// Something may have been missed.
void KeyWatch::read_all() {
  {
    std::lock_guard const guard{mutex_};
    for (auto& [name, key] : keys_) key.read_at = Deadline{};
  }
  events_.wake();
}

Deadline KeyWatch::on_time(Deadline now) {
  std::vector<std::string> due;
  {
    std::lock_guard const guard{mutex_};
    for (auto& [name, key] : keys_) {
      if (key.read_at > now) continue;
      due.push_back(name);
      key.read_at = Deadline::max();
    }
  }
  for (auto const& name : due) {
    bool const is_told = read(name);
    std::lock_guard const guard{mutex_};
    auto const found = keys_.find(name);
    if (found == keys_.end()) continue;
    auto& key = found->second;
    if (!is_told) key.read_at = std::min(key.read_at, now + key.pause);
    key.pause = is_told ? shortest_pause : std::min(2 * key.pause, longest_pause);
  }
  std::lock_guard const guard{mutex_};
  auto next = Deadline::max();
  for (auto const& [name, key] : keys_) next = std::min(next, key.read_at);
  return next;
}

bool KeyWatch::read(std::string const& key) {
  std::uint64_t number = 0;
  {
    std::lock_guard const guard{mutex_};
    number = ++reads_;
  }
  bool const tracked = events_.track_next();
  CommandBuffer get;
  get.add(std::initializer_list<Argument>{"GET", key});
  bool const sent = events_.send(get, [this, key, number](ReplyView const* reply) {
    if (reply != nullptr) tell(key, number, *reply);
  });
  return sent && tracked;
}

void KeyWatch::tell(std::string const& key, std::uint64_t number, ReplyView const& reply) {
  std::optional<ServerError> refusal;
  if (reply.is_error()) refusal.emplace(reply.error_text(), "GET on " + key);
  auto const bytes = refusal ? std::nullopt : reply.as<std::optional<std::string>>();
  {
    std::lock_guard const guard{mutex_};
    auto const found = keys_.find(key);
    if (found == keys_.end()) return;
    for (auto* const waiter : found->second.waiters) {
      if (waiter->after_ >= number) continue;
      waiter->is_new_ = !refusal;
      waiter->bytes_ = bytes;
      waiter->refusal_ = refusal;
    }
  }
  changed_.notify_all();
}

}  // namespace tandem::detail
