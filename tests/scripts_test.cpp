#include "scripts.hpp"

#include <cstddef>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

namespace tandem {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

/// The parts of `text` between commas that stand in no bracket and no quotes.
std::vector<std::string> split(std::string const& text) {
  std::vector<std::string> out(1);
  int depth = 0;
  char quote = 0;
  for (char const c : text) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '(' || c == '[' || c == '{') {
      ++depth;
    } else if (c == ')' || c == ']' || c == '}') {
      if (--depth < 0) break;  // the end of the call
    } else if (c == ',' && depth == 0) {
      out.emplace_back();
      continue;
    }
    if (quote != 0 || c != ' ' || !out.back().empty()) out.back() += c;
  }
  for (auto& part : out) part.erase(part.find_last_not_of(" \n") + 1);
  return out;
}

/// Which of a command's arguments are keys: so many from the first on.
std::size_t keys_of(std::string const& command, std::size_t arguments) {
  static std::set<std::string> const none{"'TIME'", "'PUBLISH'", "'SPUBLISH'"};
  static std::set<std::string> const two{"'RENAME'", "'RENAMENX'", "'COPY'",
                                         "'LMOVE'",  "'SMOVE'",    "'RPOPLPUSH'"};
  static std::set<std::string> const all{"'DEL'", "'UNLINK'", "'EXISTS'", "'MGET'", "'TOUCH'"};
  if (none.contains(command)) return 0;
  if (two.contains(command)) return 2;
  return all.contains(command) ? arguments : 1;
}

/// Where the first of them stands.
std::size_t first_key_of(std::vector<std::string> const& words) {
  if (words[0] == "'XGROUP'") return 2;
  if (words[0] == "'XREADGROUP'") return words.size() - 2;  // of one stream
  return 1;
}

/// The calls of a script that name a key by anything but KEYS, or a local variable that is one of
/// KEYS: where keys are made of other texts, a cluster cannot tell where the script belongs.
std::vector<std::string> strange_keys(std::string_view source) {
  auto const body = std::regex_replace(std::string{source}, std::regex{"--[^\n]*"}, "");
  std::regex const one_of_keys{R"(KEYS\[[\w +]+\]|unpack\(KEYS\))"};

  std::set<std::string> names;
  std::regex const binding{R"(local ([\w, ]+)=([^\n]*))"};
  for (std::sregex_iterator at{body.begin(), body.end(), binding}, end; at != end; ++at) {
    auto const left = split((*at)[1]);
    auto const right = split((*at)[2]);
    for (std::size_t i = 0; i < left.size() && i < right.size(); ++i) {
      if (std::regex_match(right[i], one_of_keys)) names.insert(left[i]);
    }
    if (right == std::vector<std::string>{"unpack(KEYS)"}) names.insert(left.begin(), left.end());
  }

  std::vector<std::string> out;
  std::regex const call{R"(redis\.p?call\()"};
  for (std::sregex_iterator at{body.begin(), body.end(), call}, end; at != end; ++at) {
    auto const words = split(at->suffix());
    bool strange =
        words[0].find_first_of("'\"") != 0;  // a command that is computed may be anything
    auto const first = first_key_of(words);
    for (std::size_t i = first; i < first + keys_of(words[0], words.size() - 1); ++i) {
      strange = strange || i >= words.size() ||
                !(names.contains(words[i]) || std::regex_match(words[i], one_of_keys));
    }
    if (strange) out.push_back(at->str() + at->suffix().str().substr(0, 40));
  }
  return out;
}

TEST(ScriptsTest, EverySha1IsTheOneTheServerKnowsItBy) {
  testing::RedisServer const server;
  Connection wire{server.url()};
  for (auto const& each : scripts::all) {
    EXPECT_EQ(wire.command("SCRIPT", "LOAD", each.script.source()).as<std::string>(),
              each.script.sha1())
        << each.name;
  }
}

