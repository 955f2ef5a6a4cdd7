// A network that flips, adds and drops bytes, under sixteen threads that share one line.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/testing/redis_server.hpp>

#include "core/core.hpp"
#include "core/hiredis.hpp"
#include "support/certificates.hpp"
#include "support/mangling_proxy.hpp"
#include "support/patience.hpp"
#include "support/resp_commands.hpp"
#include "support/threads.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Certificates;
using support::eventually;
using support::ManglingProxy;
using support::on_threads;
using support::stall;
using support::time_of;
using testing::RedisServer;
using testing::RedisServerTls;
using Way = ManglingProxy::Way;

constexpr int many = 16;

/// Flips, adds or drops a byte here and there, so many times in all.
class Damage {
 public:
  explicit Damage(int times) : left_{times} {}

  std::string operator()(std::string_view bytes) {
    std::string out{bytes};
    std::lock_guard const guard{mutex_};
    if (left_ == 0 || out.empty() || chance(40) != 0) return out;
    --left_;
    auto const at = chance(out.size());
    // What means something to the protocol does more harm than any byte.
    constexpr std::string_view words = "\r\n$*+-:_0123456789";
    auto const byte = chance(2) == 0 ? static_cast<char>(chance(256)) : words[chance(words.size())];
    switch (chance(3)) {
      case 0:
        out[at] = byte;
        break;
      case 1:
        out.insert(at, 1, byte);
        break;
      default:
        out.erase(at, 1);
    }
    return out;
  }

  [[nodiscard]] bool is_done() {
    std::lock_guard const guard{mutex_};
    return left_ == 0;
  }

 private:
  std::size_t chance(std::size_t sides) {
    return std::uniform_int_distribution<std::size_t>{0, sides - 1}(random_);
  }

  std::mutex mutex_{};
  int left_;
  std::mt19937 random_{20'260'101};  // the order of threads differs from run to run anyway
};

/// A reply in words, to be compared.
std::string words_of(ReplyView reply) {
  auto out = std::to_string(static_cast<int>(reply.kind())) + ":";
  if (reply.is_error()) return out.append(reply.error_text());
  if (reply.kind() == ReplyKind::text || reply.kind() == ReplyKind::status)
    return out.append(reply.as<std::string_view>());
  if (reply.kind() == ReplyKind::integer) return out + std::to_string(reply.as<long long>());
  for (std::size_t i = 0; i < reply.size(); ++i) out += words_of(reply[i]) + ";";
  return out;
}

/// What was said over each connection: the client's questions, as it said them, and the replies,
/// as they reached it.
class Minutes {
 public:
  void note(ManglingProxy::Passing const& passing, std::string_view arrives) {
    std::lock_guard const guard{mutex_};
    auto& talk = talks_[passing.connection];
    if (passing.way == Way::to_client) {
      talk.replies.append(arrives);
      return;
    }
    talk.said.feed(passing.bytes);
    while (auto const command = talk.said.next()) talk.questions.push_back(command->words.back());
  }

  /// The replies to the question whose last word is `tag`, by their place in what the server said
  /// over the same connection. One per time it was asked; no reply where the stream ended before.
  [[nodiscard]] std::vector<std::optional<std::string>> replies_to(std::string const& tag) {
    if (answers_.empty()) take_apart();
    return answers_[tag];
  }

  /// Whether that was said over a connection behind the replies to all its questions.
  [[nodiscard]] bool was_said_unasked(std::string const& answer) const {
    return std::find(unasked_.begin(), unasked_.end(), answer) != unasked_.end();
  }

 private:
  struct Talk {
    support::RespCommands said{};
    std::deque<std::string> questions{};
    std::string replies{};
  };

  void take_apart() {
    for (auto& [number, talk] : talks_) {
      auto* const reader = redisReaderCreate();
      redisReaderFeed(reader, talk.replies.data(), talk.replies.size());
      for (auto const& question : talk.questions) {
        answers_[question].push_back(next_answer(reader));
      }
      while (auto more = next_answer(reader)) unasked_.push_back(*std::move(more));
      redisReaderFree(reader);
    }
  }

  static std::optional<std::string> next_answer(redisReader* reader) {
    for (;;) {
      void* raw = nullptr;
      if (redisReaderGetReply(reader, &raw) != REDIS_OK || raw == nullptr) return std::nullopt;
      Reply const reply{static_cast<redisReply*>(raw)};
      if (reply.kind() != ReplyKind::push) return words_of(reply);
    }
  }

