// Forks, at every system call of the library and in the middle of other threads' calls: parent and
// child both go on, and neither sees the other's replies or descriptors.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/lock.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/certificates.hpp"
#include "support/forked.hpp"
#include "support/open_descriptors.hpp"
#include "support/patience.hpp"
#include "support/sanitized.hpp"
#include "support/threads.hpp"

namespace {

// ---- The system calls of this program: each is a step, before it and after it ----

std::atomic<std::function<void()> const*> at_each_step = nullptr;
std::atomic<int> stepping = 0;  // threads that may be at it
thread_local bool is_watched = true;
bool is_in_child = false;

void step() {
  ++stepping;
  auto const* const act = at_each_step.load();
  if (act != nullptr && std::exchange(is_watched, false)) {
    (*act)();
    is_watched = true;
  }
  --stepping;
}

template <class Function>
Function* next(char const* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

template <class Call>
auto with_steps(Call&& call) {
  step();
  auto const out = call();
  int const error = errno;
  step();
  errno = error;
  return out;
}

}  // namespace

extern "C" {
/// Asked by the leak sanitizer as a process ends. What a child inherited of threads that are not in
/// it is left behind on purpose.
int __lsan_is_turned_off();  // NOLINT(bugprone-reserved-identifier,readability-identifier-naming)
int __lsan_is_turned_off() { return is_in_child ? 1 : 0; }

int socket(int domain, int type, int protocol) noexcept {
  static auto* const real = next<int(int, int, int)>("socket");
  return with_steps([&] { return real(domain, type, protocol); });
}
int connect(int fd, sockaddr const* address, socklen_t size) {
  static auto* const real = next<int(int, sockaddr const*, socklen_t)>("connect");
  return with_steps([&] { return real(fd, address, size); });
}
ssize_t send(int fd, void const* bytes, std::size_t size, int flags) {
  static auto* const real = next<ssize_t(int, void const*, std::size_t, int)>("send");
  return with_steps([&] { return real(fd, bytes, size, flags); });
}
ssize_t recv(int fd, void* bytes, std::size_t size, int flags) {
  static auto* const real = next<ssize_t(int, void*, std::size_t, int)>("recv");
  return with_steps([&] { return real(fd, bytes, size, flags); });
}
int eventfd(unsigned count, int flags) noexcept {
  static auto* const real = next<int(unsigned, int)>("eventfd");
  return with_steps([&] { return real(count, flags); });
}
int close(int fd) {
  static auto* const real = next<int(int)>("close");
  return with_steps([&] { return real(fd); });
}
}

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Certificates;
using support::eventually;
using support::Forked;
using support::in_child;
using support::on_threads;
using support::open_sockets;
using support::text_of;
using testing::RedisServer;
using testing::RedisServerTls;

constexpr auto const* patient = "?command_timeout=60s&connect_timeout=60s";

/// Those of `open` that are not `allowed`, as text.
std::string strangers(std::multiset<std::string> const& open,
                      std::multiset<std::string> const& allowed) {
  std::multiset<std::string> out;
  std::set_difference(open.begin(), open.end(), allowed.begin(), allowed.end(),
                      std::inserter(out, out.end()));
  return text_of(out);
}

/// While it lives, the process is forked at each step of the library, on whatever thread; each child
/// looks for descriptors that are not its own, asks a question over `redis`, and lets go of it.
class ForkAtEachStep {
 public:
  enum class Handles { one, several };  // of the client; with several it lives on in the child

  ForkAtEachStep(std::unique_ptr<Client>& redis, std::multiset<std::string> own_sockets,
                 Handles handles)
      : redis_{redis}, own_sockets_{std::move(own_sockets)}, handles_{handles} {
    at_each_step = &act_;
  }
  ForkAtEachStep(ForkAtEachStep const&) = delete;
  ForkAtEachStep& operator=(ForkAtEachStep const&) = delete;
  ~ForkAtEachStep() { end(); }

  /// Waits for all children. How many there were.
  int end() {
    at_each_step = nullptr;
    EXPECT_TRUE(eventually([] { return stepping == 0; }));
    for (auto& child : children_) child.wait();
    return static_cast<int>(children_.size());
  }

 private:
  void fork() {
    std::lock_guard const guard{mutex_};
    auto const number = std::to_string(children_.size());
    children_.push_back(std::async(std::launch::async, [this, number] {
      is_watched = false;
      EXPECT_EQ(in_child([&] { return child(number); }), "child " + number);
    }));
    // Inside NoFork there is no fork before it ends: the child then is one of a later step.
    (void)children_.back().wait_for(20ms);
  }

