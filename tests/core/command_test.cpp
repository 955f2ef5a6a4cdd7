#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/core/command.hpp>

namespace tandem {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

static_assert(!std::is_constructible_v<Argument, bool>, "Redis has no booleans");
static_assert(!std::is_constructible_v<Argument, char>, "a letter or a number?");
static_assert(!std::is_constructible_v<Argument, std::nullptr_t>);
static_assert(std::is_nothrow_constructible_v<Argument, double>);

std::string_view text(Argument const& argument) { return argument.bytes(); }

template <class... Words>
std::string resp(Words const&... words) {
  Argument const list[] = {Argument(words)...};
  CommandBuffer out;
  out.add(list);
  return std::string{out.bytes()};
}

template <class Number>
void expect_limits(std::string_view least, std::string_view most) {
  EXPECT_EQ(text(std::numeric_limits<Number>::min()), least);
  EXPECT_EQ(text(std::numeric_limits<Number>::max()), most);
}

// ---- Words ----

TEST(CommandTest, EveryWidthOfIntegerIsWrittenToItsLimits) {
  expect_limits<std::int8_t>("-128", "127");
  expect_limits<std::int16_t>("-32768", "32767");
  expect_limits<std::int32_t>("-2147483648", "2147483647");
  expect_limits<std::int64_t>("-9223372036854775808", "9223372036854775807");
  expect_limits<std::uint8_t>("0", "255");
  expect_limits<std::uint16_t>("0", "65535");
  expect_limits<std::uint32_t>("0", "4294967295");
  expect_limits<std::uint64_t>("0", "18446744073709551615");
  expect_limits<long>("-9223372036854775808", "9223372036854775807");
  expect_limits<unsigned long long>("0", "18446744073709551615");
}

TEST(CommandTest, RealNumberIsTheShortestTextThatReadsBack) {
  EXPECT_EQ(text(0.1), "0.1");
  EXPECT_EQ(text(-2.5), "-2.5");
  EXPECT_EQ(text(3.0), "3");
  EXPECT_EQ(text(0.0), "0");
  EXPECT_EQ(text(-0.0), "-0");
  EXPECT_EQ(text(1e300), "1e+300");
  EXPECT_EQ(text(0.5F), "0.5");
}

TEST(CommandTest, RealNumbersReadBackAsTheSame) {
  for (double const number :
       {1.0 / 3, 0.1 + 0.2, 5e-324, std::numeric_limits<double>::max(),
        std::numeric_limits<double>::lowest(), std::numeric_limits<double>::min(),
        -1.2345678901234567e-308, 9007199254740993.0}) {
    Argument const argument{number};
    EXPECT_EQ(std::strtod(std::string{argument.bytes()}.c_str(), nullptr), number)
        << argument.bytes();
  }
}

TEST(CommandTest, InfinityIsWrittenAsRedisReadsIt) {
  EXPECT_EQ(text(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_EQ(text(-std::numeric_limits<double>::infinity()), "-inf");
}

TEST(CommandTest, TextIsTakenAsItIs) {
  EXPECT_EQ(text("plain"), "plain");
  EXPECT_EQ(text("text of its own"s), "text of its own");
  EXPECT_EQ(text("a\0b\r\n\xff"sv), "a\0b\r\n\xff"sv);
  EXPECT_EQ(text(""), "");
  EXPECT_EQ(text(std::string_view{}), "");
}

TEST(CommandTest, TextIsReferredToNotCopied) {
  std::string const word = "word";
  EXPECT_EQ(text(word).data(), word.data());
}

TEST(CommandTest, CopyOfANumberIsItsOwn) {
  std::vector<Argument> arguments{Argument{1}};
  auto const copy = arguments.front();
  arguments.clear();
  EXPECT_EQ(copy.bytes(), "1");
}

// ---- Commands ----

TEST(CommandTest, CommandIsAnArrayOfBulkStrings) {
  EXPECT_EQ(resp("SET", "k", "v", "PX", 1500),
            "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nPX\r\n$4\r\n1500\r\n");
}

TEST(CommandTest, EmptyWordHasLengthZero) {
  EXPECT_EQ(resp("ECHO", ""), "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n");
}

TEST(CommandTest, BytesPassUnchanged) {
  EXPECT_EQ(resp("ECHO", "a\0\r\n$1\xff"sv), "*2\r\n$4\r\nECHO\r\n$7\r\na\0\r\n$1\xff\r\n"s);
}

TEST(CommandTest, WordOfManyMebibytesHasItsLength) {
  std::string const word(16 << 20, 'x');
  auto const bytes = resp("ECHO", word);
  EXPECT_EQ(bytes.substr(0, 25), "*2\r\n$4\r\nECHO\r\n$16777216\r\n");
  EXPECT_EQ(bytes.size(), 25 + word.size() + 2);
}

TEST(CommandTest, CommandsFollowOneAnother) {
  CommandBuffer buffer;
  EXPECT_EQ(buffer.count(), 0U);
  buffer.add(std::initializer_list<Argument>{"PING"});
  buffer.add(std::initializer_list<Argument>{"GET", "k"});
  EXPECT_EQ(buffer.bytes(), "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
  EXPECT_EQ(buffer.count(), 2U);
}

TEST(CommandTest, CommandMayBeWrittenWordByWord) {
  CommandBuffer buffer;
  buffer.begin(2);
  buffer.word("GET");
  buffer.word("k");
  EXPECT_EQ(buffer.bytes(), resp("GET", "k"));
  EXPECT_EQ(buffer.count(), 1U);
}

TEST(CommandTest, AppendTakesAllCommandsOfTheOther) {
  CommandBuffer first;
  first.add(std::initializer_list<Argument>{"PING"});
  CommandBuffer second;
  second.add(std::initializer_list<Argument>{"GET", "a"});
  second.add(std::initializer_list<Argument>{"GET", "b"});
  first.append(second);
  EXPECT_EQ(first.bytes(), resp("PING") + resp("GET", "a") + resp("GET", "b"));
  EXPECT_EQ(first.count(), 3U);
}

TEST(CommandTest, ClearedBufferIsEmpty) {
  CommandBuffer buffer;
  buffer.add(std::initializer_list<Argument>{"PING"});
  buffer.clear();
  EXPECT_EQ(buffer.bytes(), "");
  EXPECT_EQ(buffer.count(), 0U);
}

TEST(CommandTest, CommandWithoutANameIsRefused) {
  CommandBuffer buffer;
  EXPECT_THROW(buffer.add({}), std::invalid_argument);
  EXPECT_EQ(buffer.bytes(), "");
  EXPECT_EQ(buffer.count(), 0U);
}

// ---- What it may do to others on its connection ----

CommandBuffer commands(std::initializer_list<std::vector<std::string>> list) {
  CommandBuffer out;
  for (auto const& words : list) {
    out.add(std::vector<Argument>(words.begin(), words.end()));
  }
  return out;
}

TEST(CommandBufferTest, KnowsWhatWouldChangeTheConnection) {
  for (char const* name :
       {"AUTH",       "HELLO",        "SELECT",     "RESET",        "QUIT",      "MONITOR",
        "WATCH",      "UNWATCH",      "EXEC",       "DISCARD",      "SUBSCRIBE", "UNSUBSCRIBE",
        "SSUBSCRIBE", "SUNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "READONLY",  "READWRITE",
        "ASKING",     "SYNC",         "PSYNC",      "REPLCONF"}) {
    EXPECT_EQ(commands({{name, "x"}}).changes_connection(), name);
    EXPECT_EQ(commands({{"PING"}, {name}, {"GET", "k"}}).changes_connection(), name);
  }
  EXPECT_EQ(commands({{"select", "1"}}).changes_connection(), "SELECT");
  EXPECT_EQ(commands({{"Client", "reply", "OFF"}}).changes_connection(), "CLIENT REPLY");
  EXPECT_EQ(commands({{"CLIENT", "TRACKING", "ON"}}).changes_connection(), "CLIENT TRACKING");
  EXPECT_EQ(commands({{"SCRIPT", "DEBUG", "YES"}}).changes_connection(), "SCRIPT DEBUG");
}

TEST(CommandBufferTest, KnowsWhatLeavesTheConnectionAsItWas) {
  EXPECT_EQ(commands({{"GET", "SELECT"}, {"SET", "AUTH", "QUIT"}, {"CLIENT"}}).changes_connection(),
            "");
  EXPECT_EQ(commands({{"CLIENT", "ID"}, {"CLIENT", "LIST"}, {"CLIENT", "KILL", "REPLY"}})
                .changes_connection(),
            "");
  EXPECT_EQ(commands({{"SCRIPT", "LOAD", "DEBUG"}, {"DEBUG", "SLEEP"}}).changes_connection(), "");
}

TEST(CommandBufferTest, KnowsWhatMayBlock) {
  EXPECT_TRUE(commands({{"BLPOP", "k", "0"}}).may_block());
  EXPECT_TRUE(commands({{"GET", "k"}, {"wait", "1", "0"}}).may_block());
  EXPECT_TRUE(commands({{"XREAD", "COUNT", "1", "block", "0", "STREAMS", "s", "$"}}).may_block());
  EXPECT_TRUE(
      commands({{"XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">"}}).may_block());
  EXPECT_FALSE(commands({{"XREAD", "STREAMS", "BLOCK", "0"}}).may_block());
  EXPECT_FALSE(commands({{"XREAD", "COUNT", "1"}, {"GET", "BLOCK"}}).may_block());
  EXPECT_FALSE(commands({{"LPOP", "BLPOP"}}).may_block());
}

TEST(CommandBufferTest, TransactionInOnePieceLeavesTheConnectionAsItWas) {
  EXPECT_EQ(commands({{"MULTI"}, {"INCR", "a"}, {"EXEC"}}).changes_connection(), "");
  EXPECT_EQ(commands({{"MULTI"}, {"DISCARD"}, {"MULTI"}, {"EXEC"}}).changes_connection(), "");
  EXPECT_EQ(commands({{"MULTI"}, {"INCR", "a"}}).changes_connection(), "MULTI without EXEC");
  EXPECT_EQ(commands({{"MULTI"}, {"EXEC"}, {"EXEC"}}).changes_connection(), "EXEC");
  EXPECT_EQ(commands({{"MULTI"}, {"EXEC", "junk"}}).changes_connection(), "EXEC")
      << "it fails, and leaves MULTI open";
  auto buffer = commands({{"MULTI"}});
  buffer.append(commands({{"PING"}}));
  EXPECT_EQ(buffer.changes_connection(), "MULTI without EXEC");
  buffer.clear();
  EXPECT_EQ(buffer.changes_connection(), "");
}

}  // namespace
}  // namespace tandem
