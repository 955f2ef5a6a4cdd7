#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <utility>

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/sockets.hpp"

namespace bench {

/// A network between clients and a server in which every byte takes so long each way: on a port of
/// 127.0.0.1, or on a Unix socket of the path that is given.
///
/// It is a process of its own: neither its time nor its system calls are those of who measures.
/// Make it before any thread. What reaches it at the same time goes on at the same time; the order
/// of bytes is kept, and there is no limit to how many are under way.
///
/// Source: epoll_pwait2(2), Linux 5.11, whose timeouts are finer than a millisecond.
class Delay {
 public:
  using Clock = std::chrono::steady_clock;

  Delay(std::string upstream, std::chrono::microseconds each_way, std::string const& path = {})
      : upstream_{std::move(upstream)}, each_way_{each_way}, listener_{listen(path)} {
    pid_ = tandem::support::required(::fork(), "fork");
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::prctl(PR_SET_TIMERSLACK, 1UL);  // nanosecond: else each wait takes up to 50 us longer
      serve();
    }
    listener_.first.close();
  }
  Delay(Delay const&) = delete;
  Delay& operator=(Delay const&) = delete;
  ~Delay() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return listener_.second; }

 private:
  /// A socket that bytes under way keep open, so that they cannot reach a stranger of its number.
  using Socket = std::shared_ptr<tandem::support::Descriptor>;
  struct Chunk {
    Clock::time_point due;
    Socket to;
    std::string bytes;
  };
  struct End {
    Socket own;
    Socket other;
  };

  static std::pair<tandem::support::Descriptor, std::uint16_t> listen(std::string const& path) {
    if (path.empty()) return tandem::support::listen_on_tcp();
    return {tandem::support::listen_on_unix(path), std::uint16_t{0}};
  }

  [[noreturn]] void serve() {
    watch(listener_.first.get());
    for (;;) {
      epoll_event events[64];
      int const ready = wait(events);
      for (int i = 0; i < ready; ++i) {
        int const fd = events[i].data.fd;
        if (fd == listener_.first.get()) {
          accept();
        } else if (ends_.contains(fd)) {  // else it has just gone with its other end
          hear(fd);
        }
      }
      while (!under_way_.empty() && under_way_.front().due <= Clock::now()) deliver();
    }
  }

  int wait(epoll_event (&events)[64]) const {
    if (under_way_.empty()) return ::epoll_wait(epoll_.get(), events, 64, -1);
    auto const left = std::max(under_way_.front().due - Clock::now(), Clock::duration{0});
    timespec const timeout{0, std::chrono::nanoseconds{left}.count()};  // under a second: a delay
    return ::epoll_pwait2(epoll_.get(), events, 64, &timeout, nullptr);
  }

  void watch(int fd) const {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    tandem::support::required(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }

  void accept() {
    using tandem::support::Descriptor;
    auto client = std::make_shared<Descriptor>(
        ::accept4(listener_.first.get(), nullptr, nullptr, SOCK_CLOEXEC));
    auto server = std::make_shared<Descriptor>(tandem::support::connect_to_unix(upstream_));
    if (client->get() < 0 || server->get() < 0) return;
    int const on = 1;
    ::setsockopt(client->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(client->get());
    watch(server->get());
    ends_[client->get()] = {client, server};
    ends_[server->get()] = {server, client};
  }

  void hear(int fd) {
    char buffer[64 * 1024];
    auto const got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got <= 0) {
      close(fd);
    } else {
      under_way_.push({Clock::now() + each_way_, ends_[fd].other,
                       std::string{buffer, static_cast<std::size_t>(got)}});
    }
  }

  void close(int fd) {
    auto const end = ends_[fd];
    for (int const each : {end.own->get(), end.other->get()}) {
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, each, nullptr);
      ::shutdown(each, SHUT_RDWR);
      ends_.erase(each);
    }
  }

  /// Blocking: neither clients that are measured nor redis-server stop reading for long.
  void deliver() {
    auto const& chunk = under_way_.front();
    for (std::string_view left = chunk.bytes; !left.empty();) {
      auto const sent = ::send(chunk.to->get(), left.data(), left.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;  // it has gone
      left.remove_prefix(static_cast<std::size_t>(sent));
    }
    under_way_.pop();
  }

  std::string upstream_;
  std::chrono::microseconds each_way_;
  std::pair<tandem::support::Descriptor, std::uint16_t> listener_;
  tandem::support::Descriptor epoll_{
      tandem::support::required(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")};
  std::map<int, End> ends_{};
  std::queue<Chunk> under_way_{};  // the same delay for all: in the order in which they came
  pid_t pid_ = -1;
};

}  // namespace bench
