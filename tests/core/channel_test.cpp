#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/core/channel.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

namespace tandem::detail {
namespace {

Script const script{"return {KEYS, ARGV}"};

std::string resp(std::vector<std::string> const& words) {
  CommandBuffer out;
  out.begin(words.size());
  for (auto const& word : words) out.word(word);
  return std::string{out.bytes()};
}

TEST(ChannelTest, ScriptIsItsSha1OrItsSourceThenCountedKeysThenArguments) {
  std::vector<std::string_view> const keys{"k1", "k2"};
  std::vector<Argument> const arguments{"a", 1};
  CommandBuffer by_sha1;
  add_script(by_sha1, script, true, keys, arguments);
  EXPECT_EQ(by_sha1.bytes(),
            resp({"EVALSHA", std::string{script.sha1()}, "2", "k1", "k2", "a", "1"}));
  CommandBuffer in_full;
  add_script(in_full, script, false, keys, arguments);
  EXPECT_EQ(in_full.bytes(),
            resp({"EVAL", std::string{script.source()}, "2", "k1", "k2", "a", "1"}));
}

TEST(ChannelTest, ScriptMayHaveNeitherKeysNorArguments) {
  CommandBuffer out;
  add_script(out, script, true, {}, {});
  EXPECT_EQ(out.bytes(), resp({"EVALSHA", std::string{script.sha1()}, "0"}));
  EXPECT_EQ(out.count(), 1U);
}

TEST(ChannelTest, OnlyTheServersOwnWordMeansThatItDoesNotKnowAScript) {
  testing::RedisServer const server;
  Connection wire{server.url()};
  auto const replies = wire.pipeline()
                           .command("EVALSHA", script.sha1(), 0)
                           .command("EVAL", "return redis.error_reply('NOSCRIPTING here')", 0)
                           .command("EVAL", "return 'NOSCRIPT as text'", 0)
                           .command("GET", "NOSCRIPT")
                           .execute();
  EXPECT_TRUE(is_unknown_script(replies[0]));
  for (std::size_t i = 1; i < replies.size(); ++i) EXPECT_FALSE(is_unknown_script(replies[i])) << i;
}

}  // namespace
}  // namespace tandem::detail
