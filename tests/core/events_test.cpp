#include "core/events.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fake_server.hpp"
#include "support/lock_scene.hpp"
#include "support/sockets.hpp"
#include "support/threads.hpp"
#include "support/turn_away.hpp"

namespace tandem::detail {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using support::eventually;
using support::stall;
using support::time_of;

/// Writes down what it hears, and is due as often as it is told.
class Diary final : public EventListener {
 public:
  [[nodiscard]] std::vector<std::string> entries() const {
    std::lock_guard const guard{mutex_};
    return entries_;
  }
  [[nodiscard]] long count(std::string const& entry) const {
    auto const all = entries();
    return std::count(all.begin(), all.end(), entry);
  }
  [[nodiscard]] bool has(std::string const& entry, long times = 1) const {
    return eventually([&] { return count(entry) >= times; });
  }
  void write(std::string entry) {
    std::lock_guard const guard{mutex_};
    entries_.push_back(std::move(entry));
  }

  [[nodiscard]] int connections() const { return connections_; }
  [[nodiscard]] int times_due() const { return times_due_; }
  /// Whether it goes on being called when it is due.
  [[nodiscard]] bool ticks() const {
    return eventually([this, until = times_due_ + 5] { return times_due_ >= until; });
  }

  std::atomic<std::chrono::milliseconds> period{1h};
  std::function<void()> on_each_time{};  // before the thread starts

 private:
  void on_subscribed() override { write("subscribed"); }
  void on_refused(ServerError const& error) override { write("refused " + error.code()); }
  void on_disconnected() override { write("disconnected"); }
  void on_connected() override { ++connections_; }
  void on_message(std::string_view channel, std::string_view text) override {
    write(std::string{channel} + ": " + std::string{text});
  }
  void on_pattern_message(std::string_view pattern, std::string_view channel,
                          std::string_view text) override {
    write(std::string{pattern} + " " + std::string{channel} + ": " + std::string{text});
  }
  void on_changed(std::optional<std::string_view> key) override {
    write("changed " + std::string{key.value_or("anything")});
  }
  Deadline on_time(Deadline now) override {
    ++times_due_;
    if (on_each_time) on_each_time();
    return now + period.load();
  }

