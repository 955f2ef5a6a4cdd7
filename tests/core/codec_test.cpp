#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/core/codec.hpp>

namespace codec_test {

enum class Level : std::uint8_t { low, high = 200 };
enum class Signed : std::int64_t { least = std::numeric_limits<std::int64_t>::min(), none = 0 };
enum class Letter : char { a = 'a' };
enum class Flag : bool { off, on };
enum Plain : int { plain_one = 1 };

struct Price {
  std::string currency;
  std::int64_t cents;
  bool operator==(Price const&) const = default;
};

struct Unknown {};

}  // namespace codec_test

template <>
struct tandem::Codec<codec_test::Price> {
  static std::string encode(codec_test::Price const& price) {
    return price.currency + " " + Codec<std::int64_t>::encode(price.cents);
  }
  static codec_test::Price decode(std::string_view bytes) {
    if (bytes.size() < 5 || bytes[3] != ' ') throw CodecError{"a price was wanted"};
    return {std::string{bytes.substr(0, 3)}, Codec<std::int64_t>::decode(bytes.substr(4))};
  }
};

namespace tandem {
namespace {

using namespace codec_test;
using namespace std::string_literals;
using namespace std::string_view_literals;

static_assert(Encodable<Price> && Decodable<Price>);
static_assert(!Encodable<Unknown> && !Encodable<std::vector<Unknown>> &&
              !Encodable<std::pair<int, Unknown>>);
static_assert(!Encodable<char> && !Encodable<wchar_t> && !Encodable<char8_t>,
              "a letter or a number?");
static_assert(!Encodable<long double>, "it has no portable text");
static_assert(!Encodable<char const*> && !Encodable<int*>);
static_assert(Encodable<std::string_view> && !Decodable<std::string_view>,
              "there is nothing to refer to");
static_assert(Encodable<std::vector<std::string_view>> &&
              !Decodable<std::vector<std::string_view>>);

template <class T>
std::string encode(T const& value) {
  return Codec<T>::encode(value);
}

template <class T>
T there_and_back(T const& value) {
  return Codec<T>::decode(encode(value));
}

/// The text of the CodecError that decoding `bytes` throws; "none" when it does not.
template <class T>
std::string refusal(std::string_view bytes) {
  try {
    (void)Codec<T>::decode(bytes);
  } catch (CodecError const& error) {
    return error.what();
  }
  return "none";
}

// ---- Integers ----

template <class Number>
void expect_whole_range() {
  using Limits = std::numeric_limits<Number>;
  EXPECT_EQ(encode(Limits::min()), std::to_string(Limits::min()));
  EXPECT_EQ(encode(Limits::max()), std::to_string(Limits::max()));
  for (Number const number : {Limits::min(), Number{0}, Number{1}, Limits::max()}) {
    EXPECT_EQ(there_and_back(number), number);
  }
  // One more than the most, one less than the least: a digit more does for both.
  EXPECT_NE(refusal<Number>(std::to_string(Limits::max()) + "0"), "none");
  EXPECT_NE(refusal<Number>("-" + std::to_string(Limits::max()) + "0"), "none");
}

TEST(CodecTest, IntegerOfEveryWidthIsDecimalTextAndReadsBack) {
  expect_whole_range<std::int8_t>();
  expect_whole_range<std::int16_t>();
  expect_whole_range<std::int32_t>();
  expect_whole_range<std::int64_t>();
  expect_whole_range<std::uint8_t>();
  expect_whole_range<std::uint16_t>();
  expect_whole_range<std::uint32_t>();
  expect_whole_range<std::uint64_t>();
  expect_whole_range<long>();
  expect_whole_range<unsigned long long>();
}

TEST(CodecTest, IntegerThatTheTypeCannotHoldIsRefused) {
  EXPECT_NE(refusal<std::int8_t>("128"), "none");
  EXPECT_NE(refusal<std::int8_t>("-129"), "none");
  EXPECT_NE(refusal<std::uint8_t>("256"), "none");
  EXPECT_NE(refusal<std::uint8_t>("-1"), "none");
  EXPECT_NE(refusal<std::int32_t>("2147483648"), "none");
  EXPECT_NE(refusal<std::int64_t>("9223372036854775808"), "none");
  EXPECT_NE(refusal<std::int64_t>("-9223372036854775809"), "none");
  EXPECT_NE(refusal<std::uint64_t>("18446744073709551616"), "none");
  EXPECT_NE(refusal<std::uint64_t>("-1"), "none");
}

TEST(CodecTest, TextThatIsNotWhollyAnIntegerIsRefused) {
  for (auto const text :
       {""sv, " 1"sv, "1 "sv, "+1"sv, "1.0"sv, "0x1"sv, "1\0"sv, "\0"sv, "-"sv, "1e3"sv, "one"sv}) {
    EXPECT_NE(refusal<std::int64_t>(text), "none") << text;
    EXPECT_NE(refusal<std::uint16_t>(text), "none") << text;
  }
}

// ---- Floating point ----

template <class Number>
void expect_edges() {
  using Limits = std::numeric_limits<Number>;
  for (Number const number :
       {Number{0}, Number{1}, Limits::min(), Limits::denorm_min(), Limits::max(), Limits::lowest(),
        Limits::epsilon(), Limits::infinity(), -Limits::infinity()}) {
    EXPECT_EQ(there_and_back(number), number);
    EXPECT_EQ(there_and_back(-number), -number);
  }
  EXPECT_TRUE(std::signbit(there_and_back(-Number{0})));
  EXPECT_TRUE(std::isnan(there_and_back(Limits::quiet_NaN())));
}

TEST(CodecTest, RealNumberIsTheShortestTextThatReadsBack) {
  EXPECT_EQ(encode(0.1), "0.1");
  EXPECT_EQ(encode(0.1F), "0.1");
  EXPECT_EQ(encode(-2.5), "-2.5");
  EXPECT_EQ(encode(1e300), "1e+300");
  EXPECT_EQ(encode(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_EQ(encode(std::numeric_limits<double>::quiet_NaN()), "nan");
  expect_edges<double>();
  expect_edges<float>();
}

TEST(CodecTest, RandomDoublesReadBackToTheBit) {
  std::mt19937_64 random{42};
  for (int i = 0; i < 20'000; ++i) {
    auto const bits = random();
    auto const number = std::bit_cast<double>(bits);
    if (std::isnan(number)) continue;
    EXPECT_EQ(std::bit_cast<std::uint64_t>(there_and_back(number)), bits);
    auto const small = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (std::isnan(small)) continue;
    EXPECT_EQ(there_and_back(small), small);
  }
}

TEST(CodecTest, TextThatIsNoSuchRealNumberIsRefused) {
  for (auto const text :
       {""sv, " 1"sv, "1 "sv, "1,5"sv, "+1"sv, "0x1p3"sv, "1e999"sv, "1.5\0"sv, "x"sv}) {
    EXPECT_NE(refusal<double>(text), "none") << text;
  }
  EXPECT_NE(refusal<float>("1e300"), "none");
}

// ---- bool and enumerations ----

TEST(CodecTest, BoolIsOneOrZeroAndNothingElse) {
  EXPECT_EQ(encode(true), "1");
  EXPECT_EQ(encode(false), "0");
  EXPECT_TRUE(Codec<bool>::decode("1"));
  EXPECT_FALSE(Codec<bool>::decode("0"));
  for (auto const text : {""sv, "2"sv, "true"sv, "-1"sv})
    EXPECT_NE(refusal<bool>(text), "none") << text;
}

TEST(CodecTest, EnumerationIsItsNumber) {
  EXPECT_EQ(encode(Level::high), "200");
  EXPECT_EQ(encode(Signed::least), "-9223372036854775808");
  EXPECT_EQ(encode(Letter::a), "97");
  EXPECT_EQ(encode(Flag::on), "1");
  EXPECT_EQ(encode(plain_one), "1");
  EXPECT_EQ(encode(std::byte{7}), "7");
  EXPECT_EQ(there_and_back(Level::high), Level::high);
  EXPECT_EQ(there_and_back(Signed::least), Signed::least);
  EXPECT_EQ(there_and_back(Letter::a), Letter::a);
  EXPECT_EQ(there_and_back(Flag::on), Flag::on);
  EXPECT_NE(refusal<Level>("256"), "none");
  EXPECT_NE(refusal<Flag>("2"), "none");
  EXPECT_NE(refusal<Level>("high"), "none");
}

// ---- Text ----

TEST(CodecTest, TextIsItsBytesUnchanged) {
  for (auto const& text :
       {""s, "plain"s, "\0nul\0"s, "line\r\nline"s, "\xff\xfe"s, std::string(16 << 20, '\0')}) {
    EXPECT_EQ(encode(text), text);
    EXPECT_EQ(there_and_back(text), text);
    EXPECT_EQ(encode(std::string_view{text}), text);
  }
}

// ---- What holds other values: the forms are stored, so these texts may never change ----

TEST(CodecTest, VectorIsEachElementWithItsLengthBefore) {
  EXPECT_EQ(encode(std::vector<int>{}), "");
  EXPECT_EQ(encode(std::vector<int>{7, -10}), "1:7,3:-10,");
  EXPECT_EQ(encode(std::vector<bool>{true, false}), "1:1,1:0,");
  EXPECT_EQ(encode(std::vector<std::string>{"", "a:1,", "\0"s}), "0:,4:a:1,,1:\0,"s);
  EXPECT_EQ(encode(std::vector<std::string_view>{"ab"}), "2:ab,");
}

TEST(CodecTest, OptionalIsNothingOrOneElement) {
  EXPECT_EQ(encode(std::optional<int>{}), "");
  EXPECT_EQ(encode(std::optional<int>{42}), "2:42,");
  EXPECT_EQ(encode(std::optional<std::string>{""}), "0:,");
}

TEST(CodecTest, PairIsTwoElements) {
  EXPECT_EQ(encode(std::pair<std::string, int>{"EUR", 5}), "3:EUR,1:5,");
}

TEST(CodecTest, NestedFormsKeepEveryDistinction) {
  using Nested = std::vector<std::pair<std::string, std::optional<std::vector<double>>>>;
  Nested const value{
      {"a", std::nullopt}, {"", std::vector<double>{}}, {"\n,:", std::vector<double>{0.5, -1}}};
  EXPECT_EQ(encode(value), "7:1:a,0:,,9:0:,3:0:,,,25:3:\n,:,15:11:3:0.5,2:-1,,,,");
  EXPECT_EQ(there_and_back(value), value);

  using Twice = std::optional<std::optional<int>>;
  EXPECT_EQ(encode(Twice{}), "");
  EXPECT_EQ(encode(Twice{std::optional<int>{}}), "0:,");
  EXPECT_EQ(there_and_back(Twice{}), Twice{});
  EXPECT_EQ(there_and_back(Twice{std::optional<int>{}}), Twice{std::optional<int>{}});
  EXPECT_EQ(there_and_back(Twice{3}), Twice{3});
}

TEST(CodecTest, TypeOfTheUserNestsToo) {
  std::vector<Price> const prices{{"EUR", 150}, {"USD", -3}};
  EXPECT_EQ(encode(prices), "7:EUR 150,6:USD -3,");
  EXPECT_EQ(there_and_back(prices), prices);
}

TEST(CodecTest, MalformedPartsAreRefused) {
  for (auto const text :
       {"1"sv, ":"sv, "1:"sv, "1:a"sv, "1:a;"sv, "2:a,"sv, "0:a,"sv, "-1:a,"sv, "+1:a,"sv,
        " 1:a,"sv, "01:a,"sv, "00:,"sv, "1:a,x"sv, "1:a,1:"sv, ",1:a"sv,
        "18446744073709551615:a,"sv, "18446744073709551616:a,"sv, "99999999999999999999999:a,"sv}) {
    EXPECT_NE(refusal<std::vector<std::string>>(text), "none") << text;
    EXPECT_NE(refusal<std::optional<std::string>>(text), "none") << text;
    EXPECT_NE((refusal<std::pair<std::string, std::string>>(text)), "none") << text;
  }
}

TEST(CodecTest, NothingBehindTheBytesIsLookedAt) {
  for (auto const text : {"1:a"sv, "10"sv, "1:"sv, "2:a,"sv, "3"sv, "-"sv}) {
    std::vector<char> const exactly{
        text.begin(), text.end()};  // no NUL behind: the address sanitizer stands there
    std::string_view const bytes{exactly.data(), exactly.size()};
    EXPECT_NE(refusal<std::vector<std::string>>(bytes), "none") << text;
    (void)refusal<std::int64_t>(bytes);
    (void)refusal<double>(bytes);
  }
  EXPECT_EQ(Codec<int>::decode("123"sv.substr(0, 2)), 12);
}

TEST(CodecTest, WrongNumberOfPartsIsRefused) {
  EXPECT_NE(refusal<std::optional<int>>("1:1,1:2,"), "none");
  EXPECT_NE((refusal<std::pair<int, int>>("")), "none");
  EXPECT_NE((refusal<std::pair<int, int>>("1:1,")), "none");
  EXPECT_NE((refusal<std::pair<int, int>>("1:1,1:2,1:3,")), "none");
}

TEST(CodecTest, RandomNestedValuesReadBack) {
  using Value = std::pair<std::vector<std::string>,
                          std::optional<std::pair<std::int64_t, std::vector<bool>>>>;
  std::mt19937_64 random{7};
  auto const below = [&](std::uint64_t end) { return random() % end; };
  for (int i = 0; i < 2'000; ++i) {
    Value value;
    value.first.resize(below(5));
    for (auto& text : value.first) {
      text.resize(below(40));
      for (auto& byte : text)
        byte = below(2) == 0 ? ",:0123456789"[below(12)] : static_cast<char>(random());
    }
    if (below(2) == 0) {
      value.second.emplace(static_cast<std::int64_t>(random()),
                           std::vector<bool>(below(9), below(2) == 0));
    }
    EXPECT_EQ(there_and_back(value), value);
  }
}

TEST(CodecTest, RandomBytesAreRefusedOrReadAsTheOneValueThatIsWrittenSo) {
  using Value = std::vector<std::pair<std::string, std::optional<std::string>>>;
  std::mt19937_64 random{11};
  int read = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string bytes(random() % 12, '\0');
    for (auto& byte : bytes) byte = ",:012345"[random() % 8];
    try {
      EXPECT_EQ(encode(Codec<Value>::decode(bytes)), bytes);
      ++read;
    } catch (CodecError const&) {
    }
  }
  EXPECT_GT(read, 0);
}

// ---- What a refusal says ----

TEST(CodecTest, RefusalSaysWhatWasWantedAndNeverTheBytes) {
  EXPECT_EQ(refusal<std::int8_t>("secret"),
            "an integer from -128 to 127 was wanted, something else of length 6 is there");
  EXPECT_EQ(refusal<std::uint8_t>("300"),
            "an integer from 0 to 255 was wanted, something else of length 3 is there");
  EXPECT_EQ(refusal<double>("secret"), "a double was wanted, something else of length 6 is there");
  EXPECT_EQ(refusal<bool>("yes"),
            "an integer from 0 to 1 was wanted, something else of length 3 is there");
  EXPECT_EQ(refusal<std::vector<int>>("1:7,1:x,"),
            "part 2: an integer from -2147483648 to 2147483647 was wanted, something else of "
            "length 1 is there");
  EXPECT_EQ(refusal<std::vector<int>>("secret"),
            "part 1: <length>:<bytes>, was wanted, something else of length 6 is there");
  EXPECT_EQ(refusal<std::optional<int>>("1:1,secret"), "1 part was wanted, 6 more bytes are there");
  EXPECT_EQ(refusal<std::vector<Price>>("3:abc,"), "part 1: a price was wanted");
}

}  // namespace
}  // namespace tandem
