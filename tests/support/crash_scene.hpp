#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tandem/buffered_counter.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/forked.hpp"
#include "support/patience.hpp"
#include "support/reports.hpp"
#include "support/shared_memory.hpp"

namespace tandem::support {

/// Buffered counters that survive crashes, the processes that crash, and the file between them.
class CrashScene : public ::testing::Test {
 protected:
  /// Flushed by what a test does, and by nothing else.
  static constexpr BufferedCounterOptions by_hand{.flush_interval = std::chrono::hours{12},
                                                  .resend_for = std::chrono::hours{24},
                                                  .survive_crash = true};

  [[nodiscard]] Client client(std::string const& url, std::string const& parameters = "") {
    auto options = Options::from_url(url + "?command_timeout=20s&connect_timeout=20s" + parameters);
    options.on_error = reports_.hook();
    return Client{options};
  }
  [[nodiscard]] BufferedCounter survivor(BufferedCounterOptions const& options = by_hand) {
    return {client(server_.url()), "hits", options};
  }
  [[nodiscard]] std::int64_t number(std::string const& key = "hits") {
    return redis_.command("GET", key).as<std::optional<std::int64_t>>().value_or(0);
  }
  [[nodiscard]] bool becomes(std::int64_t expected) {
    return eventually([&] { return number() == expected; });
  }

  /// A process that does `body` with a counter of that name and server, and waits to be killed.
  [[nodiscard]] std::unique_ptr<Forked> worker(std::string const& url,
                                               std::function<void(BufferedCounter&)> const& body,
                                               BufferedCounterOptions const& options = by_hand) {
    Shared<std::atomic<bool>> const done;
    auto out = std::make_unique<Forked>([&]() -> std::string {
      BufferedCounter hits{Client{url + (url.find('?') == std::string::npos ? "?" : "&") +
                                  "command_timeout=20s&connect_timeout=20s"},
                           "hits", options};
      body(hits);
      *done = true;
      for (;;) ::pause();
    });
    EXPECT_TRUE(eventually([&] { return done->load(); }));
    return out;
  }
  [[nodiscard]] std::unique_ptr<Forked> worker_that_adds(std::int64_t n) {
    return worker(server_.url(), [n](BufferedCounter& hits) { hits.add(n); });
  }
  static void kill(Forked& process) {
    ::kill(process.pid(), SIGKILL);
    (void)process.told();
  }

  /// The files that counters of this process are kept in.
  [[nodiscard]] static std::set<std::string> own_files() {
    std::set<std::string> inodes;  // the names there are those of before they had any
    std::ifstream maps{"/proc/self/maps"};
    for (std::string address, mode, offset, device, inode, name;
         maps >> address >> mode >> offset >> device >> inode && std::getline(maps, name);)
      inodes.insert(inode);
    std::set<std::string> out;
    for (auto const& each : std::filesystem::directory_iterator{"/dev/shm"}) {
      struct ::stat seen {};
      if (::lstat(each.path().c_str(), &seen) == 0 &&
          inodes.count(std::to_string(seen.st_ino)) != 0 &&
          each.path().filename().string().starts_with("tandem."))
        out.insert(each.path());
    }
    return out;
  }
  /// The one of "hits" on the server.
  [[nodiscard]] std::string path_of_hits() {
    auto const before = own_files();
    auto const hits = survivor();
    for (auto const& each : own_files()) {
      if (before.count(each) == 0) return each;
    }
    ADD_FAILURE() << "no file of its own";
    return {};
  }
  [[nodiscard]] static bool is_gone(std::string const& path) {
    return eventually([&] { return !std::filesystem::exists(path); });
  }
  /// A look at what others have left on the server has begun and ended.
  void await_look() {
    auto const before = number();
    auto const looking = survivor();
    kill(*worker_that_adds(1'000'000));
    EXPECT_TRUE(becomes(before + 1'000'000));
  }

  Reports reports_{};
  testing::RedisServer server_{};
  Client redis_{server_.url() + "?command_timeout=20s"};
};

}  // namespace tandem::support
