#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/codec/json.hpp>
#include <tandem/shared_map.hpp>
#include <tandem/testing/redis_server.hpp>

namespace shop {

enum class Kind { fruit, tool };
NLOHMANN_JSON_SERIALIZE_ENUM(Kind, {{Kind::fruit, "fruit"}, {Kind::tool, "tool"}})

struct Price {
  std::string currency;
  double amount = 0;
  bool operator==(Price const&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Price, currency, amount)

/// The same of a later version.
struct NewPrice {
  std::string currency;
  double amount = 0;
  std::optional<int> none{};
  int discount = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(NewPrice, currency, amount, discount)

/// One that reads what was written before `discount`.
struct PatientPrice {
  std::string currency;
  double amount = 0;
  int discount = 5;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(PatientPrice, currency, amount, discount)

struct Article {
  std::string name;
  Kind kind = Kind::fruit;
  std::uint8_t weight = 0;
  float length = 0;
  std::vector<Price> prices;
  std::map<std::string, std::int64_t> sold;
  std::unordered_set<std::string> tags;
  bool operator==(Article const&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Article, name, kind, weight, length, prices, sold, tags)

struct Counts {
  std::uint64_t natural = 0;
  std::int64_t whole = 0;
  int small = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Counts, natural, whole, small)

}  // namespace shop

template <>
struct tandem::Codec<shop::Price> : tandem::JsonCodec<shop::Price> {};

namespace tandem {
namespace {

using nlohmann::json;
using shop::Article;
using shop::Counts;
using shop::NewPrice;
using shop::PatientPrice;
using shop::Price;

template <class T>
std::string refusal(std::string_view bytes) {
  try {
    (void)JsonCodec<T>::decode(bytes);
  } catch (CodecError const& error) {
    return error.what();
  }
  return "none";
}

Article const spade{"spade \"\xc3\xa9\"\n",
                    shop::Kind::tool,
                    255,
                    0.1F,
                    {{"EUR", 0.1}, {"USD", -1e300}},
                    {{"Mon", std::numeric_limits<std::int64_t>::min()},
                     {"Tue", std::numeric_limits<std::int64_t>::max()}},
                    {"a", "b", "c", "d", "e", "f", "g"}};

TEST(JsonCodecTest, ValueIsReadBackAsItWasWritten) {
  EXPECT_EQ(JsonCodec<Article>::decode(JsonCodec<Article>::encode(spade)), spade);
  EXPECT_EQ(Codec<Price>::decode(Codec<Price>::encode({"", 0})), (Price{"", 0}));
}

TEST(JsonCodecTest, TextIsCompactAndWrittenByName) {
  EXPECT_EQ(Codec<Price>::encode({"EUR", 2.5}), R"({"amount":2.5,"currency":"EUR"})");
}

TEST(JsonCodecTest, OtherSpellingsOfTheSameAreRead) {
  EXPECT_EQ(Codec<Price>::decode(" {\"currency\": \"\\u0045UR\",\n \"amount\": 2e0} "),
            (Price{"EUR", 2}));
  EXPECT_EQ(Codec<Price>::decode(R"({"currency":"EUR","amount":3})"), (Price{"EUR", 3}));
  auto document = json::parse(JsonCodec<Article>::encode(spade));
  document["length"] = 0.1;  // no float, but the one that is meant
  document["tags"] = {"g", "f", "e", "d", "c", "b", "a"};
  EXPECT_EQ(JsonCodec<Article>::decode(document.dump()), spade);
}

TEST(JsonCodecTest, MissingMemberIsRefusedByName) {
  EXPECT_EQ(refusal<Price>(R"({"currency":"EUR"})"),
            "JSON of another type is there: key 'amount' not found");
  EXPECT_EQ(refusal<Price>("{}"), "JSON of another type is there: key 'currency' not found");
}

TEST(JsonCodecTest, MissingMemberGetsItsDefaultWhereTheTypeSaysSo) {
  auto const price = JsonCodec<PatientPrice>::decode(R"({"currency":"EUR","amount":1})");
  EXPECT_EQ(price.discount, 5);
}

TEST(JsonCodecTest, ReaderWithAnOlderTypeRefusesWhatItWouldLose) {
  auto const newer = JsonCodec<NewPrice>::encode({"EUR", 2.5, std::nullopt, 3});
  EXPECT_EQ(refusal<Price>(newer),
            "JSON of another type or version is there: /discount would be lost or changed");
  auto within = json::parse(JsonCodec<Article>::encode(spade));
  within["prices"][1]["discount"] = 3;
  EXPECT_EQ(refusal<Article>(within.dump()),
            "JSON of another type or version is there: /prices would be lost or changed");
}

TEST(JsonCodecTest, WrongTypesAreRefused) {
  EXPECT_EQ(refusal<Price>(R"({"currency":5,"amount":1})"),
            "JSON of another type is there: type must be string, but is number");
  EXPECT_EQ(refusal<Price>(R"({"currency":"EUR","amount":"secret"})"),
            "JSON of another type is there: type must be number, but is string");
  EXPECT_NE(refusal<Price>(R"({"currency":"EUR","amount":null})"), "none");
  EXPECT_NE(refusal<Price>(R"(["EUR",1])"), "none");
  EXPECT_NE(refusal<Price>("5"), "none");
  EXPECT_NE(refusal<Price>("null"), "none");
}

TEST(JsonCodecTest, NumbersThatAMemberCannotHoldAreRefused) {
  auto const counts = [](std::string const& natural, std::string const& whole,
                         std::string const& small) {
    return refusal<Counts>("{\"natural\":" + natural + ",\"whole\":" + whole +
                           ",\"small\":" + small + "}");
  };
  EXPECT_EQ(counts("18446744073709551615", "-9223372036854775808", "7"), "none");
  EXPECT_EQ(counts("-1", "0", "0"),
            "JSON of another type or version is there: /natural would be lost or changed");
  EXPECT_EQ(counts("0", "18446744073709551615", "0"),
            "JSON of another type or version is there: /whole would be lost or changed");
  EXPECT_EQ(counts("0", "0", "2147483648"),
            "JSON of another type or version is there: /small would be lost or changed");
  EXPECT_EQ(counts("0", "0", "2.5"),
            "JSON of another type or version is there: /small would be lost or changed");
  EXPECT_NE(counts("0", "0", "true"), "none");
  auto document = json::parse(JsonCodec<Article>::encode(spade));
  document["weight"] = 256;
  EXPECT_NE(refusal<Article>(document.dump()), "none");
  document["weight"] = 255;
  document["length"] = 1e300;
  EXPECT_NE(refusal<Article>(document.dump()), "none");
}

TEST(JsonCodecTest, EnumeratorThatThisProgramHasNoNameForIsRefused) {
  auto document = json::parse(JsonCodec<Article>::encode(spade));
  document["kind"] = "vehicle";  // nlohmann's macro would make it the first one
  EXPECT_EQ(refusal<Article>(document.dump()),
            "JSON of another type or version is there: /kind would be lost or changed");
}

TEST(JsonCodecTest, TruncatedAndTrailingBytesAreRefused) {
  auto const whole = JsonCodec<Article>::encode(spade);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_TRUE(refusal<Article>(whole.substr(0, length)).starts_with("JSON was wanted, "))
        << length;
  }
  EXPECT_EQ(refusal<Price>(Codec<Price>::encode({"EUR", 1}) + "}"),
            "JSON was wanted, something else of length 32 is there, wrong at byte 32");
  EXPECT_EQ(refusal<Price>(Codec<Price>::encode({"EUR", 1}) + std::string(1, '\0') + "x"),
            "JSON was wanted, something else of length 33 is there, wrong at byte 32");
}

TEST(JsonCodecTest, ErrorTellsNothingOfTheValue) {
  for (std::string const bytes :
       {"secret", R"({"currency":"secret)", R"({"currency":"EUR","amount":"secret"})",
        R"({"currency":"\xff secret","amount":1})", R"({"currency":"EUR","amount":1e999,"secret"})",
        R"({"currency":"EUR","amount":1,"a\u0001secret":1})", R"(["secret"])"}) {
    auto const text = refusal<Price>(bytes);
    EXPECT_NE(text, "none") << bytes;
    EXPECT_EQ(text.find("secret"), std::string::npos) << text;
    EXPECT_EQ(text.find("1e999"), std::string::npos) << text;
  }
}

TEST(JsonCodecTest, DocumentNestedDeepIsReadOrRefusedAndCrashesNothing) {
  std::string const deep = std::string(5'000, '[') + std::string(5'000, ']');
  EXPECT_NE(refusal<Price>(deep), "none");
  EXPECT_NE(refusal<Price>(std::string(10'000, '[')), "none");
}

TEST(JsonCodecTest, WhatJsonCannotSayIsNotWritten) {
  EXPECT_THROW((void)Codec<Price>::encode({"EUR", std::nan("")}), CodecError);
  EXPECT_THROW((void)Codec<Price>::encode({"EUR", std::numeric_limits<double>::infinity()}),
               CodecError);
  try {
    (void)Codec<Price>::encode({"secret \xff", 1});
    FAIL();
  } catch (CodecError const& error) {
    EXPECT_STREQ(error.what(), "JSON is UTF-8, and other text was to be written");
  }
}

TEST(JsonCodecTest, ReaderWithAnOlderTypeIsToldMapAndFieldAndTheEntryStays) {
  testing::RedisServer server;
  Client redis{server.url()};
  SharedMap<std::string, Price> prices{redis, "prices"};
  prices.set("apple", {"EUR", 0.25});
  EXPECT_EQ(prices.get("apple"), (Price{"EUR", 0.25}));
  EXPECT_TRUE(prices.compare_exchange("apple", {"EUR", 0.25}, {"EUR", 0.5}));
  auto const newer = JsonCodec<NewPrice>::encode({"EUR", 2.5, std::nullopt, 3});
  redis.command("HSET", "prices", "pear", newer);
  auto const refused = [&](auto const& act) {
    try {
      act();
      FAIL();
    } catch (CodecError const& error) {
      EXPECT_STREQ(error.what(),
                   "tandem: map \"prices\", field \"pear\": JSON of another type or version is "
                   "there: /discount would be lost or changed");
    }
  };
  refused([&] { (void)prices.get("pear"); });
  refused([&] { prices.update("pear", [](auto price) { return *price; }); });
  EXPECT_EQ(redis.command("HGET", "prices", "pear").as<std::string>(), newer);
}

TEST(JsonCodecTest, MapOfDocumentsTakesAnyShape) {
  testing::RedisServer server;
  SharedMap<std::string, json> documents{Client{server.url()}, "documents"};
  documents.set("a", {{"list", {1, 2.5, nullptr, true}}});
  documents.update("a", [](std::optional<json> have) {
    have->at("list").push_back("more");
    return *have;
  });
  EXPECT_EQ(documents.get("a").value().dump(), R"({"list":[1,2.5,null,true,"more"]})");
  EXPECT_THROW((void)Codec<json>::decode("{"), CodecError);
}

}  // namespace
}  // namespace tandem
