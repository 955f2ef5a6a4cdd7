#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <poll.h>

#include <tandem/testing/redis_server.hpp>

#include "support/helpers_at_work.hpp"
#include "support/resp_commands.hpp"
#include "support/scratch_folder.hpp"
#include "support/sockets.hpp"

namespace tandem::support {

/// A network between a client and a server that fails exactly where it is told to.
///
///     FaultProxy proxy{server};
///     proxy.next("INCR", FaultProxy::Fault::cut_after_request);  // and no reply arrives
///     Client redis{proxy.url()};
///
/// Each `next` is met by one command and used up by it; without one, everything passes unchanged.
class FaultProxy {
 public:
  enum class Fault {
    cut_before_request,  // nothing of it reaches the server
    cut_in_request,      // half of it does
    cut_after_request,   // the server executes it; nothing of its reply comes back
    cut_in_reply,        // the first half of what the server says to it comes back
    swallow_reply,       // as cut_after_request, but the connection stays and is silent
    cut_and_delay,       // the client is cut off; the server gets the request at `deliver_delayed`
  };

  explicit FaultProxy(testing::RedisServer const& server) : upstream_{server.socket_path()} {
    thread_ = std::thread{[this] { serve(); }};
  }
  FaultProxy(FaultProxy const&) = delete;
  FaultProxy& operator=(FaultProxy const&) = delete;
  ~FaultProxy() {
    stopping_ = true;
    bell_.ring();
    thread_.join();
  }

  [[nodiscard]] std::string url() const { return "unix://" + folder_.path("proxy.sock"); }

  /// What the next command of that name meets. Several for one name are met in order.
  void next(std::string const& command, Fault fault) {
    std::lock_guard const guard{mutex_};
    faults_[command].push_back(fault);
  }

  /// Nothing of what next() said is met any more.
  void forget() {
    std::lock_guard const guard{mutex_};
    faults_.clear();
  }

  /// From now on replies come `size` bytes at a time, a millisecond apart; 0: as they are.
  void trickle(std::size_t size) { trickle_ = size; }
  /// From now on each reply comes so much later.
  void delay(std::chrono::milliseconds by) { delay_ = by; }
  /// The same, for connections only by which a command of that name was asked.
  void delay_where_asked(std::string const& command, std::chrono::milliseconds by) {
    std::lock_guard const guard{mutex_};
    delayed_command_ = command;
    delay_where_asked_ = by;
  }
  /// From now on new connections are closed as soon as they are made; those that stand are left
  /// alone.
  void refuse(bool on) { refusing_ = on; }

  /// What was held back by `cut_and_delay` reaches the server now.
  void deliver_delayed() {
    std::lock_guard const guard{mutex_};
    for (auto& each : delayed_) {
      (void)::send(each.server.get(), each.bytes.data(), each.bytes.size(), MSG_NOSIGNAL);
      each.bytes.clear();
    }
  }

  /// How many faults were met so far.
  [[nodiscard]] int met() const { return met_; }
  /// Connections accepted so far, the refused ones apart.
  [[nodiscard]] int connections() const { return connections_; }
  /// How often a client waited: bursts of commands that followed an answer, or the beginning.
  [[nodiscard]] int round_trips() const { return round_trips_; }

 private:
  using Clock = std::chrono::steady_clock;

  struct Held {
    Clock::time_point due;
    std::string bytes;
  };
  struct Pair {
    Descriptor client;
    Descriptor server;
    RespCommands said{};
    std::deque<Held> to_client{};
    std::optional<Fault> fault{};  // met by a command that has gone to the server
    std::set<std::string> asked{};
    bool heard = true;
    bool over = false;
  };

  struct Delayed {
    Descriptor server;
    std::string bytes;
  };

