#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <tandem/testing/redis_server.hpp>

#include "support/scratch_folder.hpp"
#include "support/sockets.hpp"

namespace tandem::support {

/// A network that changes bytes on their way: damages them, or passes them on in pieces.
///
///     ManglingProxy const proxy{server, [](ManglingProxy::Passing const& passing) {
///       return std::vector{std::string{passing.bytes.substr(0, 1)},
///                          std::string{passing.bytes.substr(1)}};
///     }};
///     Client redis{proxy.url()};
///
/// It knows nothing of what the bytes mean; for faults of whole commands take `FaultProxy`.
class ManglingProxy {
 public:
  enum class Way { to_server, to_client };
  struct Passing {
    Way way;
    int connection;  // from 0, in the order in which they were made
    std::string_view bytes;
  };
  /// What goes on in place of what came: piece by piece, each when the one before was taken in.
  /// Called on several threads at once, but on one for each way of a connection.
  using Change = std::function<std::vector<std::string>(Passing const&)>;

  ManglingProxy(testing::RedisServer const& server, Change change)
      : change_{std::move(change)},
        upstream_{server.socket_path()},
        upstream_tls_{server.tls_port()} {
    accepting_ = std::thread{[this] { accept(); }};
  }
  ManglingProxy(ManglingProxy const&) = delete;
  ManglingProxy& operator=(ManglingProxy const&) = delete;
  ~ManglingProxy() {
    stopping_ = true;
    bell_.ring();
    accepting_.join();
    for (auto const& pair : pairs_) pair->hang_up();
    for (auto const& pair : pairs_) {
      pair->to_server.join();
      pair->to_client.join();
    }
  }

  [[nodiscard]] std::string url() const { return "unix://" + folder_.path("proxy.sock"); }
  /// To the server's port of TLS, which it sees nothing of but records.
  [[nodiscard]] std::string tls_url() const {
    return "rediss://localhost:" + std::to_string(tcp_.second);
  }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  struct Pair {
    int number;
    Descriptor client;
    Descriptor server;
    std::thread to_server{};
    std::thread to_client{};

    void hang_up() const noexcept {
      ::shutdown(client.get(), SHUT_RDWR);
      ::shutdown(server.get(), SHUT_RDWR);
    }
  };

  void accept() {
    while (!stopping_) {
      pollfd fds[] = {
          {bell_.descriptor(), POLLIN, 0}, {unix_.get(), POLLIN, 0}, {tcp_.first.get(), POLLIN, 0}};
      ::poll(fds, 3, -1);
      for (auto const& each : {fds[1], fds[2]}) {
        if (each.revents == 0) continue;
        Descriptor client{::accept4(each.fd, nullptr, nullptr, SOCK_CLOEXEC)};
        auto server = each.fd == unix_.get() ? connect_to_unix(upstream_) : connect_to_tls();
        if (client.get() < 0 || server.get() < 0) continue;
        int const on = 1;
        (void)::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        begin(std::move(client), std::move(server));
      }
    }
  }

  void begin(Descriptor client, Descriptor server) {
    pairs_.push_back(
        std::make_unique<Pair>(Pair{connections_++, std::move(client), std::move(server)}));
    auto& pair = *pairs_.back();
    pair.to_server = std::thread{[this, &pair] { pass(pair, Way::to_server); }};
    pair.to_client = std::thread{[this, &pair] { pass(pair, Way::to_client); }};
  }

  [[nodiscard]] Descriptor connect_to_tls() const {
    Descriptor out{required(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(upstream_tls_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(out.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0)
      return Descriptor{};
    return out;
  }

  void pass(Pair const& pair, Way way) {
    int const from = way == Way::to_server ? pair.client.get() : pair.server.get();
    int const to = way == Way::to_server ? pair.server.get() : pair.client.get();
    char buffer[64 * 1024];
    for (;;) {
      auto const got = ::recv(from, buffer, sizeof buffer, 0);
      if (got <= 0) break;
      auto const pieces = change_({way, pair.number, {buffer, static_cast<std::size_t>(got)}});
      bool good = true;
      for (std::size_t i = 0; good && i < pieces.size(); ++i) {
        good = send_all(to, pieces[i]) && (i + 1 == pieces.size() || is_taken_in(to));
      }
      if (!good) break;
    }
    pair.hang_up();
  }

  static bool send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      auto const sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// Waits until the other end has read all of it. Of TCP only its kernel could tell, and that not
  /// at once: there a moment must do.
  [[nodiscard]] bool is_taken_in(int fd) const {
    int family = 0;
    socklen_t size = sizeof family;
    (void)::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
    while (!stopping_) {
      int left = 0;
      if (family == AF_UNIX && ::ioctl(fd, SIOCOUTQ, &left) == 0 && left == 0) return true;
      pollfd gone{fd, 0, 0};
      timespec const moment{0, 20'000};  // polled: nothing announces it
      if (::ppoll(&gone, 1, &moment, nullptr) != 0) return false;
      if (family != AF_UNIX) return true;
    }
    return false;
  }

  Change change_;
  std::string upstream_;
  std::uint16_t upstream_tls_;
  ScratchFolder folder_{};
  Descriptor unix_ = listen_on_unix(folder_.path("proxy.sock"));
  std::pair<Descriptor, std::uint16_t> tcp_ = listen_on_tcp();
  Bell bell_{};
  std::atomic<bool> stopping_ = false;
  std::atomic<int> connections_ = 0;
  std::list<std::unique_ptr<Pair>> pairs_{};  // of the accepting thread, until it has ended
  std::thread accepting_{};
};

}  // namespace tandem::support
