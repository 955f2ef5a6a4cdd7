#include "core/line.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

#include "core/core.hpp"
#include "support/fake_server.hpp"
#include "support/fault_proxy.hpp"
#include "support/patience.hpp"
#include "support/sanitized.hpp"
#include "support/threads.hpp"

namespace {

// ---- What this program counts: system calls and allocations ----

std::atomic<long long> sends = 0;
std::atomic<long long> bytes_sent = 0;
std::atomic<long long> sends_turned_away = 0;  // the socket had no room
std::atomic<long long> receives = 0;
std::atomic<long long> receives_in_background = 0;
std::atomic<long long> polls = 0;
std::atomic<long long> bytes_alive = 0;
thread_local long long allocations = 0;
thread_local int fail_at = 0;  // so many allocations of this thread from now, one fails
/// What happens between the next send of this thread and its return.
thread_local std::function<void()> const* after_send = nullptr;

}  // namespace

extern "C" ssize_t send(int fd, void const* bytes, std::size_t size, int flags) {
  sends.fetch_add(1, std::memory_order_relaxed);
  auto const sent = ::syscall(SYS_sendto, fd, bytes, size, flags, nullptr, 0);
  if (sent > 0) bytes_sent += sent;
  if (sent < 0 && errno == EAGAIN) ++sends_turned_away;
  if (auto const* const then = std::exchange(after_send, nullptr)) (*then)();
  return sent;
}

extern "C" ssize_t recv(int fd, void* bytes, std::size_t size, int flags) {
  receives.fetch_add(1, std::memory_order_relaxed);
  thread_local bool const in_background = [] {
    char name[16] = "";
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    return std::string_view{name} == "tandem";
  }();
  if (in_background) receives_in_background.fetch_add(1, std::memory_order_relaxed);
  return ::syscall(SYS_recvfrom, fd, bytes, size, flags, nullptr, nullptr);
}

extern "C" int ppoll(pollfd* fds, nfds_t count, timespec const* timeout, sigset_t const* mask) {
  polls.fetch_add(1, std::memory_order_relaxed);
  timespec left = timeout != nullptr ? *timeout : timespec{};
  return static_cast<int>(
      ::syscall(SYS_ppoll, fds, count, timeout != nullptr ? &left : nullptr, mask, _NSIG / 8));
}

void* operator new(std::size_t size) {
  ++allocations;
  if (fail_at > 0 && --fail_at == 0) throw std::bad_alloc{};
  void* const out = std::malloc(size == 0 ? 1 : size);
  if (out == nullptr) throw std::bad_alloc{};
  bytes_alive += static_cast<long long>(::malloc_usable_size(out));
  return out;
}
void operator delete(void* memory) noexcept {
  bytes_alive -= static_cast<long long>(::malloc_usable_size(memory));  // 0 for none
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }

namespace tandem {
namespace {

using namespace std::chrono_literals;
using detail::Call;
using detail::Line;
using std::chrono::steady_clock;
using support::eventually;
using support::FakeServer;
using support::FaultProxy;
using support::on_threads;
using support::stall;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RedisServer;
using Fate = detail::Request::Fate;
using Fault = FaultProxy::Fault;

constexpr int many = 16;

template <class... Words>
CommandBuffer command(Words const&... words) {
  CommandBuffer out;
  out.add(std::initializer_list<Argument>{Argument(words)...});
  return out;
}

/// With a deadline of its own.
template <class... Words>
Reply ask(Client const& redis, std::chrono::milliseconds patience, Words const&... words) {
  return redis.core().ask(command(words...), steady_clock::now() + patience, detail::Repeat::never);
}

/// A line over a wire of its own: nothing is repeated, nothing connected anew.
class OwnLine {
 public:
  explicit OwnLine(std::string const& url, std::string const& command_timeout = "20s")
      : options_{Options::from_url(url + "?command_timeout=" + command_timeout)},
        line_{options_,
              std::make_unique<detail::Wire>(options_, steady_clock::now() + 20s, waiting_),
              [this] { ++attendant_called; }} {}

