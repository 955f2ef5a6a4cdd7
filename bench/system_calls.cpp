#include "system_calls.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <deque>
#include <mutex>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

/// One thread's. Atomic because others read it; only its thread writes.
struct alignas(64) Counter {
  std::atomic<std::int64_t> transfers = 0;
  std::atomic<std::int64_t> waits = 0;
  std::atomic<std::int64_t> looks = 0;
};

struct Counters {
  std::mutex mutex{};
  std::deque<Counter> all{};  // also of threads that have ended: what they did stays done
};

Counters& counters() {
  static auto* const forever = new Counters;  // libc is called until the very end
  return *forever;
}

Counter& own() {
  thread_local constinit Counter* mine = nullptr;
  if (mine == nullptr) {
    std::lock_guard const guard{counters().mutex};
    mine = &counters().all.emplace_back();
  }
  return *mine;
}

void count(std::atomic<std::int64_t>& counter) {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

template <class... Arguments>
auto transfer(long number, Arguments... arguments) {
  count(own().transfers);
  return ::syscall(number, arguments...);
}

template <class... Arguments>
int wait_by(long number, Arguments... arguments) {
  count(own().waits);
  return static_cast<int>(::syscall(number, arguments...));
}

bench::SystemCalls counted_by(Counter const& counter) {
  return {counter.transfers.load(std::memory_order_relaxed),
          counter.waits.load(std::memory_order_relaxed),
          counter.looks.load(std::memory_order_relaxed)};
}

constexpr std::size_t kernel_sigset_size = _NSIG / 8;

}  // namespace

extern "C" {

ssize_t read(int fd, void* bytes, std::size_t size) { return transfer(SYS_read, fd, bytes, size); }
ssize_t write(int fd, void const* bytes, std::size_t size) {
  return transfer(SYS_write, fd, bytes, size);
}
ssize_t readv(int fd, iovec const* parts, int count) {
  return transfer(SYS_readv, fd, parts, count);
}
ssize_t writev(int fd, iovec const* parts, int count) {
  return transfer(SYS_writev, fd, parts, count);
}
ssize_t send(int fd, void const* bytes, std::size_t size, int flags) {
  return transfer(SYS_sendto, fd, bytes, size, flags, nullptr, 0);
}
ssize_t recv(int fd, void* bytes, std::size_t size, int flags) {
  if ((flags & MSG_PEEK) != 0) count(own().looks);
  return transfer(SYS_recvfrom, fd, bytes, size, flags, nullptr, nullptr);
}
ssize_t sendmsg(int fd, msghdr const* message, int flags) {
  return transfer(SYS_sendmsg, fd, message, flags);
}
ssize_t recvmsg(int fd, msghdr* message, int flags) {
  return transfer(SYS_recvmsg, fd, message, flags);
}
int poll(pollfd* fds, nfds_t count, int timeout) { return wait_by(SYS_poll, fds, count, timeout); }
int ppoll(pollfd* fds, nfds_t count, timespec const* timeout, sigset_t const* mask) {
  timespec left = timeout == nullptr ? timespec{} : *timeout;  // the kernel writes what is left
  return wait_by(SYS_ppoll, fds, count, timeout == nullptr ? nullptr : &left, mask,
                 kernel_sigset_size);
}
int epoll_wait(int fd, epoll_event* events, int size, int timeout) {
  return wait_by(SYS_epoll_wait, fd, events, size, timeout);
}

}  // extern "C"

namespace bench {

SystemCalls SystemCalls::so_far() {
  SystemCalls out;
  std::lock_guard const guard{counters().mutex};
  for (auto const& each : counters().all) out += counted_by(each);
  return out;
}

SystemCalls SystemCalls::of_this_thread() { return counted_by(own()); }

void SystemCalls::add(std::string_view name, std::int64_t times) {
  constexpr std::array<std::string_view, 12> transferring{
      "read",   "write",    "readv",   "writev",  "pread64",  "pwrite64",
      "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg"};
  constexpr std::array<std::string_view, 7> waiting{
      "poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2"};
  auto const is_one_of = [name](auto const& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (is_one_of(transferring)) transfers += times;
  if (is_one_of(waiting)) waits += times;
}

}  // namespace bench
