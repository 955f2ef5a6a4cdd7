#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/lock.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/patience.hpp"
#include "support/protocol_name.hpp"
#include "support/reports.hpp"

namespace tandem::support {

using namespace std::chrono_literals;

/// What a waiter that must succeed may take before its test fails instead of hanging.
constexpr std::chrono::seconds long_enough{20};

/// What the server has counted, those commands apart that scripts ran.
struct CommandCount {
  long long scripts = 0;  // EVALSHA and EVAL
  long long tracked =
      0;              // CLIENT CACHING: each comes with a GET and a PTTL, which scripts use as well
  long long all = 0;  // these, and what else a client with locks sends
  long long listening = 0;  // connections for which all was said with which they begin to listen

  static CommandCount of(Client& redis) {
    auto const info = redis.command("INFO", "commandstats").as<std::string>();
    auto const calls = [&info](std::string const& command) {
      auto const line = "cmdstat_" + command + ":calls=";
      auto const at = info.find(line);
      return at == std::string::npos ? 0LL : std::stoll(info.substr(at + line.size()));
    };
    CommandCount out;
    out.scripts = calls("evalsha") + calls("eval");
    out.tracked = calls("client|caching");
    out.all = out.scripts + 3 * out.tracked + calls("ping") + calls("subscribe") + calls("hello") +
              calls("client|tracking") + calls("client|id") + calls("select");
    out.listening = std::min(calls("client|tracking"), calls("subscribe"));
    return out;
  }
};

/// A private server, and what tests of locks ask of it.
class LockScene {
 public:
  explicit LockScene(int protocol = 3, testing::RedisServerOptions const& options = {})
      : server{options}, protocol_{protocol} {}

  /// Of a client of its own: what two of them do, two processes would do.
  [[nodiscard]] Options options() {
    auto out = Options::from_url(server.url());
    out.protocol = protocol_;
    out.on_error = reports.hook();
    return out;
  }
  [[nodiscard]] Client client() { return Client{options()}; }
  [[nodiscard]] Client client(std::string const& name) {
    auto out = options();
    out.name = name;
    return Client{out};
  }

  /// A foreigner's command.
  template <class... Words>
  Reply redis(Words const&... words) {
    return foreigner_.command(words...);
  }

  [[nodiscard]] bool exists(std::string const& key) { return redis("EXISTS", key).as<bool>(); }
  [[nodiscard]] std::string value(std::string const& key) {
    return redis("GET", key).as<std::optional<std::string>>().value_or("");
  }
  [[nodiscard]] long long waiters(std::string const& name) {
    return redis("ZCARD", "{" + name + "}:waiters").as<long long>();
  }
  void await_waiters(std::string const& name, long long count) {
    ASSERT_TRUE(eventually([&] { return waiters(name) == count; }))
        << waiters(name) << " wait, not " << count;
    redis("PING");  // answered when the replies to those who wait have left the server
  }
  /// Until somebody has asked once more to be told of changes of a key.
  void await_tracking() {
    ASSERT_TRUE(eventually([&] { return count().tracked > tracked_; }));
    tracked_ = count().tracked;
  }

  /// Until so many clients have connected to listen, which they do in the background.
  void await_listening(long long clients) {
    ASSERT_TRUE(eventually([&] { return count().listening >= clients; }));
  }

  void reset_count() {
    redis("CONFIG", "RESETSTAT");
    tracked_ = 0;
  }
  [[nodiscard]] CommandCount count() { return CommandCount::of(foreigner_); }

  /// Breaks every connection but the one it is told over.
  void kill_connections() {
    redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    redis("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes");
  }

  testing::RedisServer server;
  Reports reports{};

 private:
  int protocol_;
  long long tracked_ = 0;
  Client foreigner_{server.url()};
};

/// One more waiter, on a thread of its own; it gives up when nobody asks for its hold any more.
template <class Held>
class WaitingFor {
 public:
  using Acquire = std::function<std::optional<Held>(std::stop_token)>;
  explicit WaitingFor(Acquire acquire)
      : hold_{std::async(std::launch::async, std::move(acquire), stop_.get_token())} {}
  template <class AnyLock>
  requires requires(AnyLock const& lock, std::stop_token stop) { lock.acquire(stop); }
  explicit WaitingFor(AnyLock lock)
      : WaitingFor{Acquire{
            [lock = std::move(lock)](std::stop_token stop) { return lock.acquire(stop); }}} {}
  WaitingFor(WaitingFor&&) noexcept = default;
  ~WaitingFor() { stop_.request_stop(); }

  [[nodiscard]] bool over(std::chrono::milliseconds patience = 0ms) const {
    return hold_.wait_for(patience) == std::future_status::ready;
  }
  /// Its hold; empty when there is none for long, or it was stopped. Throws what the wait threw.
  [[nodiscard]] std::optional<Held> get() {
    if (!over(long_enough)) stop_.request_stop();
    return hold_.get();
  }
  void stop() { stop_.request_stop(); }

 private:
  std::stop_source stop_{};
  std::future<std::optional<Held>> hold_;
};

using Waiting = WaitingFor<Hold>;

/// Tests that must hold over either version of the protocol.
class LockSceneTest : public ::testing::TestWithParam<int> {
 protected:
  LockScene scene_{GetParam()};
};

}  // namespace tandem::support