  void serve() {
    std::unique_lock at_work{helpers_at_work()};
    while (!stopping_) {
      std::vector<pollfd> fds{{bell_.descriptor(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
      auto next_due = Clock::time_point::max();
      for (auto const& each : pairs_) {
        bool const held = !each->to_client.empty();
        if (held) next_due = std::min(next_due, each->to_client.front().due);
        fds.push_back({each->client.get(), POLLIN, 0});
        fds.push_back({each->server.get(), POLLIN, 0});
      }
      auto const left =
          std::chrono::ceil<std::chrono::milliseconds>(next_due - Clock::now()).count();
      auto const patience = next_due == Clock::time_point::max()
                                ? -1
                                : static_cast<int>(std::max(left, decltype(left){0}));
      at_work.unlock();
      ::poll(fds.data(), fds.size(), patience);
      at_work.lock();
      if (fds[0].revents != 0) bell_.silence();
      for (std::size_t i = 0; i < pairs_.size(); ++i) {
        auto& each = *pairs_[i];
        if (fds[2 * i + 2].revents != 0) hear_client(each);
        if (fds[2 * i + 3].revents != 0 && !each.over) hear_server(each);
        if (!each.over) deliver(each);
      }
      std::erase_if(pairs_, [](auto const& each) { return each->over; });
      if (fds[1].revents != 0) accept();
    }
  }

  void accept() {
    Descriptor client{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    if (client.get() < 0 || refusing_) return;
    auto server = connect_to_unix(upstream_);
    if (server.get() < 0) return;
    ++connections_;
    pairs_.push_back(std::make_unique<Pair>(Pair{std::move(client), std::move(server)}));
  }

  static std::string receive(int fd) {
    char buffer[64 * 1024];
    auto const got = ::recv(fd, buffer, sizeof buffer, 0);
    return {buffer, static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
  }

  /// Blocking: neither a test's client nor redis-server stops reading for long.
  static void send(Pair& pair, int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      auto const sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) {
        pair.over = true;
        return;
      }
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  void hear_client(Pair& pair) {
    auto const bytes = receive(pair.client.get());
    if (bytes.empty()) {
      pair.over = true;
      return;
    }
    if (std::exchange(pair.heard, false)) ++round_trips_;
    pair.said.feed(bytes);
    while (auto const command = pair.over ? std::nullopt : pair.said.next())
      pass_on(pair, *command);
  }

  void pass_on(Pair& pair, RespCommand const& command) {
    pair.asked.insert(command.name());
    auto const fault = take_fault(command.name());
    if (fault == Fault::cut_before_request) {
      pair.over = true;
    } else if (fault == Fault::cut_and_delay) {
      std::lock_guard const guard{mutex_};
      delayed_.push_back({std::move(pair.server), command.bytes});
      pair.over = true;
    } else if (fault == Fault::cut_in_request) {
      send(pair, pair.server.get(),
           std::string_view{command.bytes}.substr(0, command.bytes.size() / 2));
      pair.over = true;
    } else {
      if (fault) pair.fault = fault;
      send(pair, pair.server.get(), command.bytes);
    }
  }

  std::optional<Fault> take_fault(std::string const& command) {
    std::lock_guard const guard{mutex_};
    auto const found = faults_.find(command);
    if (found == faults_.end() || found->second.empty()) return std::nullopt;
    auto const out = found->second.front();
    found->second.pop_front();
    ++met_;
    return out;
  }

  void hear_server(Pair& pair) {
    auto const bytes = receive(pair.server.get());
    if (bytes.empty()) {
      pair.over = true;
      return;
    }
    pair.heard = true;
    if (pair.fault == Fault::swallow_reply) return;
    if (pair.fault == Fault::cut_after_request) {
      pair.over = true;
      return;
    }
    if (pair.fault == Fault::cut_in_reply) {
      send(pair, pair.client.get(), std::string_view{bytes}.substr(0, bytes.size() / 2));
      pair.over = true;
      return;
    }
    hold(pair, bytes);
  }

  void hold(Pair& pair, std::string const& bytes) {
    auto due = Clock::now() + delay_.load() + delay_where_asked(pair);
    auto const size = trickle_.load() == 0 ? bytes.size() : trickle_.load();
    if (trickle_ != 0 && !pair.to_client.empty()) due = std::max(due, pair.to_client.back().due);
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      pair.to_client.push_back({due, bytes.substr(at, size)});
      due += std::chrono::milliseconds{1};
    }
  }

  std::chrono::milliseconds delay_where_asked(Pair const& pair) {
    std::lock_guard const guard{mutex_};
    return pair.asked.contains(delayed_command_) ? delay_where_asked_ : std::chrono::milliseconds{};
  }

  void deliver(Pair& pair) {
    while (!pair.over && !pair.to_client.empty() && pair.to_client.front().due <= Clock::now()) {
      send(pair, pair.client.get(), pair.to_client.front().bytes);
      pair.to_client.pop_front();
    }
  }

  std::string upstream_;
  ScratchFolder folder_{};
  Descriptor listener_ = listen_on_unix(folder_.path("proxy.sock"));
  Bell bell_{};
  std::mutex mutex_{};
  std::map<std::string, std::deque<Fault>> faults_{};  // guarded by mutex_
  std::vector<Delayed> delayed_{};                     // guarded by mutex_
  std::string delayed_command_{};                      // guarded by mutex_
  std::chrono::milliseconds delay_where_asked_{};      // guarded by mutex_
  std::atomic<std::size_t> trickle_ = 0;
  std::atomic<std::chrono::milliseconds> delay_{};
  std::atomic<bool> refusing_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> met_ = 0;
  std::atomic<int> connections_ = 0;
  std::atomic<int> round_trips_ = 0;
  std::vector<std::unique_ptr<Pair>> pairs_{};
  std::thread thread_{};
};

}  // namespace tandem::support