  std::string child(std::string const& number) {
    at_each_step = nullptr;
    auto const inherited = strangers(open_sockets(), own_sockets_);
    if (!inherited.empty()) return "inherited\n" + inherited;
    auto answer = redis_->command("ECHO", "child " + number).as<std::string>();
    redis_.reset();
    if (handles_ == Handles::several) return answer;
    auto const left = strangers(open_sockets(), own_sockets_);
    return left.empty() ? answer : "left open\n" + left;
  }

  std::unique_ptr<Client>& redis_;
  std::multiset<std::string> own_sockets_;
  Handles handles_;
  std::function<void()> act_{[this] { fork(); }};
  std::mutex mutex_{};
  std::vector<std::future<void>> children_{};
};

class ForkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (support::child_may_find_malloc_locked) GTEST_SKIP() << "the sanitizer's fault";
  }

  /// Forks at each step of `act`, which is given the client.
  static void fork_at_each_step(std::string const& url, int at_least,
                                std::function<void(Client&)> const& act,
                                ForkAtEachStep::Handles handles = ForkAtEachStep::Handles::one) {
    auto const before = open_sockets();
    auto redis = std::make_unique<Client>(url);
    ForkAtEachStep forks{redis, before, handles};
    act(*redis);
    EXPECT_GE(forks.end(), at_least) << "nothing tested";
  }

  [[nodiscard]] std::string url() const { return server_.url() + patient; }

  RedisServer server_{};
  Certificates certificates_{};
};

// ---- At each system call ----

TEST_F(ForkTest, FirstCallMayBeForkedAtEachStep) {
  fork_at_each_step(url(), 8, [](Client& redis) {
    EXPECT_EQ(redis.command("ECHO", "parent").as<std::string>(), "parent");
  });
}

TEST_F(ForkTest, CallOverANewLineMayBeForkedAtEachStep) {
  Connection killer{server_.url()};
  fork_at_each_step(url(), 16, [&](Client& redis) {
    EXPECT_EQ(redis.command("INCR", "n").as<int>(), 1);
    auto const* const act = at_each_step.exchange(nullptr);
    killer.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    at_each_step = act;
    EXPECT_EQ(redis.command("INCR", "n").as<int>(), 2);
  });
}

TEST_F(ForkTest, TransactionMayBeForkedAtEachStep) {
  fork_at_each_step(url(), 16, [](Client& redis) {
    redis.transaction({"n"}, [](Transaction& tx) {
      auto const n = tx.read("GET", "n").as<std::optional<int>>().value_or(0);
      tx.queue("SET", "n", n + 1);
    });
    EXPECT_EQ(redis.command("GET", "n").as<int>(), 1);
  });
}

// Numeric addresses: in a child that was forked while another thread was within getaddrinfo, glibc's
// own may hang.

TEST_F(ForkTest, FirstCallOverTcpMayBeForkedAtEachStep) {
  RedisServer const server{{.tcp = true}};
  fork_at_each_step("redis://127.0.0.1:" + std::to_string(server.port()) + patient, 8,
                    [](Client& redis) {
                      EXPECT_EQ(redis.command("ECHO", "parent").as<std::string>(), "parent");
                    });
}

TEST_F(ForkTest, TlsHandshakeMayBeForkedAtEachStep) {
  auto const signed_by_it = certificates_.sign("server", "IP:127.0.0.1");
  RedisServer const server{{.tls = RedisServerTls{signed_by_it.certificate, signed_by_it.key}}};
  fork_at_each_step("rediss://127.0.0.1:" + std::to_string(server.tls_port()) + patient +
                        "&ca=" + certificates_.authority(),
                    16, [](Client& redis) {
                      EXPECT_EQ(redis.command("ECHO", "parent").as<std::string>(), "parent");
                    });
}

TEST_F(ForkTest, StartOfTheEventThreadMayBeForkedAtEachStep) {
  fork_at_each_step(
      url(), 12,
      [](Client& redis) {
        Lock const lock{redis, "orders"};
        auto hold = lock.acquire();
        EXPECT_TRUE(hold.held());
        EXPECT_EQ(hold.release(), Release::released);
      },
      ForkAtEachStep::Handles::several);
}

TEST_F(ForkTest, EndOfAClientMayBeForkedAtEachStep) {
  auto const before = open_sockets();
  auto other = std::make_unique<Client>(url());  // what a child asks: its own would be half gone
  auto redis = std::make_unique<Client>(url());
  {
    Lock const lock{*redis, "orders"};
    EXPECT_EQ(lock.acquire().release(), Release::released);
    redis->transaction({}, [](Transaction& tx) { (void)tx.read("PING"); });
  }
  ForkAtEachStep forks{other, before, ForkAtEachStep::Handles::one};
  redis.reset();
  EXPECT_GE(forks.end(), 4) << "nothing tested";
}

// ---- In the middle of other threads' calls ----