  mutable std::mutex mutex_{};
  std::vector<std::string> entries_{};  // guarded by mutex_
  std::atomic<int> times_due_ = 0;
  std::atomic<int> connections_ = 0;
};

/// Slower than any server talks.
class Slow final : public EventListener {
  void on_message(std::string_view, std::string_view) override {
    std::this_thread::sleep_for(200us);
  }
  Deadline on_time(Deadline now) override { return now + 1h; }
};

/// A port whose queue of connections is full: whoever connects to it waits.
class FullPort {
 public:
  FullPort() : listener_{support::listen_on_tcp(0)} {
    // The first fills the queue; more of them in case the kernel is generous.
    for (int i = 0; i < 3; ++i) {
      auto& each = waiting_.emplace_back(support::required(
          ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(listener_.second);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      (void)::connect(each.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address);
    }
  }
  [[nodiscard]] std::uint16_t number() const { return listener_.second; }

 private:
  std::pair<support::Descriptor, std::uint16_t> listener_;
  std::vector<support::Descriptor> waiting_{};
};

class EventsTest : public support::LockSceneTest {
 protected:
  EventsTest() { events_->attach(diary_); }

  void start() {
    events_->subscribe("news");
    events_->start();
    ASSERT_TRUE(diary_.has("subscribed"));
  }
  static CommandBuffer command(std::initializer_list<Argument> words) {
    CommandBuffer out;
    out.add(words);
    return out;
  }
  /// Whether `key` was read on the event thread so that its changes are told.
  bool reads_tracked(std::string const& key) {
    auto const read = [&](std::string const& done) {
      bool asked = false;
      on_thread([&] {
        asked = events_->track_next();
        if (asked)
          (void)events_->send(command({"GET", key}),
                              [this, done](ReplyView const*) { diary_.write(done); });
      });
      return asked;
    };
    return eventually([&] { return read("read " + key); }) && diary_.has("read " + key);
  }
  /// Runs `what` on the event thread and returns when it has run there.
  void on_thread(std::function<void()> what) { on_thread_of(*events_, std::move(what)); }
  void on_thread_of(Events& events, std::function<void()> what) {
    std::promise<void> done;
    {
      std::lock_guard const guard{mutex_};
      what_ = [&, what = std::move(what)] {
        what();
        done.set_value();
      };
    }
    events.wake();
    done.get_future().get();
  }
  void say(std::string const& text) { scene_.redis("PUBLISH", "news", text); }

  Options options_ = scene_.options();
  Diary diary_{};
  std::mutex mutex_{};
  std::function<void()> what_{};  // guarded by mutex_
  std::unique_ptr<Events> events_ = make();

 private:
  std::unique_ptr<Events> make() {
    diary_.on_each_time = [this] {
      std::function<void()> what;
      {
        std::lock_guard const guard{mutex_};
        what.swap(what_);
      }
      if (what) what();
    };
    return std::make_unique<Events>(options_);
  }
};

INSTANTIATE_TEST_SUITE_P(Protocol, EventsTest, ::testing::Values(3, 2), support::protocol_name);

// ---- Subscriptions ----

TEST_P(EventsTest, HearsWhatIsSaidOnItsChannels) {
  start();
  say("hello");
  EXPECT_TRUE(diary_.has("news: hello"));
  say(std::string("nul\0\r\n", 6));
  EXPECT_TRUE(diary_.has("news: " + std::string("nul\0\r\n", 6)));
}

TEST_P(EventsTest, ConnectsAndConnectsAnewForThoseWhoOnlySend) {
  events_->start();
  events_->keep_connected();
  auto const sends = [&](std::string const& key) {
    return eventually([&] {
      bool sent = false;
      on_thread([&] { sent = events_->send(command({"INCR", key}), nullptr); });
      return sent;
    });
  };
  EXPECT_TRUE(sends("before"));
  EXPECT_TRUE(eventually([&] { return scene_.redis("EXISTS", "before").as<bool>(); }));
  scene_.redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  EXPECT_TRUE(diary_.has("disconnected"));
  EXPECT_TRUE(sends("after"));
  EXPECT_TRUE(eventually([&] { return scene_.redis("EXISTS", "after").as<bool>(); }));
}

TEST_P(EventsTest, TakesAChannelThatIsAskedForLater) {
  start();
  events_->subscribe("more");
  EXPECT_TRUE(diary_.has("subscribed", 2));
  scene_.redis("PUBLISH", "more", "hello");
  EXPECT_TRUE(diary_.has("more: hello"));
}

TEST_P(EventsTest, EveryListenerHearsEverything) {
  Diary other;
  events_->attach(other);
  start();
  say("hello");
  EXPECT_TRUE(diary_.has("news: hello"));
  EXPECT_TRUE(other.has("news: hello"));
  events_->stop();
}

TEST_P(EventsTest, HearsWhatAListenerAsksForItselfUntilTheConnectionIsLost) {
  auto const ask = [&](std::string const& verb, std::string const& name) {
    bool asked = false;
    on_thread([&] {
      asked = events_->ask_to_hear(verb, name, [&, done = verb + " " + name](auto const* reply) {
        diary_.write(reply == nullptr ? "lost" : reply->is_error() ? "refused" : done);
      });
    });
    return asked && diary_.has(verb + " " + name);
  };
  events_->start();
  bool asked = true;
  on_thread([&] { asked = events_->ask_to_hear("SUBSCRIBE", "other", nullptr); });
  EXPECT_FALSE(asked) << "there is no connection";
  events_->keep_connected();
  EXPECT_TRUE(eventually([&] { return diary_.connections() == 1; }));
  EXPECT_TRUE(ask("SUBSCRIBE", "other"));
  EXPECT_TRUE(ask("PSUBSCRIBE", "o*"));
  scene_.redis("PUBLISH", "other", "x");
  EXPECT_TRUE(diary_.has("other: x"));
  EXPECT_TRUE(diary_.has("o* other: x"));
  EXPECT_TRUE(ask("UNSUBSCRIBE", "other"));
  EXPECT_EQ(scene_.redis("PUBLISH", "other", "y").as<int>(), 1);
  EXPECT_TRUE(ask("PUNSUBSCRIBE", "o*"));
  EXPECT_EQ(scene_.redis("PUBLISH", "other", "z").as<int>(), 0);
  EXPECT_TRUE(ask("SUBSCRIBE", "other") && diary_.has("SUBSCRIBE other", 2));
  scene_.redis("CLIENT", "KILL", "TYPE", "pubsub");
  EXPECT_TRUE(eventually([&] { return diary_.connections() == 2; }));
  EXPECT_EQ(scene_.redis("PUBLISH", "other", "unheard").as<int>(), 0);
  EXPECT_EQ(diary_.count("o* other: y"), 1);
}

TEST_P(EventsTest, SubscriptionsAreRestoredAfterEachBrokenConnection) {
  events_->subscribe("more");
  start();
  for (int i = 1; i <= 3; ++i) {
    scene_.kill_connections();
    ASSERT_TRUE(diary_.has("disconnected", i));
    ASSERT_TRUE(diary_.has("subscribed", i + 1));
    EXPECT_EQ(scene_.redis("PUBLISH", "news", i).as<int>(), 1);
    EXPECT_EQ(scene_.redis("PUBLISH", "more", i).as<int>(), 1);
    EXPECT_TRUE(diary_.has("news: " + std::to_string(i)));
    EXPECT_TRUE(diary_.has("more: " + std::to_string(i)));
  }
}

TEST_P(EventsTest, SubscriptionsAreRestoredAfterTheServerWasAway) {
  start();
  scene_.server.kill();
  ASSERT_TRUE(diary_.has("disconnected"));
  ASSERT_TRUE(support::turn_away(scene_.server.socket_path(), 3));
  scene_.server.restart();
  ASSERT_TRUE(diary_.has("subscribed", 2));
  say("again");
  EXPECT_TRUE(diary_.has("news: again"));
}

TEST_P(EventsTest, ServerThatComesLateIsFound) {
  scene_.server.kill();
  events_->subscribe("news");
  events_->start();
  ASSERT_TRUE(support::turn_away(scene_.server.socket_path(), 3));
  EXPECT_EQ(diary_.count("subscribed"), 0);
  scene_.server.restart();
  EXPECT_TRUE(diary_.has("subscribed"));
  EXPECT_EQ(diary_.count("disconnected"), 0);
}

TEST_P(EventsTest, RefusedSubscriptionIsToldAndAskedForAgain) {
  scene_.redis("ACL", "SETUSER", "default", "-subscribe");
  events_->subscribe("news");
  events_->start();
  ASSERT_TRUE(diary_.has("refused NOPERM"));
  scene_.redis("ACL", "SETUSER", "default", "+subscribe");
  EXPECT_TRUE(diary_.has("subscribed"));
  say("hello");
  EXPECT_TRUE(diary_.has("news: hello"));
}

TEST_P(EventsTest, RefusedConnectionIsToldAndTriedAgain) {
  scene_.redis("CONFIG", "SET", "requirepass", "secret");
  events_->subscribe("news");
  events_->start();
  ASSERT_TRUE(eventually([&] { return !diary_.entries().empty(); }));
  EXPECT_EQ(diary_.entries().front(), "refused NOAUTH");
  scene_.redis("CONFIG", "SET", "requirepass", "");  // over a connection from before
  EXPECT_TRUE(diary_.has("subscribed"));
}

TEST_P(EventsTest, HasOneConnectionWithResp3AndTwoWithResp2) {
  auto const count = [&] {
    auto const list = scene_.redis("CLIENT", "LIST").as<std::string>();
    return std::count(list.begin(), list.end(), '\n');
  };
  auto const before = count();
  start();
  EXPECT_EQ(count() - before, GetParam() == 3 ? 1 : 2);
}

// ---- Timers ----

TEST_P(EventsTest, CallsAListenerWhenItIsDue) {
  diary_.period = 5ms;
  start();
  EXPECT_TRUE(diary_.ticks());
}

TEST_P(EventsTest, WakesAListenerThatIsNotDueForLong) {
  start();
  for (int i = 0; i < 3; ++i) {
    auto const before = diary_.times_due();
    events_->wake();
    EXPECT_TRUE(eventually([&] { return diary_.times_due() > before; }));
  }
}

TEST_P(EventsTest, TimersFireWhileTheServerIsSilent) {
  diary_.period = 5ms;
  start();
  scene_.server.pause();
  EXPECT_TRUE(diary_.ticks());
  on_thread([&] { (void)events_->send(command({"PING"}), steady_clock::now() + 50ms, nullptr); });
  ASSERT_TRUE(diary_.has("disconnected")) << "and now it connects, and is not greeted";
  EXPECT_TRUE(diary_.ticks());
}

TEST_P(EventsTest, TimersFireWhileThereIsNoServer) {
  diary_.period = 5ms;
  start();
  scene_.server.kill();
  ASSERT_TRUE(diary_.has("disconnected"));
  EXPECT_TRUE(diary_.ticks());
}

TEST_P(EventsTest, TimersFireWhileAConnectHangs) {
  auto const full = FullPort{};
  options_.unix_socket.clear();
  options_.host = "127.0.0.1";
  options_.port = full.number();
  options_.connect_timeout = 60s;
  diary_.period = 5ms;
  events_->start();
  EXPECT_TRUE(diary_.ticks());
  EXPECT_LE(time_of([&] { events_->stop(); }), stall);
}

TEST_P(EventsTest, TimersFireAndItEndsWhileTheServerTalksWithoutEnd) {
  Slow slow;
  Diary diary;
  diary.period = 5ms;
  auto events = std::make_unique<Events>(options_);
  events->attach(slow);
  events->attach(diary);
  auto const* const kind = GetParam() == 3 ? ">" : "*";
  support::FakeServer const server{
      "SUBSCRIBE", kind + std::string{"3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"},
      support::FakeServer::Then::repeat};
  options_.unix_socket = server.url().substr(std::string{"unix://"}.size());
  options_.command_timeout = 60s;
  events->subscribe("news");
  events->start();
  ASSERT_TRUE(diary.has("news: x", 3));
  ASSERT_TRUE(diary.ticks());
  EXPECT_EQ(diary.count("disconnected"), 0);
  EXPECT_LE(time_of([&] { events.reset(); }), stall);
}

TEST_P(EventsTest, HearsAllOfWhatCameAtOnceThoughTheServerIsSilentAfterwards) {
  Slow slow;
  Diary diary;
  diary.period = 5ms;
  Events events{options_};
  events.attach(slow);
  events.attach(diary);
  std::string const kind = GetParam() == 3 ? ">" : "*";
  std::string burst;
  for (int i = 0; i < 200; ++i) burst += kind + "3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n";
  support::FakeServer const server{"SUBSCRIBE", burst};
  options_.unix_socket = server.url().substr(std::string{"unix://"}.size());
  options_.command_timeout = 60s;
  events.subscribe("news");
  events.start();
  EXPECT_TRUE(diary.has("news: x", 200)) << diary.count("news: x") << " of 200";
  EXPECT_TRUE(diary.ticks());
  events.stop();
}

// ---- Commands ----

TEST_P(EventsTest, AnswersComeInOrderOnItsThread) {
  start();
  on_thread([&] {
    for (std::string const word : {"one", "two"}) {
      EXPECT_TRUE(events_->send(command({"ECHO", word}), [&](ReplyView const* reply) {
        diary_.write(reply->as<std::string>() +
                     (events_->is_own_thread() ? " here" : " elsewhere"));
      }));
    }
  });
  ASSERT_TRUE(diary_.has("two here"));
  EXPECT_EQ(diary_.count("one here"), 1);
  EXPECT_FALSE(events_->is_own_thread());
}

TEST_P(EventsTest, SendIsRefusedWhileThereIsNoConnection) {
  start();
  scene_.server.kill();
  ASSERT_TRUE(diary_.has("disconnected"));
  on_thread([&] {
    EXPECT_FALSE(events_->connected());
    EXPECT_FALSE(events_->send(command({"PING"}), [](ReplyView const*) { ADD_FAILURE(); }));
    EXPECT_FALSE(events_->track_next());
  });
}

TEST_P(EventsTest, AnswersThatAreLostWithTheConnectionAreNone) {
  start();
  scene_.server.pause();
  on_thread([&] {
    for (int i = 0; i < 2; ++i) {
      (void)events_->send(command({"PING"}), [&](ReplyView const* reply) {
        diary_.write(reply ? "answered" : "lost");
      });
    }
  });
  scene_.server.kill();
  EXPECT_TRUE(diary_.has("lost", 2));
  ASSERT_TRUE(diary_.has("disconnected"));
  EXPECT_EQ(diary_.entries().back(), "disconnected") << "each answer is heard before";
}

TEST_P(EventsTest, AnswerThatDoesNotComeInTimeEndsTheConnection) {
  start();
  scene_.server.pause();
  on_thread([&] {
    (void)events_->send(command({"PING"}), steady_clock::now() + 20ms,
                        [&](ReplyView const* reply) { diary_.write(reply ? "answered" : "lost"); });
  });
  EXPECT_TRUE(diary_.has("lost"));
  EXPECT_TRUE(diary_.has("disconnected"));
  scene_.server.resume();
  EXPECT_TRUE(diary_.has("subscribed", 2));
}

TEST_P(EventsTest, ErrorIsAnAnswer) {
  start();
  on_thread([&] {
    (void)events_->send(command({"NONSENSE"}), [&](ReplyView const* reply) {
      diary_.write(reply->is_error() ? "error" : "?");
    });
  });
  EXPECT_TRUE(diary_.has("error"));
  EXPECT_EQ(diary_.count("disconnected"), 0);
}

TEST_P(EventsTest, SilentServerIsNoticedWithoutACommand) {
  options_.command_timeout = 100ms;
  start();
  scene_.server.pause();
  EXPECT_TRUE(diary_.has("disconnected"))
      << "after five seconds of silence it is asked whether it is there";
  scene_.server.resume();
  EXPECT_TRUE(diary_.has("subscribed", 2));
}

// ---- Tracking ----

TEST_P(EventsTest, TellsOnceOfAChangeOfAKeyThatWasReadForThat) {
  start();
  ASSERT_TRUE(reads_tracked("stock"));
  scene_.redis("SET", "other", 1);
  scene_.redis("SET", "stock", 1);
  EXPECT_TRUE(diary_.has("changed stock"));
  scene_.redis("SET", "stock", 2);
  say("mark");
  ASSERT_TRUE(diary_.has("news: mark"));
  EXPECT_EQ(diary_.count("changed stock"), 1);
  EXPECT_EQ(diary_.count("changed other"), 0);
}

TEST_P(EventsTest, TellsOfTheEndOfAKeysLife) {
  start();
  scene_.redis("SET", "stock", 1, "PX", 200);
  ASSERT_TRUE(reads_tracked("stock"));
  EXPECT_TRUE(diary_.has("changed stock"));
}

TEST_P(EventsTest, TellsThatAnyKeyMayHaveChangedWhenTheServerWasEmptied) {
  start();
  ASSERT_TRUE(reads_tracked("stock"));
  scene_.redis("FLUSHALL");
  EXPECT_TRUE(diary_.has("changed anything"));
}

TEST_P(EventsTest, TrackingIsThereAgainAfterReconnecting) {
  start();
  scene_.kill_connections();
  ASSERT_TRUE(diary_.has("subscribed", 2));
  ASSERT_TRUE(reads_tracked("stock"));
  scene_.redis("SET", "stock", 1);
  EXPECT_TRUE(diary_.has("changed stock"));
}

// ---- Other people's code ----

TEST_P(EventsTest, ListenerThatThrowsIsReportedAndHarmsNobody) {
  class Thrower final : public EventListener {
    void on_subscribed() override { throw std::runtime_error{"in on_subscribed"}; }
    void on_message(std::string_view, std::string_view) override { throw 1; }
    Deadline on_time(Deadline) override { throw Unreachable{"in on_time"}; }
  } thrower;
  Events events{options_};
  Diary after;
  after.period = 5ms;
  events.attach(thrower);
  events.attach(after);
  events.subscribe("news");
  events.start();
  ASSERT_TRUE(after.has("subscribed"));
  say("hello");
  EXPECT_TRUE(after.has("news: hello"));
  EXPECT_TRUE(after.ticks());
  events.stop();
  EXPECT_TRUE(scene_.reports.have("in on_subscribed"));
  EXPECT_TRUE(scene_.reports.have("exception of unknown type"));
  EXPECT_TRUE(scene_.reports.have("in on_time"));
}

TEST_P(EventsTest, AnswerThatThrowsIsReportedAndHarmsNobody) {
  start();
  on_thread([&] {
    (void)events_->send(command({"PING"}),
                        [](ReplyView const*) { throw std::runtime_error{"in an answer"}; });
    (void)events_->send(command({"PING"}), [&](ReplyView const*) { diary_.write("next"); });
  });
  EXPECT_TRUE(diary_.has("next"));
  EXPECT_TRUE(scene_.reports.have("in an answer"));
}

TEST_P(EventsTest, SignalsGoToTheProgramsOwnThreads) {
  start();
  int found = 0;
  for (auto const& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
    std::string name;
    std::getline(std::ifstream{task.path() / "comm"}, name);
    if (name != "tandem") continue;
    ++found;
    std::ifstream status{task.path() / "status"};
    for (std::string line; std::getline(status, line);) {
      // All but those that cannot be blocked, and the two that the C library keeps for itself.
      if (line.starts_with("SigBlk:")) {
        EXPECT_THAT(line, ::testing::HasSubstr("fffffffe7ffbfeff"));
      }
    }
  }
  EXPECT_EQ(found, 1);
}

// ---- The end ----

TEST_P(EventsTest, NoListenerIsCalledAfterStop) {
  auto const before = support::background_threads();
  diary_.period = 0ms;
  start();
  ASSERT_TRUE(diary_.ticks());
  events_->stop();
  auto const times = diary_.times_due();
  auto const entries = diary_.entries().size();
  say("hello");
  EXPECT_EQ(support::background_threads(), before) << "who would call it";
  EXPECT_EQ(diary_.times_due(), times);
  EXPECT_EQ(diary_.entries().size(), entries);
}

TEST_P(EventsTest, StopIsQuickWhateverTheServerDoes) {
  for (auto const& fault : std::vector<std::function<void()>>{[] {}, [&] { scene_.server.pause(); },
                                                              [&] { scene_.server.kill(); }}) {
    Events events{options_};
    Diary diary;
    events.attach(diary);
    events.subscribe("news");
    events.start();
    EXPECT_TRUE(diary.has("subscribed"));
    fault();
    EXPECT_LE(time_of([&] { events.stop(); }), stall);
    scene_.server.restart();
  }
}

TEST_P(EventsTest, StopEndsAHandshakeThatHangs) {
  options_.connect_timeout = 60s;
  scene_.server.pause();
  events_->start();
  ASSERT_TRUE(eventually([&] { return diary_.times_due() > 0; }));
  EXPECT_LE(time_of([&] { events_->stop(); }), stall);
  scene_.server.resume();
}

TEST_P(EventsTest, WithoutStartThereIsNothingToStopAndAfterStopNothingStarts) {
  events_->stop();
  events_->start();
  events_->wake();
  EXPECT_FALSE(events_->connected());
  EXPECT_EQ(diary_.times_due(), 0);
}

TEST_P(EventsTest, StartedTwiceItIsOneThread) {
  start();
  events_->start();
  say("hello");
  ASSERT_TRUE(diary_.has("news: hello"));
  EXPECT_EQ(diary_.count("news: hello"), 1);
}

TEST_P(EventsTest, ThreadThatCannotWaitForItsOwnEndSaysWhatIsToFollow) {
  start();
  std::promise<std::thread::id> followed;
  auto* const owned = events_.release();
  on_thread_of(*owned, [&, owned] {
    ASSERT_TRUE(owned->is_own_thread());
    owned->stop_and_then([&, owned] {
      delete owned;
      followed.set_value(std::this_thread::get_id());
    });
  });
  auto followed_by = followed.get_future();
  EXPECT_EQ(followed_by.wait_for(stall), std::future_status::ready);
  EXPECT_NE(followed_by.get(), std::this_thread::get_id());
}

}  // namespace
}  // namespace tandem::detail