  struct Outcome {
    Fate fate;
    std::string why;
    std::vector<Reply> replies;
  };
  Outcome exchange(CommandBuffer const& commands, std::chrono::milliseconds patience = 20s) {
    Outcome out{Fate::open, {}, {}};
    while (out.replies.size() < commands.count()) out.replies.emplace_back(nullptr);
    Call call{out.replies};
    line_.exchange(commands.bytes(), call, steady_clock::now() + patience);
    out.fate = call.fate();
    out.why = call.why();
    return out;
  }
  /// What becomes of it is not looked at.
  void post(CommandBuffer const& command) {
    ASSERT_TRUE(line_.post(command.bytes(), *new Forgotten));
  }
  [[nodiscard]] bool usable() { return line_.usable(); }
  [[nodiscard]] Line& get() { return line_; }

  std::atomic<int> attendant_called = 0;

 private:
  class Forgotten final : public detail::Request {
   public:
    Forgotten() : Request{{&reply_, 1}} {}

   private:
    void finished() noexcept override { delete this; }
    Reply reply_{nullptr};
  };

  Options options_;
  detail::CallerWaits waiting_{};
  Line line_;
};

class LineTest : public ::testing::Test {
 protected:
  [[nodiscard]] Client client(std::string const& parameters = "?command_timeout=60s") const {
    return Client{server_.url() + parameters};
  }

  int connections(std::string const& name) {
    auto const list = own_.command("CLIENT", "LIST").as<std::string>();
    auto const wanted = " name=" + name + " ";
    int count = 0;
    for (auto at = list.find(wanted); at != std::string::npos; at = list.find(wanted, at + 1))
      ++count;
    return count;
  }

  long long connections_made() {
    auto const stats = own_.command("INFO", "stats").as<std::string>();
    std::string const name = "total_connections_received:";
    return std::stoll(stats.substr(stats.find(name) + name.size()));
  }

  /// What the server did must be what the callers were told: `key` is made by one command alone.
  void expect_told_the_truth(std::vector<std::pair<std::string, Fate>> const& told) {
    for (auto const& [key, fate] : told) {
      auto const count = own_.command("GET", key).as<std::optional<int>>().value_or(0);
      if (fate == Fate::answered) {
        EXPECT_EQ(count, 1) << key;
      } else if (fate == Fate::not_executed) {
        EXPECT_EQ(count, 0) << key;
      } else {
        EXPECT_EQ(fate, Fate::in_doubt) << key;
        EXPECT_LE(count, 1) << key;
      }
    }
  }

