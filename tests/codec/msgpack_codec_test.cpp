#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/codec/msgpack.hpp>
#include <tandem/shared_map.hpp>
#include <tandem/testing/redis_server.hpp>

namespace shop {

struct Price {
  std::string currency;
  double amount = 0;
  bool operator==(Price const&) const = default;
  MSGPACK_DEFINE_MAP(currency, amount)
};

/// The same of a later version.
struct NewPrice {
  std::string currency;
  double amount = 0;
  int discount = 0;
  MSGPACK_DEFINE_MAP(currency, amount, discount)
};

struct Point {
  std::int32_t x = 0, y = 0;
  bool operator==(Point const&) const = default;
  MSGPACK_DEFINE(x, y)
};

struct NewPoint {
  std::int32_t x = 0, y = 0, z = 0;
  MSGPACK_DEFINE(x, y, z)
};

struct Article {
  std::string name;
  std::uint8_t weight = 0;
  float length = 0;
  std::vector<Price> prices;
  std::unordered_map<std::string, std::int64_t> sold;
  std::unordered_set<std::int64_t> tags;
  std::optional<double> rate;
  bool operator==(Article const&) const = default;
  MSGPACK_DEFINE(name, weight, length, prices, sold, tags, rate)
};

}  // namespace shop

template <>
struct tandem::Codec<shop::Price> : tandem::MsgpackCodec<shop::Price> {};

