#pragma once

#include <string>
#include <string_view>

#include <gmock/gmock.h>

#include <tandem/testing/redis_server.hpp>

#include "wire.hpp"

namespace tandem::support {

/// Somebody who hears what scripts say to the tokens a/..., b/... of that letter.
class Ears {
 public:
  Ears(testing::RedisServer const& server, std::string const& letter) : wire_{server} {
    EXPECT_THAT(wire_("SUBSCRIBE tandem:" + letter), ::testing::HasSubstr("subscribe"));
  }

  /// All that was said since the last time this was asked: the server answers a PING after it.
  [[nodiscard]] std::string heard() const {
    static constexpr std::string_view pong = "*2\r\n$4\r\npong\r\n$0\r\n\r\n";
    wire_.send("PING");
    std::string all;
    while (!all.ends_with(pong)) {
      auto const more = wire_.receive();
      EXPECT_FALSE(more.empty()) << "no answer after " << all;
      if (more.empty()) return all;
      all += more;
    }
    return all.substr(0, all.size() - pong.size());
  }
  [[nodiscard]] bool heard_nothing() const { return heard().empty(); }

 private:
  Wire wire_;
};

}  // namespace tandem::support