  RedisServer server_{};
  Connection own_{server_.url() + "?command_timeout=20s"};
};

// ---- One connection for all ----

TEST_F(LineTest, AllThreadsShareOneConnectionAndEachGetsTheRepliesToItsOwnQuestions) {
  Client redis{client("?name=shared&command_timeout=60s&connect_timeout=60s")};
  auto const made_before = connections_made();
  on_threads(many, [&](int thread) {
    for (int i = 0; i < 200; ++i) {
      auto const text = std::to_string(thread) + ":" + std::to_string(i);
      ASSERT_EQ(redis.command("ECHO", text).as<std::string>(), text);
      auto pipeline = redis.pipeline();
      for (int n = 0; n < i % 7 + 1; ++n) pipeline.command("ECHO", text + "/" + std::to_string(n));
      auto const replies = pipeline.execute();
      for (int n = 0; n < i % 7 + 1; ++n) {
        auto const& reply = replies[static_cast<std::size_t>(n)];
        ASSERT_EQ(reply.as<std::string>(), text + "/" + std::to_string(n));
      }
    }
  });
  EXPECT_EQ(connections("shared"), 1);
  EXPECT_EQ(connections_made() - made_before, 1) << "another was there before";
}

TEST_F(LineTest, RepliesLargerThanAnyBufferReachTheirCallers) {
  Client redis{client()};
  on_threads(8, [&](int thread) {
    auto const letter = static_cast<char>('a' + thread);
    std::string const large(static_cast<std::size_t>(thread + 1) * 100'000, letter);
    for (int i = 0; i < 10; ++i) {
      ASSERT_EQ(redis.command("ECHO", large).as<std::string>(), large);
    }
  });
}

// ---- What it costs ----

// A sanitizer makes everything slower, and so changes who runs when: what threads share is less.

/// System calls of each kind for one command of so many threads.
struct Calls {
  double sent;
  double received;
};
Calls calls_per_command(Client& redis, int threads) {
  redis.command("INCR", "n");
  auto const sends_before = sends.load();
  auto const receives_before = receives.load();
  constexpr int count = 1000;
  on_threads(threads, [&](int) {
    for (int i = 0; i < count; ++i) redis.command("INCR", "n");
  });
  auto const commands = static_cast<double>(threads) * count;
  return {static_cast<double>(sends - sends_before) / commands,
          static_cast<double>(receives - receives_before) / commands};
}

TEST_F(LineTest, ThreadAloneSendsAndReceivesOncePerCommandAndWaitsForNothingElse) {
  Client redis{client()};
  double least = 10;
  constexpr double most = support::is_sanitized ? 2 : 1.05;
  for (int i = 0; i < 5 && least > most; ++i) {
    auto const before = polls.load();
    auto const calls = calls_per_command(redis, 1);
    EXPECT_EQ(calls.sent, 1);
    EXPECT_EQ(polls, before);
    least = std::min(least, calls.received);
  }
  // After a stall of this machine it looks, once, whether the server has hung up.
  EXPECT_LE(least, most);
}

TEST_F(LineTest, ManyThreadsShareEachSystemCall) {
  Client redis{client()};
  double least = 2;
  constexpr double most = support::is_sanitized ? 1.5 : 0.5;
  for (int i = 0; i < 20 && least > most; ++i) {  // who runs when is the machine's to say
    auto const [sent, received] = calls_per_command(redis, many);
    std::printf("system calls per command: %.3f send + %.3f recv\n", sent, received);
    least = std::min(least, sent + received);
  }
  EXPECT_LE(least, most) << "a connection for each thread pays 2";
}

TEST_F(LineTest, PostsShareEachSystemCall) {
  Client redis{client()};
  redis.post("INCR", "n");
  constexpr int count = 10'000;
  double least = 2;
  constexpr double most = support::is_sanitized ? 1 : 0.75;
  for (int round = 1; round <= 5 && least >= most; ++round) {
    auto const before = sends.load();
    for (int i = 0; i < count; ++i) redis.post("INCR", "n");
    EXPECT_EQ(redis.command("GET", "n").as<int>(), round * count + 1);
    least = std::min(least, static_cast<double>(sends - before) / count);
  }
  std::printf("send per post: %.3f\n", least);
  EXPECT_LE(least, most);
}

TEST_F(LineTest, CommandAllocatesNothing) {
  Client redis{client()};
  for (int i = 0; i < 200; ++i) redis.command("INCR", "n");
  auto const before = allocations;
  for (int i = 0; i < 100; ++i) redis.command("INCR", "n");
  auto const per_command = static_cast<double>(allocations - before) / 100;
  std::printf("allocations per command: %.2f\n", per_command);
  EXPECT_EQ(per_command, 0) << "hiredis' own malloc apart";
}

// ---- Deadlines ----

TEST_F(LineTest, LateReplyGoesToNobodyAndTheNextQuestionGetsItsOwn) {
  Client redis{client("?name=late&command_timeout=60s")};
  redis.command("PING");
  auto const made_before = connections_made();
  for (int i = 0; i < 10; ++i) {
    server_.pause();
    EXPECT_THROW(ask(redis, 30ms, "ECHO", "late"), InDoubt);
    CommandBuffer several = command("ECHO", "late");
    several.append(command("ECHO", "too late"));
    EXPECT_THROW((void)redis.core().ask_all(several, steady_clock::now() + 30ms), InDoubt);
    if (i % 2 == 0) server_.resume();
    on_threads(4, [&](int thread) {
      // Else the next questions are on their way before the late replies are.
      if (i % 2 == 1 && thread == 0) server_.resume();
      EXPECT_EQ(redis.command("ECHO", thread).as<int>(), thread);
      EXPECT_EQ(redis.command("ECHO", thread + 100).as<int>(), thread + 100);
    });
  }
  EXPECT_EQ(connections("late"), 1);
  EXPECT_EQ(connections_made(), made_before);
}

TEST_F(LineTest, LateReplyIsReadAlthoughNobodyCallsAnyMore) {
  Client redis{client("?command_timeout=60s")};
  redis.post("PING");
  redis.command("PING");
  server_.pause();
  EXPECT_THROW(ask(redis, 30ms, "ECHO", "late"), InDoubt);
  auto const before = receives_in_background.load();
  server_.resume();
  EXPECT_TRUE(eventually([&] { return receives_in_background > before; }));
}

TEST_F(LineTest, WordsThatAreHeldGoOutThoughNoReplyComes) {
  OwnLine line{server_.url()};
  line.exchange(command("PING"));
  server_.pause();
  auto const before = bytes_sent.load();
  std::thread threads{[&] {
    on_threads(many, [&](int thread) {
      EXPECT_EQ(line.exchange(command("ECHO", thread)).replies.at(0).as<int>(), thread);
    });
  }};
  // All of it, before anything is answered.
  long long expected = 0;
  for (int i = 0; i < many; ++i)
    expected += static_cast<long long>(command("ECHO", i).bytes().size());
  EXPECT_TRUE(eventually([&] { return bytes_sent - before == expected; }));
  server_.resume();
  threads.join();
}

TEST_F(LineTest, ReaderWhoseTimeIsOverHandsTheReadingOn) {
  Client redis{client("?name=roles&command_timeout=60s")};
  redis.command("PING");
  for (int i = 0; i < 5; ++i) {
    server_.pause();
    auto const sent = sends.load();
    std::thread first{[&] { EXPECT_THROW(ask(redis, 200ms, "PING"), InDoubt); }};
    EXPECT_TRUE(eventually([&] { return sends > sent; }));
    std::thread others{[&] {
      on_threads(3, [&](int thread) {
        EXPECT_NO_THROW(EXPECT_EQ(ask(redis, 10s, "ECHO", thread).as<int>(), thread));
      });
    }};
    first.join();
    server_.resume();
    others.join();
    if (HasFailure()) break;
  }
  EXPECT_EQ(connections("roles"), 1);
}

TEST_F(LineTest, ReaderWhoHasItsReplyHandsTheReadingOn) {
  Client redis{client("?name=roles&command_timeout=10s")};
  redis.command("PING");
  for (int i = 0; i < 200; ++i) {  // nobody comes later and would take over what was left lying
    on_threads(4, [&](int thread) {
      EXPECT_NO_THROW(EXPECT_EQ(redis.command("ECHO", thread).as<int>(), thread));
    });
    if (HasFailure()) break;
  }
}

TEST_F(LineTest, SilentServerIsGivenUpWhenAReplyIsLateByAWholeTimeout) {
  FaultProxy proxy{server_};
  Client redis{proxy.url() + "?command_timeout=1s"};
  redis.command("PING");
  proxy.next("ECHO", Fault::swallow_reply);
  EXPECT_THROW(redis.command("ECHO", "swallowed"), InDoubt);
  EXPECT_EQ(redis.command("ECHO", "heard").as<std::string>(), "heard");
  EXPECT_EQ(proxy.connections(), 2);
}

TEST_F(LineTest, CallsToAServerThatReadsNothingEndInTimeAndLeaveNothingBehind) {
  Client redis{client()};
  std::string const large(1 << 20, 'x');
  redis.command("SET", "k", large);
  server_.pause();
  auto const before = bytes_alive.load();
  std::atomic<int> in_doubt = 0;
  std::atomic<int> not_executed = 0;
  on_threads(4, [&](int) {
    for (int i = 0; i < 50; ++i) {
      auto const took = support::time_of([&] {
        try {
          ask(redis, 20ms, "APPEND", "k", large);
          ADD_FAILURE() << "it was answered";
        } catch (InDoubt const&) {
          ++in_doubt;
        } catch (Unreachable const&) {
          ++not_executed;
        }
      });
      EXPECT_LT(took, 20ms + stall);
    }
  });
  EXPECT_EQ(in_doubt + not_executed, 200);
  EXPECT_GT(not_executed, 100) << "what was not sent is not";
  EXPECT_LT(bytes_alive - before, 32LL << 20) << "of 200 MiB";
  server_.resume();
  on_threads(4, [&](int thread) { EXPECT_EQ(redis.command("ECHO", thread).as<int>(), thread); });
  auto const size = redis.command("STRLEN", "k").as<long long>();
  EXPECT_LE(size, (1LL + in_doubt) << 20) << "what was said not to be executed was";
  EXPECT_LT(bytes_alive - before, 32LL << 20);
}

// ---- Ends ----

TEST_F(LineTest, ConnectionCutUnderManyTellsEachCallerTheTruth) {
  FaultProxy proxy{server_};
  std::vector<std::optional<Fault>> const ends{std::nullopt, Fault::cut_before_request,
                                               Fault::cut_in_request, Fault::cut_after_request,
                                               Fault::cut_in_reply};
  std::mutex mutex;
  std::vector<std::pair<std::string, Fate>> told;
  for (int round = 0; round < 10; ++round) {
    auto const fault = ends[static_cast<std::size_t>(round) % ends.size()];
    OwnLine line{proxy.url()};
    auto const id = line.exchange(command("CLIENT", "ID")).replies.at(0).as<long long>();
    std::atomic<int> answered = 0;
    std::thread cutter{[&] {
      ASSERT_TRUE(eventually([&] { return answered > 200; }));
      if (fault) {
        proxy.next("INCR", *fault);
      } else {
        own_.command("CLIENT", "KILL", "ID", id);
      }
    }};
    on_threads(many, [&](int thread) {
      for (int i = 0, last = 0; last < 2; ++i) {
        auto const key =
            std::to_string(round) + ":" + std::to_string(thread) + ":" + std::to_string(i);
        auto const outcome = line.exchange(command("INCR", key));
        if (outcome.fate == Fate::answered) {
          EXPECT_EQ(outcome.replies[0].as<int>(), 1);
          ++answered;
        } else {
          EXPECT_THAT(outcome.why, Not(HasSubstr("timeout")));
        }
        if (last > 0) {
          EXPECT_EQ(outcome.fate, Fate::not_executed) << "over a line that is broken";
        }
        if (outcome.fate != Fate::answered) ++last;
        std::lock_guard const guard{mutex};
        told.emplace_back(key, outcome.fate);
      }
    });
    cutter.join();
    EXPECT_FALSE(line.usable());
  }
  expect_told_the_truth(told);
}

TEST_F(LineTest, WhatIsBeingSentWhenTheReaderSeesTheEndIsInDoubt) {
  OwnLine line{server_.url()};
  auto const id = line.exchange(command("CLIENT", "ID")).replies.at(0).as<long long>();
  std::atomic<bool> end_seen = false;
  auto const sent = sends.load();
  std::thread reader{[&] {
    EXPECT_EQ(line.exchange(command("BLPOP", "list", 0)).fate, Fate::in_doubt);
    end_seen = true;
  }};
  ASSERT_TRUE(eventually([&] { return sends > sent; }));
  // The bytes are out, and executed; the thread that sent them comes to know it last of all.
  std::function<void()> const meanwhile = [&] {
    own_.command("SET", "reached", 1);
    own_.command("CLIENT", "KILL", "ID", id);
    EXPECT_TRUE(eventually([&] { return end_seen.load(); }));
  };
  after_send = &meanwhile;
  EXPECT_EQ(line.exchange(command("INCR", "n")).fate, Fate::in_doubt);
  EXPECT_EQ(own_.command("GET", "reached").as<int>(), 1);
  reader.join();
}

TEST_F(LineTest, WhatWasNotSentWholeWhenTheConnectionEndedWasNotExecuted) {
  std::string const large(300'000, 'x');
  std::mutex mutex;
  std::vector<std::pair<std::string, Fate>> told;
  for (int round = 0; round < 10; ++round) {
    OwnLine line{server_.url()};
    auto const id = line.exchange(command("CLIENT", "ID")).replies.at(0).as<long long>();
    server_.pause();
    auto const turned_away = sends_turned_away.load();
    std::thread killer{[&] {
      EXPECT_TRUE(eventually([&] { return sends_turned_away > turned_away; }));
      auto const sent = sends.load();
      std::thread resumer{[&] {
        EXPECT_TRUE(eventually([&] { return sends > sent; }));  // it is before what is on its way
        server_.resume();
      }};
      own_.command("CLIENT", "KILL", "ID", id);
      resumer.join();
    }};
    on_threads(8, [&](int thread) {
      auto const key = std::to_string(round) + ":" + std::to_string(thread);
      CommandBuffer commands;
      if (round % 2 == 0) {
        commands.append(command("EVAL", "return redis.call('INCR', KEYS[1])", 1, key, large));
      } else {
        commands.append(command("INCR", key));
        commands.append(command("ECHO", large));
      }
      auto const outcome = line.exchange(commands);
      std::lock_guard const guard{mutex};
      told.emplace_back(key, outcome.fate);
    });
    killer.join();
  }
  expect_told_the_truth(told);
  for (auto const fate : {Fate::in_doubt, Fate::not_executed}) {
    EXPECT_TRUE(
        std::any_of(told.begin(), told.end(), [&](auto const& one) { return one.second == fate; }))
        << "nothing tested: " << static_cast<int>(fate);
  }
}

TEST_F(LineTest, CommandCutBeforeItsEndIsSentAgainBecauseItWasNotExecuted) {
  Client redis{client("?command_timeout=2s")};
  redis.command("PING");
  std::string const large(8 << 20, 'x');
  server_.pause();
  auto const turned_away = sends_turned_away.load();
  std::thread killer{[&] {
    // The socket's buffers are full, and most of the request waits.
    EXPECT_TRUE(eventually([&] { return sends_turned_away > turned_away; }));
    server_.restart();
  }};
  EXPECT_EQ(redis.command("SET", "k", large).as<std::string>(), "OK");
  killer.join();
}

TEST_F(LineTest, ClientWhoseConnectionsAreCutUnderManyCountsNothingTwice) {
  FaultProxy proxy{server_};
  Client redis{proxy.url() + "?command_timeout=20s&connect_timeout=20s"};
  std::mutex mutex;
  std::vector<std::pair<std::string, Fate>> told;
  std::atomic<int> busy = many;
  std::thread cutter{[&] {
    for (int i = 0; busy > 0; ++i) {
      auto const before = own_.command("DBSIZE").as<int>();
      (void)eventually([&] { return busy == 0 || own_.command("DBSIZE").as<int>() > before + 50; });
      constexpr Fault faults[] = {Fault::cut_before_request, Fault::cut_in_request,
                                  Fault::cut_after_request, Fault::cut_in_reply};
      if (i % 5 == 4) {
        own_.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      } else {
        proxy.next("INCR", faults[i % 5]);
      }
    }
  }};
  on_threads(many, [&](int thread) {
    for (int i = 0; i < 150; ++i) {
      auto const key = std::to_string(thread) + ":" + std::to_string(i);
      auto fate = Fate::answered;
      try {
        EXPECT_EQ(redis.command("INCR", key).as<int>(), 1) << key;
      } catch (InDoubt const& fault) {
        EXPECT_THAT(fault.what(), Not(HasSubstr("timeout")));
        fate = Fate::in_doubt;
      } catch (Unreachable const&) {
        fate = Fate::not_executed;
      }
      std::lock_guard const guard{mutex};
      told.emplace_back(key, fate);
    }
    --busy;
  });
  cutter.join();
  EXPECT_GT(proxy.connections(), 3);
  expect_told_the_truth(told);
}

TEST(LineOfAnOddServerTest, PipelineOfWhichAPartWasAnsweredIsInDoubtWhenItsRestCannotBeSent) {
  FakeServer server{[](auto const& words) {
    return words.front() == "INCR" ? FakeServer::Answer{":1\r\n", FakeServer::Then::deaf}
                                   : FakeServer::Answer{FakeServer::ok};
  }};
  for (int i = 0; i < 5; ++i) {  // now the reader sees the end first, now the writer
    OwnLine line{server.url()};
    CommandBuffer commands = command("INCR", "n");
    commands.append(command("ECHO", std::string(8 << 20, 'x')));
    auto const sent = sends.load();
    auto pipeline = std::async(std::launch::async, [&] { return line.exchange(commands); });
    ASSERT_TRUE(eventually([&] { return sends > sent; }));
    // The writer waits for room in the socket; this one reads the answer to INCR for it.
    auto const received = receives.load();
    auto other = std::async(std::launch::async, [&] { return line.exchange(command("PING")); });
    ASSERT_TRUE(eventually([&] { return receives > received; }));
    server.hang_up();
    EXPECT_EQ(pipeline.get().fate, Fate::in_doubt) << "INCR was executed";
    EXPECT_EQ(other.get().fate, Fate::not_executed);
  }
}

TEST(LineOfAnOddServerTest, ReplyThatNobodyAskedForBreaksTheLineAndIsGivenToNobody) {
  FakeServer const server{"GET", "+first\r\n+unasked\r\n"};
  OwnLine line{server.url()};
  auto const answer = line.exchange(command("GET", "k"));
  EXPECT_EQ(answer.fate, Fate::answered);
  EXPECT_EQ(answer.replies[0].as<std::string>(), "first");
  EXPECT_FALSE(line.usable());
  EXPECT_EQ(line.exchange(command("PING")).fate, Fate::not_executed);

  Client redis{server.url()};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(redis.command("GET", "k").as<std::string>(), "first");
    EXPECT_EQ(redis.command("PING").as<std::string>(), "OK");
  }
  EXPECT_EQ(server.connections(), 1 + 6);
}

// ---- What nobody waits for ----

TEST_F(LineTest, WhatAPostCouldNotWriteIsForWhoAttends) {
  OwnLine line{server_.url()};
  line.post(command("PING"));
  EXPECT_EQ(line.attendant_called, 1);
  EXPECT_EQ(line.get().unattended().events, POLLIN);  // it sleeps on this
  line.exchange(command("PING"));                     // reads both answers before it wakes
  server_.pause();
  line.post(command("SET", "large", std::string(8 << 20, 'x')));
  EXPECT_EQ(line.attendant_called, 2) << "nobody waits for room in the socket";
  EXPECT_EQ(line.get().unattended().events, POLLIN | POLLOUT);
  server_.resume();
  EXPECT_TRUE(eventually([&] {
    line.get().attend();
    return own_.command("EXISTS", "large").as<int>() == 1;
  }));
}

TEST_F(LineTest, AnswerThatLiesHereUnreadIsNotLate) {
  OwnLine line{server_.url(), "100ms"};
  line.post(command("INCR", "n"));
  auto const late = steady_clock::now() + 200ms;
  ASSERT_TRUE(eventually(
      [&] { return steady_clock::now() > late && own_.command("EXISTS", "n").as<int>() == 1; }));
  EXPECT_TRUE(line.usable());
  (void)line.get().examine(steady_clock::now(), 5s);
  EXPECT_EQ(line.exchange(command("INCR", "n")).replies.at(0).as<int>(), 2);
}

TEST_F(LineTest, LineThatDiedIsNotExaminedAgainAndAgain) {
  OwnLine line{server_.url()};
  line.exchange(command("PING"));
  auto const later = steady_clock::now() + 10s;
  EXPECT_TRUE(line.get().examine(later, 5s).silent);
  server_.kill();
  EXPECT_FALSE(line.usable());
  auto const health = line.get().examine(later, 5s);
  EXPECT_FALSE(health.silent);
  EXPECT_GT(health.look_again, later);
}

TEST_F(LineTest, WhatWaitsBehindASilentServerEndsWhenTheLineIsGivenUp) {
  OwnLine line{server_.url(), "200ms"};
  server_.pause();
  line.post(command("SET", "large", std::string(8 << 20, 'x')));  // the socket is full now
  auto waits = std::async(std::launch::async, [&] { return line.exchange(command("PING")); });
  EXPECT_TRUE(eventually([&] { return !line.usable(); }));
  ASSERT_EQ(waits.wait_for(10s), std::future_status::ready) << "it has 20 s";
  EXPECT_EQ(waits.get().fate, Fate::not_executed);
}

TEST(LineOfAnOddServerTest, WhoseAnswerIsHereDoesNotGoOnWritingForOthers) {
  FakeServer const server{[](auto const& words) {
    return words.front() == "ECHO" ? FakeServer::Answer{"+x\r\n", FakeServer::Then::deaf}
                                   : FakeServer::Answer{FakeServer::ok};
  }};
  OwnLine line{server.url()};
  std::function<void()> const meanwhile = [&] {
    std::thread other{[&] { line.post(command("SET", "k", std::string(8 << 20, 'x'))); }};
    other.join();
  };
  auto const took = support::time_of([&] {
    after_send = &meanwhile;
    EXPECT_EQ(line.exchange(command("ECHO", "x")).fate, Fate::answered);
  });
  EXPECT_LT(took, 10s) << "of the 20 s that it has";
}

TEST_F(LineTest, WantOfMemoryLosesNoStep) {
  OwnLine line{server_.url()};
  int failed = 0;
  for (int round = 1; round <= 4; ++round) {
    server_.pause();
    for (int i = 0; i < 300; ++i) {
      auto const words = command("ECHO", std::string(static_cast<std::size_t>(i), 'o'));
      std::vector<Reply> replies;
      replies.emplace_back(nullptr);
      Call call{replies};
      fail_at = round;
      try {
        line.get().exchange(words.bytes(), call, steady_clock::now() + 100us);
      } catch (std::bad_alloc const&) {
        ++failed;
      }
      fail_at = 0;
      if (call.fate() == Fate::not_executed) ++failed;
    }
    server_.resume();
    EXPECT_EQ(line.exchange(command("ECHO", "mine")).replies.at(0).as<std::string>(), "mine");
  }
  EXPECT_GT(failed, 0) << "nothing tested";
}

// ---- What blocks ----

TEST_F(LineTest, CommandThatBlocksDelaysNobody) {
  Client redis{client("?name=blocked&command_timeout=60s")};
  redis.command("PING");
  auto popped = std::async(std::launch::async, [&] { return redis.command("BLPOP", "list", 30); });
  ASSERT_TRUE(eventually([&] {
    return own_.command("CLIENT", "LIST").as<std::string>().find("cmd=blpop") != std::string::npos;
  }));
  on_threads(4, [&](int) {
    for (int i = 0; i < 50; ++i) EXPECT_EQ(redis.command("ECHO", i).as<int>(), i);
  });
  EXPECT_EQ(popped.wait_for(0ms), std::future_status::timeout) << "they waited for it";
  EXPECT_EQ(connections("blocked"), 2);
  redis.command("LPUSH", "list", "x");
  EXPECT_EQ(popped.get()[1].as<std::string>(), "x");
}

}  // namespace
}  // namespace tandem