namespace tandem {
namespace {

using namespace std::string_literals;
using shop::Article;
using shop::NewPoint;
using shop::NewPrice;
using shop::Point;
using shop::Price;

template <class T>
std::string refusal(std::string_view bytes) {
  try {
    (void)MsgpackCodec<T>::decode(bytes);
  } catch (CodecError const& error) {
    return error.what();
  }
  return "none";
}

auto const other_version =
    "MessagePack of another type or version is there: some of it would be lost or changed"s;

Article article() {
  Article out{"spade \"\xff\0\n"s,
              255,
              0.1F,
              {{"EUR", 0.1}, {"USD", -1e300}},
              {{"Mon", -7}, {"Tue", 1LL << 62}},
              {},
              std::nullopt};
  for (std::int64_t i = 0; i < 100; ++i) out.tags.insert(i * 1'000'003);
  return out;
}

TEST(MsgpackCodecTest, ValueIsReadBackAsItWasWritten) {
  EXPECT_EQ(MsgpackCodec<Article>::decode(MsgpackCodec<Article>::encode(article())), article());
  EXPECT_EQ(Codec<Price>::decode(Codec<Price>::encode({"", 0})), (Price{"", 0}));
  auto const nan = Codec<Price>::decode(Codec<Price>::encode({"EUR", std::nan("")}));
  EXPECT_TRUE(std::isnan(nan.amount));
}

TEST(MsgpackCodecTest, BytesAreThoseOfMessagePack) {
  EXPECT_EQ(Codec<Price>::encode({"EUR", 2.5}),
            "\x82\xa8"s + "currency\xa3" + "EUR\xa6" + "amount\xcb\x40\x04\0\0\0\0\0\0"s);
  EXPECT_EQ(MsgpackCodec<Point>::encode({1, -1}), "\x92\x01\xff"s);
}

TEST(MsgpackCodecTest, OtherSpellingsOfTheSameAreRead) {
  EXPECT_EQ(MsgpackCodec<Point>::decode("\x92\xcd\0\x01\xd3\xff\xff\xff\xff\xff\xff\xff\xff"s),
            (Point{1, -1}));
  EXPECT_EQ(MsgpackCodec<Point>::decode("\xdc\0\x02\x01\xff"s), (Point{1, -1}));
  EXPECT_EQ(Codec<Price>::decode("\x82\xa6"s + "amount\x02\xa8" + "currency\xa3" + "EUR"),
            (Price{"EUR", 2}));
  EXPECT_EQ(
      Codec<Price>::decode("\x82\xa8"s + "currency\xa3" + "EUR\xa6" + "amount\xca\x40\x20\0\0"s),
      (Price{"EUR", 2.5}));
  EXPECT_FLOAT_EQ(MsgpackCodec<float>::decode("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"), 0.1F);
}

TEST(MsgpackCodecTest, MissingMembersAreRefused) {
  EXPECT_EQ(refusal<Price>("\x81\xa8"s + "currency\xa3" + "EUR"), other_version);
  EXPECT_EQ(refusal<Price>("\x80"), other_version);
  EXPECT_EQ(refusal<NewPoint>(MsgpackCodec<Point>::encode({1, 2})), other_version);
}

TEST(MsgpackCodecTest, ReaderWithAnOlderTypeRefusesWhatItWouldLose) {
  EXPECT_EQ(refusal<Price>(MsgpackCodec<NewPrice>::encode({"EUR", 1, 3})), other_version);
  EXPECT_EQ(refusal<Point>(MsgpackCodec<NewPoint>::encode({1, 2, 3})), other_version);
}

TEST(MsgpackCodecTest, WrongTypesAndNumbersThatAMemberCannotHoldAreRefused) {
  EXPECT_EQ(refusal<Point>("\x92\x01\xa1x"), "MessagePack of another type is there");
  EXPECT_EQ(refusal<Price>("\x05"), "MessagePack of another type is there");
  EXPECT_EQ(refusal<Point>("\x82\x01\x02\x03\x04"), "MessagePack of another type is there");
  EXPECT_NE(refusal<Point>("\x92\x01\xcf\0\0\0\x01\0\0\0\0"s), "none");        // 2^32
  EXPECT_NE(refusal<Point>("\x92\x01\xcb\x40\x04\0\0\0\0\0\0"s), "none");      // 2.5
  EXPECT_NE(refusal<Point>("\x92\x01\xc3"), "none");                           // true
  EXPECT_NE(refusal<Point>("\x92\x01\xc0"), "none");                           // nil
  EXPECT_NE(refusal<float>("\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c"s), "none");  // 1e300
}

TEST(MsgpackCodecTest, TruncatedAndTrailingBytesAreRefused) {
  auto const whole = MsgpackCodec<Article>::encode(article());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_EQ(refusal<Article>(whole.substr(0, length)),
              "a MessagePack object was wanted, something else of length " +
                  std::to_string(length) + " is there");
  }
  EXPECT_EQ(refusal<Point>("\x92\x01\x02\x03"),
            "a MessagePack object was wanted, something else of length 4 is there");
  EXPECT_NE(refusal<Point>("\xc1"), "none");  // a byte that means nothing
}

TEST(MsgpackCodecTest, LengthsThatLieAndDeepNestingAreRefusedBeforeMemoryIsTaken) {
  EXPECT_NE(refusal<Point>("\xdd\xff\xff\xff\xff\x01"s), "none");
  EXPECT_NE(refusal<Point>("\xdf\xff\xff\xff\xff\x01"s), "none");
  std::string lies;
  for (int i = 0; i < 60; ++i) lies += "\xdd\x7f\xff\xff\xff"s;  // each asks for 48 GiB
  EXPECT_NE(refusal<Point>(lies), "none");
  EXPECT_NE(refusal<Point>(std::string(1'000'000, '\x91')), "none");
  EXPECT_NE(refusal<Point>(std::string(1'000'000, '\x91') + "\x01"), "none");
}

TEST(MsgpackCodecTest, ReaderWithAnOlderTypeIsToldMapAndFieldAndTheEntryStays) {
  testing::RedisServer server;
  Client redis{server.url()};
  SharedMap<std::string, Price> prices{redis, "prices"};
  prices.set("apple", {"EUR", 0.25});
  EXPECT_EQ(prices.get("apple"), (Price{"EUR", 0.25}));
  EXPECT_TRUE(prices.compare_exchange("apple", {"EUR", 0.25}, {"EUR", 0.5}));
  auto const newer = MsgpackCodec<NewPrice>::encode({"secret", 2.5, 3});
  redis.command("HSET", "prices", "pear", newer);
  auto const refused = [&](auto const& act) {
    try {
      act();
      FAIL();
    } catch (CodecError const& error) {
      EXPECT_EQ(error.what(), "tandem: map \"prices\", field \"pear\": " + other_version);
    }
  };
  refused([&] { (void)prices.get("pear"); });
  refused([&] { prices.update("pear", [](auto price) { return *price; }); });
  EXPECT_EQ(redis.command("HGET", "prices", "pear").as<std::string>(), newer);
}

}  // namespace
}  // namespace tandem
