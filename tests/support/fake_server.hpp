#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <poll.h>

#include "support/resp_commands.hpp"
#include "support/scratch_folder.hpp"
#include "support/sockets.hpp"

namespace tandem::support {

/// A server that is none: it answers each command with whatever bytes it was told to, right or
/// wrong.
///
///     FakeServer const server{"GET", "$5\r\nhe"};   // GET: a torn reply; all else "+OK"
///     Connection wire{server.url()};
class FakeServer {
 public:
  enum class Then {
    stay,
    close,
    repeat,  // says the same again and again until the client goes
    deaf,    // reads nothing more
  };
  struct Answer {
    std::string bytes;
    Then then = Then::stay;
    std::string repeated{};  // what is repeated; empty: bytes
  };
  /// Called on the server's thread with the words of each command.
  using Answers = std::function<Answer(std::vector<std::string> const& words)>;

  inline static std::string const ok = "+OK\r\n";

  explicit FakeServer(Answers answers) : answers_{std::move(answers)} {
    thread_ = std::thread{[this] { serve(); }};
  }
  FakeServer(std::string const& command, std::string const& bytes, Then then = Then::stay)
      : FakeServer{[=](std::vector<std::string> const& words) {
          return words.front() == command ? Answer{bytes, then} : Answer{ok};
        }} {}
  FakeServer(FakeServer const&) = delete;
  FakeServer& operator=(FakeServer const&) = delete;
  ~FakeServer() {
    stopping_ = true;
    bell_.ring();
    thread_.join();
  }

  [[nodiscard]] std::string url() const { return "unix://" + folder_.path("fake.sock"); }
  [[nodiscard]] std::string tcp_url() const {
    return "redis://127.0.0.1:" + std::to_string(tcp_.second);
  }
  /// Closes every connection there is.
  void hang_up() {
    hanging_up_ = true;
    bell_.ring();
  }
  /// Connections accepted so far.
  [[nodiscard]] int connections() const { return connections_; }

 private:
  struct Peer {
    Descriptor socket;
    RespCommands said{};
    std::string outbox{};
    std::string repeated{};
    bool closing = false;
    bool deaf = false;
    bool gone = false;
  };

  void serve() {
    while (!stopping_) {
      std::vector<pollfd> fds{
          {bell_.descriptor(), POLLIN, 0}, {unix_.get(), POLLIN, 0}, {tcp_.first.get(), POLLIN, 0}};
      for (auto const& peer : peers_) {
        int wanted = peer->deaf ? 0 : POLLIN;
        if (!peer->outbox.empty() || !peer->repeated.empty()) wanted |= POLLOUT;
        fds.push_back({peer->socket.get(), static_cast<short>(wanted), 0});
      }
      ::poll(fds.data(), fds.size(), -1);
      if (fds[0].revents != 0) bell_.silence();
      if (hanging_up_.exchange(false)) {
        peers_.clear();
        continue;
      }
      for (std::size_t i = 0; i < peers_.size(); ++i) {
        if (fds[i + 3].revents != 0) attend(*peers_[i]);
      }
      std::erase_if(peers_, [](auto const& peer) { return peer->gone; });
      for (std::size_t i : {1U, 2U}) {
        if (fds[i].revents != 0) accept(fds[i].fd);
      }
    }
  }

  void accept(int listener) {
    int const fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    ++connections_;
    peers_.push_back(std::make_unique<Peer>(Peer{Descriptor{fd}}));
  }

  void attend(Peer& peer) {
    if (!peer.deaf) hear(peer);
    while (auto const command = peer.closing || peer.deaf ? std::nullopt : peer.said.next()) {
      auto const answer = answers_(command->words);
      peer.outbox += answer.bytes;
      if (answer.then == Then::repeat)
        peer.repeated = answer.repeated.empty() ? answer.bytes : answer.repeated;
      peer.closing = answer.then == Then::close;
      peer.deaf = answer.then == Then::deaf;
    }
    if (peer.outbox.empty()) peer.outbox = peer.repeated;
    auto const sent =
        ::send(peer.socket.get(), peer.outbox.data(), peer.outbox.size(), MSG_NOSIGNAL);
    if (sent > 0) peer.outbox.erase(0, static_cast<std::size_t>(sent));
    if (peer.closing && peer.outbox.empty()) peer.gone = true;
  }

  void hear(Peer& peer) {
    char buffer[64 * 1024];
    auto const got = ::recv(peer.socket.get(), buffer, sizeof buffer, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) peer.gone = true;
    if (got > 0) peer.said.feed({buffer, static_cast<std::size_t>(got)});
  }

  Answers answers_;
  ScratchFolder folder_{};
  Descriptor unix_ = listen_on_unix(folder_.path("fake.sock"));
  std::pair<Descriptor, std::uint16_t> tcp_ = listen_on_tcp();
  Bell bell_{};
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> hanging_up_ = false;
  std::atomic<int> connections_ = 0;
  std::vector<std::unique_ptr<Peer>> peers_{};
  std::thread thread_{};
};

}  // namespace tandem::support