  std::mutex mutex_{};
  std::map<int, Talk> talks_{};
  std::map<std::string, std::vector<std::optional<std::string>>> answers_{};
  std::vector<std::string> unasked_{};
};

/// What sixteen threads were told while the damage lasted: by what they had asked.
std::map<std::string, std::string> talk(Client const& redis, std::function<bool()> const& is_over) {
  std::mutex mutex;
  std::map<std::string, std::string> told;
  on_threads(many, [&](int thread) {
    for (int i = 0; !is_over(); ++i) {
      auto const tag = std::to_string(thread) + ":" + std::to_string(i);
      CommandBuffer command;
      command.add(std::initializer_list<Argument>{"ECHO", tag});
      std::optional<std::string> answer;
      auto const took = time_of([&] {
        try {
          answer =
              words_of(redis.core().ask(command, redis.core().deadline(), detail::Repeat::never));
        } catch (Error const&) {
          // Whatever is wrong: it is told, and that is all that is asked for.
        }
      });
      EXPECT_LT(took, redis.options().command_timeout + stall);
      std::lock_guard const guard{mutex};
      if (answer) told.emplace(tag, *answer);
    }
  });
  return told;
}

void expect_each_reply_at_its_own_question(std::map<std::string, std::string> const& told,
                                           Minutes& minutes) {
  EXPECT_GT(told.size(), 100U) << "nothing tested";
  for (auto const& [tag, answer] : told) {
    auto const replies = minutes.replies_to(tag);
    if (replies.empty()) {
      // Damage can make two replies of one. The second has the place of the next question, whose own
      // words may still be on their way, and never pass where the connection ends.
      ASSERT_TRUE(minutes.was_said_unasked(answer)) << tag << " was never asked: " << answer;
      continue;
    }
    ASSERT_EQ(replies.size(), 1U) << tag << " was asked so often";
    // What is wrong inside a reply cannot be known; whose it is can.
    ASSERT_EQ(answer, replies.front().value_or("none")) << tag;
  }
}

class CorruptionTest : public ::testing::Test {
 protected:
  /// What goes `way` is damaged.
  void test(Way way) {
    Damage damage{60};
    Minutes minutes;
    ManglingProxy const proxy{server_, [&](ManglingProxy::Passing const& passing) {
                                auto out = passing.way == way ? damage(passing.bytes)
                                                              : std::string{passing.bytes};
                                minutes.note(passing, out);
                                return std::vector{std::move(out)};
                              }};
    Client redis{proxy.url() + "?command_timeout=150ms&connect_timeout=10s"};
    auto const told = talk(redis, [&] { return damage.is_done(); });
    EXPECT_GT(proxy.connections(), 1) << "nothing was noticed";
    EXPECT_TRUE(eventually([&] {
      try {
        return redis.command("ECHO", "good again").as<std::string>() == "good again";
      } catch (Error const&) {
        return false;  // the last damage may be met only now
      }
    }));
    expect_each_reply_at_its_own_question(told, minutes);
  }

  RedisServer server_{};
};

TEST_F(CorruptionTest, DamagedRepliesAreGivenToNobodyButWhoAsked) { test(Way::to_client); }

TEST_F(CorruptionTest, DamagedRequestsGiveNobodyAForeignReply) { test(Way::to_server); }

TEST(CorruptionOfTlsTest, DamageIsAlwaysNoticedAndNoReplyIsEverWrong) {
  Certificates const certificates;
  auto const signed_by_it = certificates.sign("server", "DNS:localhost");
  RedisServer const server{{.tls = RedisServerTls{signed_by_it.certificate, signed_by_it.key}}};
  Damage damage{30};
  ManglingProxy const proxy{server, [&](ManglingProxy::Passing const& passing) {
                              return std::vector{damage(passing.bytes)};
                            }};
  Client redis{proxy.tls_url() +
               "?command_timeout=1s&connect_timeout=10s&ca=" + certificates.authority()};
  auto const told = talk(redis, [&] { return damage.is_done(); });
  EXPECT_GT(told.size(), 100U) << "nothing tested";
  EXPECT_GT(proxy.connections(), 1) << "nothing was noticed";
  for (auto const& [tag, answer] : told) {
    ASSERT_EQ(answer, std::to_string(static_cast<int>(ReplyKind::text)) + ":" + tag);
  }
}

}  // namespace
}  // namespace tandem