/// Sixteen threads that talk over one client, in all ways there are.
class Talk {
 public:
  explicit Talk(Client const& redis) {
    for (int thread = 0; thread < 16; ++thread) {
      threads_.emplace_back([this, redis, thread] { run(redis, thread); });
    }
  }
  Talk(Talk const&) = delete;
  Talk& operator=(Talk const&) = delete;
  ~Talk() { end(); }

  void end() {
    over_ = true;
    for (auto& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  [[nodiscard]] int calls() const { return calls_; }

 private:
  void run(Client redis, int thread) {
    try {
      Lock const lock{redis, "lock " + std::to_string(thread)};
      auto const hold = lock.acquire();
      for (int i = 0; !over_; ++i) {
        auto const tag = std::to_string(thread) + ":" + std::to_string(i);
        EXPECT_EQ(redis.command("ECHO", tag).as<std::string>(), tag);
        EXPECT_EQ(redis.command("INCR", thread).as<int>(), i + 1);
        auto const replies = redis.pipeline().command("ECHO", tag).command("PING").execute();
        EXPECT_EQ(replies[0].as<std::string>(), tag);
        if (i % 8 == 0) {
          redis.transaction({tag}, [&](Transaction& tx) {
            EXPECT_EQ(tx.read("ECHO", tag).as<std::string>(), tag);
          });
        }
        ++calls_;
      }
      EXPECT_TRUE(hold.held());
    } catch (std::exception const& fault) {
      ADD_FAILURE() << fault.what();
    }
  }

  std::atomic<bool> over_ = false;
  std::atomic<int> calls_ = 0;
  std::vector<std::thread> threads_{};
};

TEST_F(ForkTest, ForkInTheMiddleOfSixteenThreadsCallsDisturbsNobodyWhateverTheChildDoes) {
  auto const before = open_sockets();
  auto redis = std::make_unique<Client>(url());
  Talk talk{*redis};
  for (int i = 0; i < 40; ++i) {
    auto const calls = talk.calls();
    ASSERT_TRUE(eventually([&] { return talk.calls() > calls + 16; }));
    auto const told = in_child([&]() -> std::string {
      auto const inherited = strangers(open_sockets(), before);
      if (!inherited.empty()) return "inherited\n" + inherited;
      is_in_child = true;
      if (i % 4 == 3) std::exit(0);  // NOLINT(concurrency-mt-unsafe): with all that this destroys
      auto const text = "child " + std::to_string(i);
      if (i % 4 > 0 && redis->command("ECHO", text).as<std::string>() != text) return "foreign";
      if (i % 4 == 2) {
        Lock const lock{*redis, "child"};
        auto hold = lock.acquire();
        if (!hold.held() || hold.release() != Release::released) return "no lock";
      }
      redis.reset();  // its copies live on with the threads that are not here
      return "done";
    });
    EXPECT_EQ(told, i % 4 == 3 ? "" : "done");
  }
  talk.end();
  EXPECT_EQ(redis->command("ECHO", "parent").as<std::string>(), "parent");
}

TEST_F(ForkTest, ForkWhileThreadsWaitForTheirRepliesLeavesTheirsToThem) {
  auto redis = std::make_unique<Client>(url());
  redis->command("PING");
  for (int round = 0; round < 3; ++round) {
    // One reads, the others sleep: none of them is in the child.
    server_.pause();
    std::atomic<int> asked = 0;
    std::thread parent{[&] {
      on_threads(16, [&](int thread) {
        ++asked;
        EXPECT_EQ(redis->command("ECHO", thread).as<int>(), thread);
      });
    }};
    ASSERT_TRUE(eventually([&] { return asked == 16; }));
    Forked child{[&] { return redis->command("ECHO", "child").as<std::string>(); }};
    server_.resume();
    EXPECT_EQ(child.told(), "child");
    parent.join();
  }
}

TEST_F(ForkTest, ForkWhileThreadsWriteMoreThanTheSocketTakesLeavesTheirWordsWhole) {
  auto redis = std::make_unique<Client>(url());
  redis->command("PING");
  std::string const large(1 << 20, 'x');
  for (int round = 0; round < 3; ++round) {
    server_.pause();
    std::atomic<int> asked = 0;
    std::thread parent{[&] {
      on_threads(8, [&](int thread) {
        ++asked;
        EXPECT_EQ(redis->command("APPEND", thread, large).as<int>(), (round + 1) << 20);
      });
    }};
    ASSERT_TRUE(eventually([&] { return asked == 8; }));
    Forked child{[&] {
      redis->command("APPEND", "child", large);
      return redis->command("ECHO", "child").as<std::string>();
    }};
    server_.resume();
    EXPECT_EQ(child.told(), "child");
    parent.join();
  }
  EXPECT_EQ(redis->command("STRLEN", "child").as<int>(), 3 << 20);
}

}  // namespace
}  // namespace tandem