TEST(ScriptsTest, EveryNameIsItsOwn) {
  std::set<std::string_view> names;
  std::set<std::string_view> sums;
  for (auto const& each : scripts::all) {
    EXPECT_TRUE(names.insert(each.name).second) << each.name;
    EXPECT_TRUE(sums.insert(each.script.sha1()).second) << each.name;
  }
}

TEST(ScriptsTest, NoneNamesAKeyOutsideKeysButThoseThatSaySo) {
  for (auto const& each : scripts::all) {
    bool const says_so = each.script.source().find("\n-- beyond: KEYS, ") != std::string_view::npos;
    EXPECT_THAT(strange_keys(each.script.source()), SizeIs(says_so ? 1 : 0)) << each.name;
  }
}

TEST(ScriptsTest, KeyOutsideKeysIsNoticed) {
  EXPECT_THAT(strange_keys("redis.call('GET', 'literal')"), SizeIs(1));
  EXPECT_THAT(strange_keys("redis.pcall('GET', ARGV[1])"), SizeIs(1));
  EXPECT_THAT(strange_keys("redis.call('GET', KEYS[1] .. ':more')"), SizeIs(1));
  EXPECT_THAT(strange_keys("local key = KEYS[1] .. ':more'\nredis.call('GET', key)"), SizeIs(1));
  EXPECT_THAT(strange_keys("local token, key = ARGV[1], KEYS[1]\nredis.call('GET', token)"),
              SizeIs(1));
  EXPECT_THAT(strange_keys("redis.call('RENAME', KEYS[1], KEYS[1] .. ':last')"), SizeIs(1));
  EXPECT_THAT(strange_keys("redis.call('DEL', KEYS[1], KEYS[2], 'third')"), SizeIs(1));
  EXPECT_THAT(strange_keys("redis.call(ARGV[1], KEYS[1])"), SizeIs(1));
  EXPECT_THAT(strange_keys("return redis.call('SET', KEYS[1], redis.call('GET', 'inner'))"),
              SizeIs(1));
  EXPECT_THAT(strange_keys("redis.call('GET')"), SizeIs(1));
  EXPECT_THAT(strange_keys("local a, b = unpack(ARGV) redis.call('GET', b)"), SizeIs(1));
  EXPECT_THAT(strange_keys("redis.call('XGROUP', 'CREATE', ARGV[1], 'group', 0)"), SizeIs(1));
  EXPECT_THAT(strange_keys("redis.call('XREADGROUP', 'GROUP', 'a', KEYS[1], 'STREAMS', 'x', '>')"),
              SizeIs(1));
}

TEST(ScriptsTest, KeyOutOfKeysIsFine) {
  EXPECT_THAT(strange_keys("redis.call('SET', KEYS[1], 'a, (b) ]', 'PX', ARGV[1])"), IsEmpty());
  EXPECT_THAT(strange_keys("local key, token = KEYS[1], ARGV[1]\nredis.call('GET', key)"),
              IsEmpty());
  EXPECT_THAT(strange_keys("for i = 1, #KEYS do redis.pcall('GET', KEYS[i]) end"), IsEmpty());
  EXPECT_THAT(
      strange_keys(
          "redis.call('UNLINK', unpack(KEYS)) redis.call('TIME') -- redis.call('GET', 'x')"),
      IsEmpty());
  EXPECT_THAT(strange_keys("redis.call('PUBLISH', 'channel', ARGV[1])"), IsEmpty());
  EXPECT_THAT(strange_keys("local a, b = unpack(KEYS)\nredis.call('GET', b)"), IsEmpty());
  EXPECT_THAT(strange_keys("redis.call('XGROUP', 'CREATE', KEYS[i], 'group', 0)"), IsEmpty());
  EXPECT_THAT(strange_keys("redis.call('XREADGROUP', 'GROUP', 'a', 'b', 'STREAMS', KEYS[1], '>')"),
              IsEmpty());
}

}  // namespace
}  // namespace tandem
