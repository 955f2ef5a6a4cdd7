#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/core/reply.hpp>

#include "core/hiredis.hpp"

namespace tandem {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

static_assert(!std::is_copy_constructible_v<Reply>, "a reply has one owner");
static_assert(std::is_nothrow_move_constructible_v<Reply>);
static_assert(std::is_nothrow_move_assignable_v<Reply>);
static_assert(!std::is_default_constructible_v<ReplyView>, "a view is always of something");

/// The one reply in `bytes`, as they come over the wire.
Reply parse(std::string_view bytes) {
  std::unique_ptr<redisReader, decltype(&redisReaderFree)> const reader{redisReaderCreate(),
                                                                        &redisReaderFree};
  void* raw = nullptr;
  EXPECT_EQ(redisReaderFeed(reader.get(), bytes.data(), bytes.size()), REDIS_OK);
  EXPECT_EQ(redisReaderGetReply(reader.get(), &raw), REDIS_OK) << reader->errstr;
  if (raw == nullptr) throw std::logic_error{"this is not a whole reply"};
  return Reply{static_cast<redisReply*>(raw)};
}

template <class T>
T read(std::string_view bytes) {
  auto const reply = parse(bytes);
  return reply.as<T>();
}

/// The text with which a shape is refused.
template <class T>
std::string refusal(std::string_view bytes) {
  try {
    (void)read<T>(bytes);
  } catch (ShapeError const& error) {
    return error.what();
  }
  return "accepted";
}

// ---- Kinds ----

TEST(ReplyTest, KindIsWhatIsOnTheWire) {
  EXPECT_EQ(parse("$-1\r\n").kind(), ReplyKind::nil);
  EXPECT_EQ(parse("*-1\r\n").kind(), ReplyKind::nil);
  EXPECT_EQ(parse("_\r\n").kind(), ReplyKind::nil);
  EXPECT_EQ(parse("+OK\r\n").kind(), ReplyKind::status);
  EXPECT_EQ(parse("-ERR no\r\n").kind(), ReplyKind::error);
  EXPECT_EQ(parse(":1\r\n").kind(), ReplyKind::integer);
  EXPECT_EQ(parse(",1.5\r\n").kind(), ReplyKind::real);
  EXPECT_EQ(parse("#t\r\n").kind(), ReplyKind::boolean);
  EXPECT_EQ(parse("$1\r\na\r\n").kind(), ReplyKind::text);
  EXPECT_EQ(parse("=5\r\ntxt:a\r\n").kind(), ReplyKind::text);
  EXPECT_EQ(parse("(12345678901234567890123\r\n").kind(), ReplyKind::text);
  EXPECT_EQ(parse("*1\r\n:1\r\n").kind(), ReplyKind::array);
  EXPECT_EQ(parse("%1\r\n+a\r\n:1\r\n").kind(), ReplyKind::map);
  EXPECT_EQ(parse("~1\r\n:1\r\n").kind(), ReplyKind::set);
  EXPECT_EQ(parse(">1\r\n+a\r\n").kind(), ReplyKind::push);
}

TEST(ReplyTest, NilAndErrorAreAskedForByName) {
  EXPECT_TRUE(parse("_\r\n").is_nil());
  EXPECT_FALSE(parse("_\r\n").is_error());
  EXPECT_TRUE(parse("-ERR\r\n").is_error());
  EXPECT_FALSE(parse("-ERR\r\n").is_nil());
}

TEST(ReplyTest, SizeCountsElementsAndTwiceTheEntriesOfAMap) {
  EXPECT_EQ(parse("*0\r\n").size(), 0U);
  EXPECT_EQ(parse("*2\r\n:1\r\n:2\r\n").size(), 2U);
  EXPECT_EQ(parse("~3\r\n:1\r\n:2\r\n:3\r\n").size(), 3U);
  EXPECT_EQ(parse("%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n").size(), 4U);
  EXPECT_EQ(parse("$2\r\nab\r\n").size(), 0U);
  EXPECT_EQ(parse("_\r\n").size(), 0U);
}

// ---- Text ----

TEST(ReplyTest, TextIsTextAndStatus) {
  EXPECT_EQ(read<std::string>("$5\r\nhello\r\n"), "hello");
  EXPECT_EQ(read<std::string>("$0\r\n\r\n"), "");
  EXPECT_EQ(read<std::string>("$5\r\na\0\r\nb\r\n"s), "a\0\r\nb"s);
  EXPECT_EQ(read<std::string>("+OK\r\n"), "OK");
  EXPECT_EQ(read<std::string>("=8\r\ntxt:abcd\r\n"), "abcd");
  EXPECT_EQ(read<std::string>("(-12345678901234567890123\r\n"), "-12345678901234567890123");
}

TEST(ReplyTest, TextMayBeViewedWhileTheReplyLives) {
  auto const reply = parse("$5\r\nhello\r\n");
  EXPECT_EQ(reply.as<std::string_view>(), "hello");
}

TEST(ReplyTest, NothingElseIsText) {
  EXPECT_THAT(refusal<std::string>(":1\r\n"),
              HasSubstr("text was asked for, the reply is an integer"));
  EXPECT_THAT(refusal<std::string>("_\r\n"), HasSubstr("the reply is nil"));
  EXPECT_THAT(refusal<std::string>("#t\r\n"), HasSubstr("the reply is a boolean"));
  EXPECT_THAT(refusal<std::string>(",1\r\n"), HasSubstr("the reply is a real number"));
  EXPECT_THAT(refusal<std::string>("*2\r\n:1\r\n:2\r\n"),
              HasSubstr("the reply is an array of 2 elements"));
  EXPECT_THAT(refusal<std::string>("*0\r\n"), HasSubstr("the reply is an array"));
}

// ---- Integers ----

TEST(ReplyTest, IntegerIsAnIntegerOrTextThatIsOne) {
  EXPECT_EQ(read<int>(":-7\r\n"), -7);
  EXPECT_EQ(read<long long>("$2\r\n42\r\n"), 42);
  EXPECT_EQ(read<std::int64_t>(":-9223372036854775808\r\n"),
            std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(read<std::int64_t>(":9223372036854775807\r\n"),
            std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(read<std::uint64_t>("$20\r\n18446744073709551615\r\n"),
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(read<std::int64_t>("(123\r\n"), 123);
}

TEST(ReplyTest, EveryWidthIsReadToItsLimits) {
  EXPECT_EQ(read<std::int8_t>(":-128\r\n"), -128);
  EXPECT_EQ(read<std::uint8_t>(":255\r\n"), 255);
  EXPECT_EQ(read<std::int16_t>(":32767\r\n"), 32767);
  EXPECT_EQ(read<std::uint16_t>(":65535\r\n"), 65535);
  EXPECT_EQ(read<std::int32_t>(":-2147483648\r\n"), std::numeric_limits<std::int32_t>::min());
  EXPECT_EQ(read<std::uint32_t>(":4294967295\r\n"), 4294967295U);
}

TEST(ReplyTest, IntegerOutOfRangeIsRefusedWithTheRange) {
  EXPECT_THAT(refusal<std::int8_t>(":128\r\n"),
              HasSubstr("an integer from -128 to 127 was asked for"));
  EXPECT_THAT(refusal<std::int8_t>(":-129\r\n"), HasSubstr("from -128 to 127"));
  EXPECT_THAT(refusal<std::uint8_t>(":256\r\n"), HasSubstr("from 0 to 255"));
  EXPECT_THAT(refusal<std::uint64_t>(":-1\r\n"), HasSubstr("from 0 to 18446744073709551615"));
  EXPECT_THAT(refusal<std::int64_t>("$19\r\n9223372036854775808\r\n"),
              HasSubstr("from -9223372036854775808"));
  EXPECT_THAT(refusal<std::uint64_t>("$20\r\n18446744073709551616\r\n"),
              HasSubstr("to 18446744073709551615"));
}

TEST(ReplyTest, TextThatIsNoIntegerIsRefused) {
  for (auto const* digits : {"", " 1", "1 ", "+1", "0x1", "1.0", "one", "--1"}) {
    auto const bytes =
        "$" + std::to_string(std::string_view{digits}.size()) + "\r\n" + digits + "\r\n";
    EXPECT_THAT(refusal<int>(bytes), HasSubstr("the reply is text of")) << digits;
    EXPECT_THAT(refusal<unsigned>(bytes), HasSubstr("the reply is text of")) << digits;
  }
}

TEST(ReplyTest, NothingElseIsAnInteger) {
  EXPECT_THAT(refusal<int>("+1\r\n"), HasSubstr("the reply is a status"));
  EXPECT_THAT(refusal<int>(",1\r\n"), HasSubstr("the reply is a real number"));
  EXPECT_THAT(refusal<int>("#t\r\n"), HasSubstr("the reply is a boolean"));
  EXPECT_THAT(refusal<int>("_\r\n"), HasSubstr("the reply is nil"));
  EXPECT_THAT(refusal<unsigned>("*0\r\n"), HasSubstr("the reply is an array"));
}

// ---- Real numbers ----

TEST(ReplyTest, RealIsARealAnIntegerOrTextThatIsOne) {
  EXPECT_EQ(read<double>(",3.25\r\n"), 3.25);
  EXPECT_EQ(read<double>(",inf\r\n"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(read<double>(",-inf\r\n"), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(read<double>(",nan\r\n")));
  EXPECT_EQ(read<double>(":-2\r\n"), -2.0);
  EXPECT_EQ(read<double>("$3\r\n0.1\r\n"), 0.1);
  EXPECT_EQ(read<double>("$3\r\ninf\r\n"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(read<double>("$4\r\n-inf\r\n"), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(read<double>("$22\r\n1.7976931348623157e308\r\n"), std::numeric_limits<double>::max());
  EXPECT_EQ(read<float>(",0.5\r\n"), 0.5F);
}

TEST(ReplyTest, NothingElseIsAReal) {
  EXPECT_THAT(refusal<double>("$3\r\n1,5\r\n"),
              HasSubstr("a real number was asked for, the reply is text of 3 bytes"));
  EXPECT_THAT(refusal<double>("$0\r\n\r\n"), HasSubstr("a real number was asked for"));
  EXPECT_THAT(refusal<double>("$5\r\n1e999\r\n"), HasSubstr("a real number was asked for"));
  EXPECT_THAT(refusal<double>("#f\r\n"), HasSubstr("the reply is a boolean"));
  EXPECT_THAT(refusal<double>("+1.5\r\n"), HasSubstr("the reply is a status"));
  EXPECT_THAT(refusal<float>("_\r\n"), HasSubstr("the reply is nil"));
}

TEST(ReplyTest, RealOutOfAFloatsRangeIsRefused) {
  EXPECT_THAT(refusal<float>(",1e300\r\n"), HasSubstr("a real number"));
  EXPECT_EQ(read<float>(",inf\r\n"), std::numeric_limits<float>::infinity());
}

// ---- Booleans ----

TEST(ReplyTest, BooleanIsABooleanZeroOrOne) {
  EXPECT_TRUE(read<bool>("#t\r\n"));
  EXPECT_FALSE(read<bool>("#f\r\n"));
  EXPECT_TRUE(read<bool>(":1\r\n"));
  EXPECT_FALSE(read<bool>(":0\r\n"));
}

TEST(ReplyTest, NothingElseIsABoolean) {
  EXPECT_THAT(refusal<bool>(":2\r\n"),
              HasSubstr("a boolean was asked for, the reply is an integer"));
  EXPECT_THAT(refusal<bool>(":-1\r\n"), HasSubstr("a boolean"));
  EXPECT_THAT(refusal<bool>("$1\r\n1\r\n"), HasSubstr("a boolean"));
  EXPECT_THAT(refusal<bool>("+OK\r\n"), HasSubstr("a boolean"));
  EXPECT_THAT(refusal<bool>("_\r\n"), HasSubstr("a boolean"));
}

// ---- Optional ----

TEST(ReplyTest, OptionalIsEmptyForNilAndElseWhatItHolds) {
  EXPECT_EQ(read<std::optional<std::string>>("$-1\r\n"), std::nullopt);
  EXPECT_EQ(read<std::optional<std::string>>("*-1\r\n"), std::nullopt);
  EXPECT_EQ(read<std::optional<int>>("_\r\n"), std::nullopt);
  EXPECT_EQ(read<std::optional<std::string>>("$0\r\n\r\n"), "");
  EXPECT_EQ(read<std::optional<int>>(":0\r\n"), 0);
  EXPECT_EQ(read<std::optional<std::vector<int>>>("*0\r\n"), std::vector<int>{});
}

TEST(ReplyTest, OptionalOfAnotherShapeIsRefused) {
  EXPECT_THAT(refusal<std::optional<int>>("+OK\r\n"), HasSubstr("an integer"));
}

// ---- Sequences ----

TEST(ReplyTest, VectorIsAnArraySetPushOrMap) {
  EXPECT_THAT(read<std::vector<int>>("*2\r\n:1\r\n$1\r\n2\r\n"), ElementsAre(1, 2));
  EXPECT_THAT(read<std::vector<int>>("~2\r\n:1\r\n:2\r\n"), ElementsAre(1, 2));
  EXPECT_THAT(read<std::vector<std::string>>(">2\r\n+invalidate\r\n$1\r\nk\r\n"),
              ElementsAre("invalidate", "k"));
  EXPECT_THAT(read<std::vector<std::string>>("%1\r\n+k\r\n$1\r\nv\r\n"), ElementsAre("k", "v"));
  EXPECT_THAT(read<std::vector<int>>("*0\r\n"), IsEmpty());
}

TEST(ReplyTest, VectorsNestAndHoldOptionals) {
  EXPECT_THAT(read<std::vector<std::vector<int>>>("*2\r\n*1\r\n:1\r\n*2\r\n:2\r\n:3\r\n"),
              ElementsAre(ElementsAre(1), ElementsAre(2, 3)));
  EXPECT_THAT(read<std::vector<std::optional<std::string>>>("*2\r\n$1\r\na\r\n$-1\r\n"),
              ElementsAre(std::optional{"a"s}, std::nullopt));
  EXPECT_THAT(read<std::vector<bool>>("*2\r\n:1\r\n:0\r\n"), ElementsAre(true, false));
}

TEST(ReplyTest, NothingElseIsAVector) {
  EXPECT_THAT(refusal<std::vector<int>>(":1\r\n"),
              HasSubstr("an array was asked for, the reply is an integer"));
  EXPECT_THAT(refusal<std::vector<int>>("_\r\n"), HasSubstr("the reply is nil"));
  EXPECT_THAT(refusal<std::vector<char>>("$3\r\nabc\r\n"),
              HasSubstr("the reply is text of 3 bytes"));
}

TEST(ReplyTest, ElementOfAnotherShapeIsRefused) {
  EXPECT_THAT(refusal<std::vector<int>>("*2\r\n:1\r\n$1\r\nx\r\n"), HasSubstr("an integer from"));
}

// ---- Pairs ----

TEST(ReplyTest, PairsAreAMapArraysOfTwoOrKeysAndValuesInTurn) {
  using Pairs = std::vector<std::pair<std::string, int>>;
  auto const expected = ElementsAre(Pair("a", 1), Pair("b", 2));
  EXPECT_THAT(read<Pairs>("%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n"), expected);
  EXPECT_THAT(read<Pairs>("*2\r\n*2\r\n$1\r\na\r\n:1\r\n*2\r\n$1\r\nb\r\n:2\r\n"), expected);
  EXPECT_THAT(read<Pairs>("*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n"), expected);
  EXPECT_THAT(read<Pairs>("*0\r\n"), IsEmpty());
  EXPECT_THAT(read<Pairs>("%0\r\n"), IsEmpty());
}

TEST(ReplyTest, MapOfArraysIsPairsOfKeyAndArray) {
  EXPECT_THAT((read<std::vector<std::pair<std::string, std::vector<int>>>>(
                  "%1\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n")),
              ElementsAre(Pair("a", ElementsAre(1, 2))));
  EXPECT_THAT((read<std::vector<std::pair<std::vector<int>, int>>>("%1\r\n*1\r\n:1\r\n:2\r\n")),
              ElementsAre(Pair(ElementsAre(1), 2)));
}

TEST(ReplyTest, PairIsAnArrayOfTwo) {
  EXPECT_THAT((read<std::pair<std::string, int>>("*2\r\n$1\r\na\r\n:1\r\n")), Pair("a", 1));
}

TEST(ReplyTest, PairsThatDoNotComeOutEvenAreRefused) {
  using Pairs = std::vector<std::pair<std::string, int>>;
  EXPECT_THAT(refusal<Pairs>("*3\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n"),
              HasSubstr("pairs was asked for"));
  EXPECT_THAT(refusal<Pairs>("*2\r\n*2\r\n$1\r\na\r\n:1\r\n*1\r\n$1\r\nb\r\n"),
              HasSubstr("a pair was asked for"));
  EXPECT_THAT((refusal<std::pair<int, int>>("*3\r\n:1\r\n:2\r\n:3\r\n")),
              HasSubstr("a pair was asked for"));
  EXPECT_THAT((refusal<std::pair<int, int>>(":1\r\n")), HasSubstr("the reply is an integer"));
}

// ---- Elements ----

TEST(ReplyTest, ElementIsReadInPlace) {
  auto const reply = parse("*2\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n");
  EXPECT_EQ(reply[0].as<int>(), 1);
  EXPECT_EQ(reply[1][0].as<std::string_view>(), "a");
  EXPECT_TRUE(reply[1][1].is_nil());
}

TEST(ReplyTest, ElementThatIsNotThereIsRefused) {
  auto const reply = parse("*1\r\n:1\r\n");
  EXPECT_THROW((void)reply[1], ShapeError);
  EXPECT_THROW((void)reply[std::numeric_limits<std::size_t>::max()], ShapeError);
  EXPECT_THROW((void)reply[0][0], ShapeError);
  EXPECT_THROW((void)parse("*0\r\n")[0], ShapeError);
  EXPECT_THROW((void)parse("_\r\n")[0], ShapeError);
}

TEST(ReplyTest, TakenElementsOutliveTheirReply) {
  auto elements = parse("*3\r\n$1\r\na\r\n-ERR no\r\n*1\r\n:2\r\n").take_elements();
  ASSERT_EQ(elements.size(), 3U);
  EXPECT_EQ(elements[0].as<std::string>(), "a");
  EXPECT_TRUE(elements[1].is_error());
  EXPECT_EQ(elements[2][0].as<int>(), 2);
}

TEST(ReplyTest, TakenElementsOfAMapAreKeysAndValuesInTurn) {
  auto elements = parse("%1\r\n+k\r\n:1\r\n").take_elements();
  ASSERT_EQ(elements.size(), 2U);
  EXPECT_EQ(elements[0].as<std::string>(), "k");
  EXPECT_EQ(elements[1].as<int>(), 1);
}

TEST(ReplyTest, OnlyAnAggregateHasElementsToTake) {
  EXPECT_THAT(parse("*0\r\n").take_elements(), IsEmpty());
  EXPECT_THROW((void)parse("$1\r\na\r\n").take_elements(), ShapeError);
  EXPECT_THROW((void)parse("_\r\n").take_elements(), ShapeError);
  EXPECT_THROW((void)parse("-ERR no\r\n").take_elements(), ServerError);
}

// ---- Errors ----

TEST(ReplyTest, ErrorThrowsItselfWhateverIsAskedFor) {
  auto const reply = parse("-WRONGTYPE Operation against\r\n");
  EXPECT_THROW((void)reply.as<std::string>(), ServerError);
  EXPECT_THROW((void)reply.as<std::string_view>(), ServerError);
  EXPECT_THROW((void)reply.as<int>(), ServerError);
  EXPECT_THROW((void)reply.as<unsigned>(), ServerError);
  EXPECT_THROW((void)reply.as<double>(), ServerError);
  EXPECT_THROW((void)reply.as<bool>(), ServerError);
  EXPECT_THROW((void)reply.as<std::optional<int>>(), ServerError);
  EXPECT_THROW((void)reply.as<std::vector<int>>(), ServerError);
  EXPECT_THROW((void)(reply.as<std::pair<int, int>>()), ServerError);
  EXPECT_THROW((void)(reply.as<std::vector<std::pair<int, int>>>()), ServerError);
  EXPECT_THROW((void)reply[0], ServerError);
}

TEST(ReplyTest, ErrorHasItsTextAndCode) {
  auto const reply = parse("-WRONGTYPE Operation against\r\n");
  EXPECT_EQ(reply.error_text(), "WRONGTYPE Operation against");
  try {
    reply.throw_if_error("HSET on stock");
    FAIL() << "it did not throw";
  } catch (ServerError const& error) {
    EXPECT_EQ(error.code(), "WRONGTYPE");
    EXPECT_STREQ(error.what(), "HSET on stock: WRONGTYPE Operation against");
  }
}

TEST(ReplyTest, OtherRepliesHaveNoErrorText) {
  EXPECT_EQ(parse("+ERR not really\r\n").error_text(), "");
  EXPECT_NO_THROW(parse("+ERR not really\r\n").throw_if_error());
}

TEST(ReplyTest, ErrorInsideAnArrayIsThrownWhereItIsRead) {
  auto const reply = parse("*2\r\n:1\r\n-OOM command not allowed\r\n");
  EXPECT_NO_THROW(reply.throw_if_error());
  EXPECT_EQ(reply[0].as<int>(), 1);
  EXPECT_THROW((void)reply[1].as<int>(), ServerError);
  EXPECT_THROW((void)reply.as<std::vector<int>>(), ServerError);
  EXPECT_THROW((void)(reply.as<std::pair<int, int>>()), ServerError);
  EXPECT_THROW((void)reply.as<std::vector<std::optional<int>>>(), ServerError);
}

// ---- Ownership ----

TEST(ReplyTest, MovedReplyIsWhole) {
  auto first = parse("*1\r\n$1\r\na\r\n");
  auto second = std::move(first);
  EXPECT_EQ(second[0].as<std::string>(), "a");
}

TEST(ReplyTest, MovedFromReplyMayBeAssignedTo) {
  auto first = parse("$1\r\na\r\n");
  auto const second = std::move(first);
  first = parse("$1\r\nb\r\n");
  EXPECT_EQ(first.as<std::string>(), "b");
  EXPECT_EQ(second.as<std::string>(), "a");
}

}  // namespace
}  // namespace tandem
