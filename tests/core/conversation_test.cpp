#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/core/conversation.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

static_assert(!std::is_constructible_v<Conversation, std::shared_ptr<detail::Channel>>,
              "only a Client or a Connection can be talked to");

template <class Speaker>
class ConversationTest : public ::testing::Test {
 protected:
  std::string refusal(std::vector<std::string> const& words) {
    std::vector<Argument> const arguments{words.begin(), words.end()};
    try {
      (void)speaker_.execute(arguments);
    } catch (ServerError const& error) {
      return error.what();
    }
    return "accepted";
  }

  testing::RedisServer server_{};
  support::FaultProxy proxy_{server_};
  Speaker speaker_{proxy_.url()};
};

struct Speakers {
  template <class Speaker>
  // GoogleTest asks by this name. NOLINTNEXTLINE(readability-identifier-naming)
  static std::string GetName(int /*index*/) {
    return std::is_same_v<Speaker, Client> ? "Client" : "Connection";
  }
};
using BothSpeakers = ::testing::Types<Client, Connection>;
TYPED_TEST_SUITE(ConversationTest, BothSpeakers, Speakers);

TYPED_TEST(ConversationTest, WordsAreTextAndNumbers) {
  std::string const text = "owned";
  auto& redis = this->speaker_;
  EXPECT_EQ(redis.command("RPUSH", "list", "literal", text, std::string_view{"view"}, -1, 2U, 2.5)
                .template as<int>(),
            6);
  EXPECT_EQ(redis.command("LRANGE", "list", 0, -1).template as<std::vector<std::string>>(),
            (std::vector<std::string>{"literal", "owned", "view", "-1", "2", "2.5"}));
}

TYPED_TEST(ConversationTest, NumberOfWordsMayBeKnownOnlyAtRunTime) {
  std::vector<Argument> const words{"RPUSH", "list", 1, 2, 3};
  EXPECT_EQ(this->speaker_.execute(words).template as<int>(), 3);
}

TYPED_TEST(ConversationTest, CommandWithoutANameIsRefusedUnsent) {
  EXPECT_THROW((void)this->speaker_.execute(std::span<Argument const>{}), std::invalid_argument);
}

TYPED_TEST(ConversationTest, CommandIsOneRoundTrip) {
  this->speaker_.command("PING");
  auto const before = this->proxy_.round_trips();
  for (int i = 0; i < 5; ++i) this->speaker_.command("INCR", "n");
  EXPECT_EQ(this->proxy_.round_trips() - before, 5);
}

TYPED_TEST(ConversationTest, ErrorReplyIsThrownWithCommandAndKey) {
  this->speaker_.command("SET", "text", "secret value");
  EXPECT_THAT(this->refusal({"HSET", "text", "field", "another secret"}),
              AllOf(HasSubstr("HSET on text: WRONGTYPE"), Not(HasSubstr("secret"))));
  EXPECT_THAT(this->refusal({"PING", "too", "many"}), HasSubstr("PING on too: ERR wrong number"));
  EXPECT_THAT(this->refusal({"NONSENSE", "x"}), HasSubstr("NONSENSE on x: ERR"));
}

TYPED_TEST(ConversationTest, LongKeyIsCutInTheText) {
  std::string const key(1 << 20, 'k');
  this->speaker_.command("SET", key, "x");
  EXPECT_LT(this->refusal({"INCR", key}).size(), 200U);
}

TYPED_TEST(ConversationTest, PasswordIsNotShownWhereAKeyWouldBe) {
  if (std::is_same_v<TypeParam, Client>) {
    try {
      this->speaker_.command("AUTH", "hunter2");
      ADD_FAILURE() << "it would be somebody else for all threads";
    } catch (std::invalid_argument const& refusal) {
      EXPECT_THAT(refusal.what(), AllOf(HasSubstr("AUTH"), Not(HasSubstr("hunter2"))));
    }
    return;
  }
  EXPECT_THAT(this->refusal({"AUTH", "hunter2"}),
              AllOf(HasSubstr("AUTH: "), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(this->refusal({"auth", "hunter2"}),
              AllOf(HasSubstr("auth: "), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(this->refusal({"AUTH", "user", "hunter2"}),
              AllOf(HasSubstr("WRONGPASS"), Not(HasSubstr("hunter2"))));
}

TYPED_TEST(ConversationTest, ScriptTakesKeysAndArguments) {
  Script const sum{"return ARGV[1] + ARGV[2] + #KEYS"};
  EXPECT_EQ(this->speaker_.run(sum, {"a", "b", "c"}, 4, 5).template as<int>(), 12);
}

TYPED_TEST(ConversationTest, OptionsAreThoseItWasMadeWith) {
  EXPECT_EQ("unix://" + this->speaker_.options().unix_socket, this->proxy_.url());
}

}  // namespace
}  // namespace tandem
