#include "locking/watch.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/epoll.h>
#include <unistd.h>

#include "core/process.hpp"

namespace tandem::detail {

ProcessWatch::ProcessWatch() noexcept {
  NoFork const until_noted;
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
}

ProcessWatch::~ProcessWatch() {
  for (auto& slot : slots_) close(slot);
  NoFork const until_closed;
  if (int const fd = epoll_.exchange(-1); fd >= 0) ::close(fd);
}

void ProcessWatch::close_in_child(void* self) noexcept {
  auto& mine = *static_cast<ProcessWatch*>(self);
  for (auto& slot : mine.slots_) {
    if (int const fd = slot.fd.exchange(-1); fd >= 0) ::close(fd);
  }
  if (int const fd = mine.epoll_.exchange(-1); fd >= 0) ::close(fd);
}

void ProcessWatch::close(Slot& slot) noexcept {
  NoFork const until_closed;
  int const fd = slot.fd.exchange(-1);
  if (fd < 0) return;
  ::epoll_ctl(epoll_.load(), EPOLL_CTL_DEL, fd, nullptr);
  ::close(fd);
}

ProcessWatch::Seen ProcessWatch::look(Identity const& process, std::string_view place) {
  if (process.place != place || place == "-" || process.start == "-") return Seen::unknown;
  std::lock_guard const guard{mutex_};
  if (epoll_.load() < 0) return Seen::unknown;
  for (auto& slot : slots_) {
    if (slot.fd.load() < 0 || slot.pid != process.pid || slot.start != process.start) continue;
    return says_dead(slot.fd.load()) ? Seen::dead : Seen::alive;
  }

  auto const free =
      std::find_if(slots_.begin(), slots_.end(), [](auto& slot) { return slot.fd.load() < 0; });
  auto& slot = free != slots_.end() ? *free : slots_[std::exchange(next_, (next_ + 1) % most)];
  close(slot);
  slot.pid = process.pid;
  slot.start = process.start;
  {
    NoFork const until_noted;
    slot.fd = open_pidfd(process.pid);
  }
  int const fd = slot.fd.load();
  if (fd < 0) return errno == ESRCH ? Seen::dead : Seen::unknown;
  // The descriptor is of whoever has the pid now; if that one began at another time, ours is gone.
  auto const start = start_of(process.pid);
  bool const other = !start.empty() && start != process.start;
  if (other || says_dead(fd)) {
    close(slot);
    return Seen::dead;
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = static_cast<std::uint32_t>(&slot - slots_.data());
  if (::epoll_ctl(epoll_.load(), EPOLL_CTL_ADD, fd, &event) != 0) {
    close(slot);
    return Seen::unknown;
  }
  return Seen::alive;
}

std::vector<ProcessWatch::Dead> ProcessWatch::take_dead() {
  std::vector<Dead> out;
  std::lock_guard const guard{mutex_};
  if (epoll_.load() < 0) return out;
  std::array<epoll_event, most> events;
  int const count = ::epoll_wait(epoll_.load(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    auto& slot = slots_[events[static_cast<std::size_t>(i)].data.u32];
    out.push_back({slot.pid, slot.start});
    close(slot);
  }
  return out;
}

}  // namespace tandem::detail
